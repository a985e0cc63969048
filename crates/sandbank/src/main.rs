//! `sandbank`: keeps sandboxes for AI agents warm and hands them out in milliseconds.
//!
//! One binary. [`cli`] reads the command line, [`verbs`] talks to a server that runs, [`up`] is the server itself and
//! [`controller`] the same controllers against any cluster. Everything below is wiring; decisions live in the other crates.

mod cli;
mod controller;
mod exit;
mod logging;
mod output;
mod paths;
mod table;
mod task_executor;
mod up;
mod verbs;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The server's work is small JSON values made and dropped on several threads: with glibc's allocator a third of its time
/// went into that, and what it had freed stayed resident.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A pod's own process is this binary too, and so is a task's; both must stay single-threaded: nothing may come before this.
    node::shim::main()
        .or_else(executor::waiter_main)
        .or_else(task_executor::main)
        .unwrap_or_else(cli::main)
}
