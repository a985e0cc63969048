//! Logs of the long-running verbs: on standard error, so that standard output keeps the story.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::exit::Error;

/// Names the filter, as in `SANDBANK_LOG=debug` or `SANDBANK_LOG=warn,sandbank_node=debug`.
const FILTER: &str = "SANDBANK_LOG";
/// `json` here makes each line a JSON object.
const FORM: &str = "SANDBANK_LOG_FORMAT";
/// A healthy server is silent.
const DEFAULT: &str = "warn";

/// Begins to log.
pub fn start() -> Result<(), Error> {
    let filter = match std::env::var(FILTER) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|e| {
            Error::usage(
                format!("{FILTER}={text} is not a log filter: {e}"),
                format!("write, for example, {FILTER}=info or {FILTER}=warn,sandbank_node=debug"),
            )
        })?,
        Err(_) => EnvFilter::new(DEFAULT),
    };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Colours in a file are noise.
    let logs = logs.with_ansi(io::stderr().is_terminal());
    if std::env::var(FORM).is_ok_and(|form| form == "json") {
        logs.json().init()
    } else {
        logs.init()
    }
    Ok(())
}
