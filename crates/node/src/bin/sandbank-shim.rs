//! The shim alone, for the tests of this crate. The product re-executes itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbank_node::shim::main().unwrap_or(ExitCode::FAILURE)
}
