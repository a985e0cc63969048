//! The command line: its verbs and global flags, and the way from one to the other.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::controller::{self, ControllerArgs};
use crate::exit::{Error, Exit};
use crate::output::{self, Format};
use crate::task_executor::TaskExecutorArgs;
use crate::up::{self, UpArgs};
use crate::verbs;

/// Flags that every verb takes, before or after its name.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The kubeconfig to use (`up` writes it) [default: $KUBECONFIG, the data directory's, ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The server's directory [default: $SANDBANK_DATA_DIR, /var/lib/sandbank (root), ~/.local/share/sandbank]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The namespace [default: the kubeconfig's, else `default`]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The form of the answer
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Format,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: clap::ColorChoice,
}

/// Keeps sandboxes for AI agents warm and hands them out in milliseconds.
#[derive(Debug, Parser)]
#[command(name = "sandbank", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not ready in time, 5 no server, 6 refused.
`exec` ends with the exit code of the command it ran.";

/// The verbs, in the order a newcomer meets them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the control plane on this machine, in the foreground
    Up(UpArgs),
    /// Stop the pods and the server
    Down,
    /// Stop the pods and the server and remove the data
    Reset,
    /// Run the controllers against any Kubernetes API server
    Controller(ControllerArgs),
    /// Run tasks in a sandbox for its controller, from a container of its pod
    TaskExecutor(TaskExecutorArgs),
    /// Show the server, its pools, sandboxes and claims
    Status,
    /// Ask for a sandbox
    Claim(verbs::claim::ClaimArgs),
    /// Run a command in a sandbox
    Exec(verbs::exec::ExecArgs),
    /// Give sandboxes back
    Release(verbs::release::ReleaseArgs),
    /// Look at warm pools
    #[command(subcommand)]
    Pool(verbs::pool::PoolVerb),
    /// Explain an object's state, down to where it comes from
    Why(verbs::why::WhyArgs),
    /// Bring in, name and remove images
    #[command(subcommand)]
    Image(verbs::image::ImageVerb),
    /// Measure a running server
    #[command(subcommand)]
    Bench(verbs::bench::BenchVerb),
    /// Print the custom resource definitions, for a cluster of one's own
    Crds,
    /// Show the version of this program and of the server
    Version(verbs::version::VersionArgs),
    /// Print the completion script of a shell
    Completion(verbs::completion::CompletionArgs),
}

/// Reads the command line, runs the verb and turns its end into an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Verb::TaskExecutor(args) = cli.verb {
        // It has a runtime of its own, with one thread.
        return args.run();
    }
    anstream_choice(cli.global.color).write_global();
    let format = cli.global.output;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let error = anyhow::Error::new(e).context("cannot start the async runtime");
            output::report(format, &Error::Failed(error));
            return Exit::Failed.into();
        }
    };
    let end = runtime.block_on(run(cli));
    // A read of the terminal cannot be cancelled; waiting for it would hang the end of `exec -it`.
    runtime.shutdown_background();
    end.unwrap_or_else(|error| {
        output::report(format, &error);
        error.exit().into()
    })
}

async fn run(cli: Cli) -> Result<ExitCode, Error> {
    let global = &cli.global;
    match cli.verb {
        Verb::Up(args) => up::run(global, args).await?,
        Verb::Down => up::down(global).await?,
        Verb::Reset => up::reset(global).await?,
        Verb::Controller(args) => controller::run(global, args).await?,
        Verb::TaskExecutor(_) => unreachable!("it was run before this runtime was there"),
        Verb::Status => verbs::status::run(global).await?,
        Verb::Claim(args) => verbs::claim::run(global, args).await?,
        Verb::Exec(args) => return verbs::exec::run(global, args).await,
        Verb::Release(args) => verbs::release::run(global, args).await?,
        Verb::Pool(verb) => verbs::pool::run(global, verb).await?,
        Verb::Why(args) => verbs::why::run(global, args).await?,
        Verb::Image(verb) => verbs::image::run(global, verb).await?,
        Verb::Bench(verb) => verbs::bench::run(global, verb).await?,
        Verb::Crds => verbs::crds::run(global)?,
        Verb::Version(args) => verbs::version::run(global, args).await?,
        Verb::Completion(args) => verbs::completion::run(args)?,
    }
    Ok(Exit::Ok.into())
}

fn anstream_choice(choice: clap::ColorChoice) -> anstream::ColorChoice {
    match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_follow_the_verb() {
        let cli =
            Cli::try_parse_from(["sandbank", "down", "--data-dir", "/d", "-o", "json"]).unwrap();
        assert_eq!(cli.global.data_dir.as_deref(), Some("/d".as_ref()));
        assert_eq!(cli.global.output, Format::Json);
    }
}
