//! What a verb prints: text for people, JSON for machines, both through one writer that survives `| head`.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Error;

/// The form of a verb's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables and sentences.
    #[default]
    Text,
    /// One JSON document (errors too, on standard error).
    Json,
}

/// Prints `text` on standard output, with a newline. Colours in it vanish where they would not be shown.
pub fn line(text: impl std::fmt::Display) -> Result<(), Error> {
    write_out(&format!("{text}\n"))
}

/// Prints one JSON document on standard output.
pub fn json(value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    text.push('\n');
    write_out(&text)
}

/// Prints the JSON document or the text, as the user asked. The text is only made when wanted.
pub fn answer(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Error> {
    match format {
        Format::Json => json(value),
        Format::Text => line(text()),
    }
}

fn write_out(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Error::OutputClosed,
        _ => Error::Failed(anyhow::Error::new(e).context("cannot write the answer")),
    })
}

/// Says on standard error what went wrong and what to do next. If even that cannot be written, the exit code remains.
pub fn report(format: Format, error: &Error) {
    use owo_colors::OwoColorize;
    if matches!(error, Error::OutputClosed) {
        return;
    }
    let mut err = anstream::stderr().lock();
    let _ =
        match format {
            Format::Json => writeln!(
                err,
                "{}",
                serde_json::json!({
                    "error": error.to_string(),
                    "exitCode": error.exit() as u8,
                    "next": error.next_step(),
                })
            ),
            Format::Text => writeln!(err, "{} {error}", "error:".red().bold()).and_then(|()| {
                match error.next_step() {
                    Some(next) => writeln!(err, "{} {next}", "next:".cyan().bold()),
                    None => Ok(()),
                }
            }),
        };
}
