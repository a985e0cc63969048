//! `sandbank task-executor`: the executor of tasks, in a container of a sandbox's pod.
//!
//! Pods that exist start it with flags in a form of its own (`-listen-addr=...`), some of which are also flags of this program with another
//! meaning. So everything after the verb is the executor's, and this program's own command line does not see it.

use std::{env, ffi::OsString, process::ExitCode};

/// Its verb.
const VERB: &str = "task-executor";

/// Everything after the verb.
#[derive(Clone, Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct TaskExecutorArgs {
    /// The executor's own flags; `-help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

impl TaskExecutorArgs {
    /// Runs it, when the verb came after flags of this program, which mean nothing to it.
    pub fn run(self) -> ExitCode {
        executor::server_main(self.flags)
    }
}

/// Runs the executor if that is the verb.
pub fn main() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    (words.next()? == VERB).then(|| executor::server_main(words))
}
