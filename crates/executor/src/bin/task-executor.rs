//! The executor alone, for a small image: `sandbank task-executor` without the rest.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbank_executor::waiter_main()
        .unwrap_or_else(|| sandbank_executor::server_main(std::env::args_os().skip(1)))
}
