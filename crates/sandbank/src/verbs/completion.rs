//! `sandbank completion SHELL`.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank completion`.
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// The shell to complete for
    pub shell: clap_complete::Shell,
}

/// Prints the script; `source <(sandbank completion bash)` uses it.
pub fn run(args: CompletionArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "sandbank", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}
