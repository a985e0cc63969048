//! Running a command in a pod, for hooks.
//!
//! It goes through the API server's exec, over a connection of its own that becomes a stream. A client in the same process as the server gets one over memory, so this
//! works wherever the controllers run.

use std::time::Duration;

use engine::Key;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Writer;

/// How much of what a command says on its error output is kept: it becomes part of a condition, which people read.
const STDERR: usize = 4096;

/// Why a command did not end well.
#[derive(Debug, Error)]
pub enum ExecError {
    /// It could not be started.
    #[error("the command could not be run: {0}")]
    Start(#[source] Box<kube::Error>),
    /// It took too long, and was ended.
    #[error("the command took longer than {0:?} and was ended")]
    TooLong(Duration),
    /// It ended badly.
    #[error("{end}{stderr}")]
    Ended {
        /// How.
        end: String,
        /// What it said on its error output, after a colon; empty if nothing.
        stderr: String,
    },
    /// Nobody knows how it ended.
    #[error("the connection broke before the command ended")]
    Lost,
    /// This process may not act now.
    #[error("another process leads")]
    NotLeading,
}

impl Writer {
    /// Runs a command in a container of a pod and waits for its end. It is no write and holds no permit: it may take minutes.
    ///
    /// # Errors
    /// If it can't be run, takes longer than `limit`, or ends badly.
    pub async fn exec(
        &self,
        pod: &Key,
        container: Option<&str>,
        command: &[String],
        limit: Duration,
    ) -> Result<(), ExecError> {
        if !self.leadership.may_write() {
            return Err(ExecError::NotLeading);
        }
        match tokio::time::timeout(limit, self.run(pod, container, command)).await {
            Ok(ended) => ended,
            // Dropping the connection is what ends the command.
            Err(_) => Err(ExecError::TooLong(limit)),
        }
    }

    async fn run(
        &self,
        pod: &Key,
        container: Option<&str>,
        command: &[String],
    ) -> Result<(), ExecError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let params = AttachParams {
            container: container.map(str::to_owned),
            stdin: false,
            stdout: true,
            stderr: true,
            tty: false,
            ..AttachParams::default()
        };
        let mut process = pods
            .exec(&pod.name, command, &params)
            .await
            .map_err(|error| ExecError::Start(Box::new(error)))?;
        let status = process.take_status();
        let (stdout, stderr) = (process.stdout(), process.stderr());
        // Output that nobody takes would stop the command.
        let (_, said) = tokio::join!(drain(stdout, 0), drain(stderr, STDERR));
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        verdict(status, &said)
    }
}

/// Reads to the end and keeps the first so many bytes.
async fn drain(from: Option<impl AsyncRead + Unpin>, keep: usize) -> Vec<u8> {
    let Some(mut from) = from else { return Vec::new() };
    let (mut kept, mut buffer) = (Vec::new(), vec![0; 8192]);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let room = keep.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(&buffer[..room]);
    }
    kept
}

fn verdict(status: Option<Status>, stderr: &[u8]) -> Result<(), ExecError> {
    let status = status.ok_or(ExecError::Lost)?;
    if status.status.as_deref() == Some("Success") {
        return Ok(());
    }
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes
        .and_then(|causes| causes.iter().find(|c| c.reason.as_deref() == Some("ExitCode")))
        .and_then(|cause| cause.message.clone());
    let end = match code {
        Some(code) => format!("the command ended with exit code {code}"),
        None => status.message.unwrap_or_else(|| "the command ended badly".to_owned()),
    };
    let said = String::from_utf8_lossy(stderr);
    let stderr = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
    Err(ExecError::Ended { end, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_end_says_its_code_and_what_the_command_said() {
        let ended = serde_json::from_value(serde_json::json!({
            "status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
        }))
        .unwrap();
        let error = verdict(Some(ended), b"no space left\n").unwrap_err();
        assert_eq!(error.to_string(), "the command ended with exit code 3: no space left");
        let well = Status { status: Some("Success".to_owned()), ..Status::default() };
        assert!(verdict(Some(well), b"a warning").is_ok());
        assert!(matches!(verdict(None, b""), Err(ExecError::Lost)));
    }
}
