//! Which measurements there are, how often each is made, and where the page goes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::conditions::{Conditions, Noise};
use crate::figures::Figures;
use crate::report::{self, Section};
use crate::stage::Stage;
use crate::up::{self, Runtime};
use crate::{api, batches, claims, commits, containers, refill, start};

/// Set in the copy of this process that lives in its own network namespace.
const ISOLATED: &str = "SANDBANK_BENCH_ISOLATED";

/// Measures sandbank on this machine and writes down what it found.
#[derive(Clone, Debug, Parser)]
#[command(name = "sandbank-bench", max_term_width = 100)]
struct Args {
    /// How often each measurement is made
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where the page is written [default: bench/results/DATE.md if everything was measured; else nowhere]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Part {
    /// Start to ready, and memory when empty
    Start,
    /// Memory with 10,000 sandboxes (once, whatever --runs says)
    Memory,
    /// The disk, redb, our store
    Store,
    /// Requests and watches, in process and over TLS (measures the store too)
    Api,
    /// Claims, in process
    Claims,
    /// Claims, over TLS from the real binary
    ClaimsTls,
    /// Cold starts and claims of real containers (root)
    Containers,
    /// Claims of 1, 100 and 1,000 sandboxes of a SandboxSet, in process
    Batches,
    /// Pools from 0 to 1,000
    Refill,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Self::Start => "Start to ready, and memory when empty",
            Self::Memory => "Memory with 10,000 sandboxes",
            Self::Store => "The store and what is below it",
            Self::Api => "API requests",
            Self::Claims => "Claims, in process (durable store, pretended pods)",
            Self::ClaimsTls => "Claims, the real binary over TLS (durable store, pretended pods)",
            Self::Containers => "Real containers",
            Self::Batches => {
                "Claims of many of a SandboxSet, in process (durable store, pretended pods)"
            }
            Self::Refill => "Refill",
        }
    }

    /// Filling a pool with 10,000 takes longer than everything else.
    fn is_made_once(self) -> bool {
        self == Self::Memory
    }
}

/// The program.
pub fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbank-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> anyhow::Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    if is_root && std::env::var_os(ISOLATED).is_none() {
        return Err(isolate()).context("make a network namespace with unshare(1) and ip(8)");
    }
    up::binary()?;
    let mut parts: BTreeSet<Part> = match args.only.as_slice() {
        [] => Part::value_variants().iter().copied().collect(),
        only => only.iter().copied().collect(),
    };
    let is_everything = args.only.is_empty() && is_root;
    if !is_root && parts.remove(&Part::Containers) {
        eprintln!("real containers are left out: they need root");
    }
    if parts.contains(&Part::Api) {
        // Its ratios are to the store's rates of the same run.
        parts.remove(&Part::Store);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let scratch = up::scratch()?;
    let conditions = Conditions::observe(scratch.path());
    let mut noise = Noise::default();
    let mut sections: Vec<Section> = Vec::new();
    for part in parts {
        let runs = if part.is_made_once() { 1 } else { args.runs };
        for run in 1..=runs {
            noise.look();
            eprintln!("{}: run {run} of {runs}", part.title());
            let figures = runtime.block_on(run_part(part, is_root));
            for (title, figures) in figures.with_context(|| part.title().to_owned())? {
                match sections.iter_mut().find(|section| section.title == title) {
                    Some(section) => section.runs.push(figures),
                    None => sections.push(Section { title, runs: vec![figures] }),
                }
            }
        }
        for section in sections.iter().filter(|section| section.title == part.title()) {
            eprintln!("{}", section.render());
        }
    }
    let page = report::render(&conditions, &noise, &sections);
    println!("{page}");
    let default = is_everything.then(|| {
        let results = concat!(env!("CARGO_MANIFEST_DIR"), "/results");
        PathBuf::from(results).join(conditions.began.strftime("%Y-%m-%d.md").to_string())
    });
    if let Some(path) = args.out.clone().or(default) {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
        eprintln!("written to {}", path.display());
    }
    Ok(())
}

async fn run_part(part: Part, is_root: bool) -> anyhow::Result<Vec<(&'static str, Figures)>> {
    let of = |figures| vec![(part.title(), figures)];
    Ok(match part {
        Part::Start => {
            let runtimes = [Runtime::Fake, Runtime::Oci];
            of(start::starts(if is_root { &runtimes } else { &runtimes[..1] }).await?)
        }
        Part::Memory => of(start::memory().await?),
        Part::Store => of(commits::measure().await?),
        Part::Api => {
            let commits = commits::measure().await?;
            let requests = api::measure(&commits).await?;
            vec![(Part::Store.title(), commits), (Part::Api.title(), requests)]
        }
        Part::Claims => of(claims::measure("in process", Stage::in_process().await?).await?),
        Part::ClaimsTls => of(claims::measure("TLS", Stage::binary(Runtime::Fake).await?).await?),
        Part::Containers => of(containers::measure().await?),
        Part::Batches => of(batches::measure().await?),
        Part::Refill => of(refill::measure().await?),
    })
}

/// Becomes the same program in a network namespace that has only a loopback. Returns only if that fails.
fn isolate() -> anyhow::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(ISOLATED, "1")
        .exec()
        .into()
}
