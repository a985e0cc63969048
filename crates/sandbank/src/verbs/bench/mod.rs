//! `sandbank bench claims`: how fast a running server hands sandboxes out, seen from a client.
//!
//! The clock of a claim starts before its POST and stops when a watch shows it Ready: what a user waits for, and
//! not what the controller believes it took. Each claim is given back as soon as it is ready.

mod report;
mod watchers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use tokio::task::JoinSet;

use self::report::{Conditions, Outcome, Report};
use self::watchers::{Arrivals, Fullness};
use super::connect::Server;
use super::duration;
use super::objects::{self, Pool, Scope};
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// The label by which a run knows its claims, to watch and to remove only them.
const RUN_LABEL: &str = "sandbank-bench-run";

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub enum BenchVerb {
    /// Measure claims: from POST to Ready as a watcher sees it
    Claims(ClaimsArgs),
}

/// Flags of `sandbank bench claims`.
#[derive(Clone, Debug, clap::Args)]
pub struct ClaimsArgs {
    /// The pool to claim from
    #[arg(long, value_name = "NAME")]
    pool: String,
    /// How many claims
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Claims a second, whatever becomes of the earlier ones [default: one after another, each from a full pool]
    #[arg(long, value_parser = parse_rate, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// How long one claim may take
    #[arg(long, value_parser = duration::parse, default_value = "30s", value_name = "TIME")]
    timeout: Duration,
}

/// Runs a measurement, removes its claims whatever happens, and prints the report.
pub async fn run(global: &Global, verb: BenchVerb) -> Result<(), Error> {
    let BenchVerb::Claims(args) = verb;
    let server = Server::connect(global).await?;
    let what = format!("pool {}/{}", server.namespace, args.pool);
    let pool = server
        .pools(Scope::Namespace)
        .get(&args.pool)
        .await
        .map_err(|e| server.explain(&what, "`sandbank pool ls -A` lists the pools", e))?;
    let run = format!("bench-{:06x}", fastrand::u32(..0x100_0000));
    let measured = tokio::select! {
        measured = measure(&server, &args, &run, &pool) => measured,
        _ = tokio::signal::ctrl_c() => Err(Error::Failed(anyhow::anyhow!("interrupted"))),
    };
    let cleaned = clean_up(&server, &run).await;
    let report = measured?;
    cleaned?;
    output::answer(global.output, &report, || report.render())?;
    report.verdict(&args.pool)
}

async fn measure(
    server: &Server,
    args: &ClaimsArgs,
    run: &str,
    pool: &Pool,
) -> Result<Report, Error> {
    let conditions = Conditions::observe(server, pool, args).await?;
    let arrivals = Arc::new(Arrivals::watch(server, &format!("{RUN_LABEL}={run}")).await?);
    let began = Instant::now();
    let mut outcomes = Vec::new();
    match args.rate {
        None => {
            let mut fullness = Fullness::watch(server, pool);
            for i in 0..args.count {
                fullness.wait_until_full(args.timeout).await?;
                outcomes.push(one_claim(server, &arrivals, run, i, args).await);
            }
        }
        Some(rate) => {
            let mut claims = JoinSet::new();
            for i in 0..args.count {
                let due = began + Duration::from_secs_f64(f64::from(i) / rate);
                tokio::time::sleep_until(due.into()).await;
                let (server, arrivals) = (server.clone(), arrivals.clone());
                let (run, args) = (run.to_owned(), args.clone());
                claims.spawn(async move { one_claim(&server, &arrivals, &run, i, &args).await });
            }
            outcomes = claims.join_all().await;
        }
    }
    Ok(Report::new(conditions, began.elapsed(), outcomes))
}

/// One claim from POST to Ready to DELETE.
async fn one_claim(
    server: &Server,
    arrivals: &Arrivals,
    run: &str,
    i: u32,
    args: &ClaimsArgs,
) -> Outcome {
    let name = format!("{run}-{i}");
    let mut claim = objects::new_claim(&args.pool, &[]);
    claim.metadata.name = Some(name.clone());
    claim.labels_mut().insert(RUN_LABEL.into(), run.into());
    let arrival = arrivals.expect(&name);
    let asked = Instant::now();
    if let Err(e) = server.make_claim(&claim).await {
        return Outcome::Failed { reason: server.explain("making a claim", "", e).to_string() };
    }
    let created = asked.elapsed();
    let outcome = match tokio::time::timeout(args.timeout, arrival).await {
        Ok(Ok(arrival)) => {
            Outcome::Ready { created, ready: arrival.at - asked, start: arrival.start }
        }
        Ok(Err(_)) => Outcome::Failed { reason: "the watch of claims ended".into() },
        Err(_) => Outcome::Failed { reason: format!("not ready after {:?}", args.timeout) },
    };
    // What cannot be deleted now is deleted (and complained about) by `clean_up`.
    let _ = server.claims(Scope::Namespace).delete(&name, &DeleteParams::background()).await;
    outcome
}

/// Deletes every claim of the run that is still there.
async fn clean_up(server: &Server, run: &str) -> Result<(), Error> {
    let explain = |e| server.explain(&format!("removing the claims of {run}"), "", e);
    let ours = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    for claim in server.claims(Scope::Namespace).list(&ours).await.map_err(explain)? {
        match server
            .claims(Scope::Namespace)
            .delete(&claim.name_any(), &DeleteParams::background())
            .await
        {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(e) => return Err(explain(e)),
        }
    }
    Ok(())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        _ => Err("a rate is a number above 0, up to 100000".into()),
    }
}
