//! `sandbank exec CLAIM|SANDBOX -- COMMAND`: runs a command in a sandbox, on a terminal if asked.

use std::process::ExitCode;

use dialects::x_k8s::types::OperatingMode;
use futures::SinkExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::connect::Server;
use super::objects::{self, Scope};
use super::terminal::{self, RawTerminal};
use crate::cli::Global;
use crate::exit::{Error, Exit};

/// Bytes in flight per stream. kube's default of 1 KiB makes a busy stream slow; much more only delays Ctrl-C.
const STREAM_BUFFER: usize = 64 * 1024;

/// Flags of `sandbank exec`.
#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// Pass standard input to the command
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal
    #[arg(short = 't', long)]
    tty: bool,
    /// The container [default: the first]
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// A claim or sandbox by name, or claim/NAME, sandbox/NAME, pod/NAME
    #[arg(value_name = "CLAIM|SANDBOX")]
    target: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command and ends with its exit code.
pub async fn run(global: &Global, args: ExecArgs) -> Result<ExitCode, Error> {
    if args.tty && !args.stdin {
        return Err(Error::usage("a terminal without input would hang", "write -it"));
    }
    if args.tty && !terminal::is_terminal() {
        return Err(Error::usage(
            "-t needs a terminal, and standard input is none",
            "leave -t out (-i still passes the input on)",
        ));
    }
    let server = Server::connect(global).await?;
    let pod = find_pod(&server, &args.target).await?;
    let params = AttachParams {
        container: args.container.clone(),
        stdin: args.stdin,
        stdout: true,
        // A terminal has one output; asking for a second stream is an error.
        stderr: !args.tty,
        tty: args.tty,
        max_stdin_buf_size: Some(STREAM_BUFFER),
        max_stdout_buf_size: Some(STREAM_BUFFER),
        max_stderr_buf_size: Some(STREAM_BUFFER),
    };
    let what = format!("exec in pod {}/{pod}", server.namespace);
    let process = server.pods().exec(&pod, &args.command, &params).await.map_err(|e| {
        server.explain(&what, &format!("`sandbank why pod/{pod}` shows what became of it"), e)
    })?;
    let raw = args.tty.then(RawTerminal::enter).transpose().map_err(anyhow::Error::from)?;
    let status = carry(process).await;
    drop(raw);
    verdict(&what, status?)
}

/// Carries bytes both ways until the command ends; answers with what the server says of its end.
async fn carry(mut process: AttachedProcess) -> Result<Option<Status>, Error> {
    if let Some(sizes) = process.terminal_size() {
        tokio::spawn(follow_size(sizes));
    }
    if let Some(mut stdin) = process.stdin() {
        // Not awaited: the command may end while its input stays open, as a terminal's does.
        tokio::spawn(async move {
            if let Ok(mut input) = terminal::input() {
                let _ = tokio::io::copy(&mut input, &mut stdin).await;
            }
            let _ = stdin.shutdown().await;
        });
    }
    let status = process.take_status();
    let streams = anyhow::Context::context(terminal::outputs(), "cannot use our own output")?;
    let out = pour(process.stdout(), streams.0);
    let err = pour(process.stderr(), streams.1);
    // A reader that went away ends the command, whatever the other stream does.
    tokio::try_join!(out, err)?;
    Ok(match status {
        Some(status) => status.await,
        None => None,
    })
}

async fn pour(
    from: Option<impl AsyncRead + Unpin>,
    mut to: impl AsyncWrite + Unpin,
) -> Result<(), Error> {
    let Some(mut from) = from else { return Ok(()) };
    match tokio::io::copy(&mut from, &mut to).await {
        Ok(_) => to.flush().await.or(Err(Error::OutputClosed)),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Err(Error::OutputClosed),
        Err(e) => Err(Error::Failed(anyhow::Error::new(e).context("carrying the output"))),
    }
}

/// Tells the other side the size of our terminal, now and at every change.
async fn follow_size(mut sizes: futures::channel::mpsc::Sender<TerminalSize>) {
    let kind = tokio::signal::unix::SignalKind::window_change();
    let Ok(mut changes) = tokio::signal::unix::signal(kind) else { return };
    loop {
        if let Some((width, height)) = terminal::size()
            && sizes.send(TerminalSize { width, height }).await.is_err()
        {
            return;
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}

/// From the server's word on the command's end to an exit code.
fn verdict(what: &str, status: Option<Status>) -> Result<ExitCode, Error> {
    let Some(status) = status else {
        return Err(Error::Failed(anyhow::anyhow!(
            "{what}: the connection ended before the command did"
        )));
    };
    if status.status.as_deref() == Some("Success") {
        return Ok(Exit::Ok.into());
    }
    if let Some(code) = exit_code(&status) {
        return Ok(ExitCode::from(code));
    }
    Err(Error::Refused {
        what: what.into(),
        reason: status.message.unwrap_or_else(|| "the server gave no reason".into()),
        next: None,
    })
}

/// The command's exit code. Only the low byte of one can be passed on; a failure never becomes a success by that.
fn exit_code(status: &Status) -> Option<u8> {
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let cause = causes.iter().find(|c| c.reason.as_deref() == Some("ExitCode"))?;
    let code: i32 = cause.message.as_deref()?.parse().ok()?;
    Some(u8::try_from(code & 0xff).ok().filter(|low| *low != 0).unwrap_or(Exit::Failed as u8))
}

/// The pod behind a name. A bare name is a claim first, then a sandbox, then a pod.
async fn find_pod(server: &Server, target: &str) -> Result<String, Error> {
    let missing = |kind: &str, name: &str| {
        Error::not_found(
            format!("{kind} {}/{name}", server.namespace),
            "`kubectl get sandboxclaims,sandboxes` lists claims and sandboxes",
        )
    };
    match target.split_once('/') {
        Some(("claim" | "sandboxclaim", name)) => {
            pod_of_claim(server, name).await?.ok_or_else(|| missing("claim", name))
        }
        Some(("sandbox", name)) => {
            pod_of_sandbox(server, name).await?.ok_or_else(|| missing("sandbox", name))
        }
        Some(("pod", name)) => Ok(name.to_owned()),
        Some((kind, _)) => Err(Error::usage(
            format!("there is no exec in a {kind:?}"),
            "name a claim/NAME, a sandbox/NAME or a pod/NAME",
        )),
        None => {
            if let Some(pod) = pod_of_claim(server, target).await? {
                return Ok(pod);
            }
            if let Some(pod) = pod_of_sandbox(server, target).await? {
                return Ok(pod);
            }
            Err(missing("claim or sandbox", target))
        }
    }
}

async fn pod_of_claim(server: &Server, name: &str) -> Result<Option<String>, Error> {
    let what = format!("claim {}/{name}", server.namespace);
    let claim = server
        .claims(Scope::Namespace)
        .get_opt(name)
        .await
        .map_err(|e| server.explain(&what, "", e))?;
    let Some(claim) = claim else { return Ok(None) };
    let Some(bound) = objects::claim_sandbox(&claim) else {
        let because = objects::claim_ready(&claim).map(objects::because);
        return Err(Error::NotReady {
            what,
            reason: because.unwrap_or_else(|| "it has no sandbox yet".into()),
            next: format!("`sandbank why claim/{name}` explains"),
        });
    };
    match pod_of_sandbox(server, &bound.name).await? {
        Some(pod) => Ok(Some(pod)),
        None => Err(Error::NotReady {
            what,
            reason: format!("its sandbox {} is gone", bound.name),
            next: format!("`sandbank why claim/{name}` explains"),
        }),
    }
}

async fn pod_of_sandbox(server: &Server, name: &str) -> Result<Option<String>, Error> {
    let what = format!("sandbox {}/{name}", server.namespace);
    let sandbox = server.sandboxes(Scope::Namespace).get_opt(name).await;
    let sandbox = sandbox.map_err(|e| server.explain(&what, "", e))?;
    let Some(sandbox) = sandbox else { return Ok(None) };
    if sandbox.spec.operating_mode == Some(OperatingMode::Suspended) {
        let resume = r#"{"spec":{"operatingMode":"Running"}}"#;
        return Err(Error::NotReady {
            what,
            reason: "it is suspended and has no pod".into(),
            next: format!(
                "`kubectl patch sandbox {name} -n {} --type=merge -p '{resume}'` resumes it",
                server.namespace
            ),
        });
    }
    Ok(Some(objects::pod_of(&sandbox)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: &str) -> Status {
        serde_json::from_value(serde_json::json!({
            "status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_exit_code_of_the_command_is_passed_on_and_never_turns_into_success() {
        assert_eq!(exit_code(&ended("3")), Some(3));
        assert_eq!(exit_code(&ended("137")), Some(137));
        assert_eq!(exit_code(&ended("256")), Some(1));
        assert_eq!(exit_code(&Status::default()), None);
    }

    #[test]
    fn a_connection_that_ends_early_is_a_failure() {
        assert!(verdict("exec", None).is_err());
        assert!(verdict("exec", Some(Status::default())).is_err());
    }
}
