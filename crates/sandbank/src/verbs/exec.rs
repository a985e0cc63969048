//! `sandbank exec CLAIM|SANDBOX -- COMMAND`: runs a command in a sandbox, on a terminal if asked.

use std::process::ExitCode;

use controllers::kinds::Kind;
use dialects::x_k8s::types::OperatingMode;
use futures::SinkExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::ResourceExt;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::connect::Server;
use super::find::{self, CLAIMS, Named, SANDBOXES};
use super::objects::{self, Scope, kruise};
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

/// The pod behind a name. A bare name is a claim first, then a sandbox.
async fn find_pod(server: &Server, target: &str) -> Result<String, Error> {
    let missing = |kind: &str, name: &str| {
        Error::not_found(
            format!("{kind} {}/{name}", server.namespace),
            "`kubectl get sandboxclaims,sandboxes` lists claims and sandboxes",
        )
    };
    if !target.contains('/') {
        for kinds in [CLAIMS, SANDBOXES] {
            let named = Named { kinds: kinds.to_vec(), name: target.to_owned() };
            if let Some(kind) = server.find(&named).await? {
                return pod_of(server, kind, target).await;
            }
        }
        return Err(missing("claim or sandbox", target));
    }
    let [claims, sandboxes] = [CLAIMS, SANDBOXES];
    let possible = [claims[0], claims[1], sandboxes[0], sandboxes[1], Kind::Pod];
    let named = Named::parse_among(target, &possible)?;
    if named.kinds == [Kind::Pod] {
        return Ok(named.name);
    }
    match server.find(&named).await? {
        Some(kind) => pod_of(server, kind, &named.name).await,
        None => {
            let word = if named.kinds.iter().any(|kind| CLAIMS.contains(kind)) {
                "claim"
            } else {
                "sandbox"
            };
            Err(missing(word, &named.name))
        }
    }
}

async fn pod_of(server: &Server, kind: Kind, name: &str) -> Result<String, Error> {
    match kind {
        Kind::Claim => pod_of_claim(server, name).await,
        Kind::KruiseClaim => pod_of_set_claim(server, name).await,
        Kind::Sandbox => {
            let what = format!("sandbox {}/{name}", server.namespace);
            let sandbox = server.sandboxes(Scope::Namespace).get(name).await;
            running_pod(server, &sandbox.map_err(|e| server.explain(&what, "", e))?)
        }
        Kind::KruiseSandbox => {
            let what = format!("sandbox {}/{name}", server.namespace);
            let sandbox = server.set_sandboxes(Scope::Namespace).get(name).await;
            running_pod_of_set(server, &sandbox.map_err(|e| server.explain(&what, "", e))?)
        }
        _ => Ok(name.to_owned()),
    }
}

async fn pod_of_claim(server: &Server, name: &str) -> Result<String, Error> {
    let what = format!("claim {}/{name}", server.namespace);
    let explain = |e| server.explain(&what, "", e);
    let claim = server.claims(Scope::Namespace).get(name).await.map_err(explain)?;
    let Some(bound) = objects::claim_sandbox(&claim) else {
        let because = objects::claim_ready(&claim).map(objects::because);
        return Err(not_ready(&what, name, because));
    };
    let sandbox = server.sandboxes(Scope::Namespace).get_opt(&bound.name).await;
    match sandbox.map_err(explain)? {
        Some(sandbox) => running_pod(server, &sandbox),
        None => Err(not_ready(&what, name, Some(format!("its sandbox {} is gone", bound.name)))),
    }
}

/// A claim of this family may have several sandboxes; then one has to be named.
async fn pod_of_set_claim(server: &Server, name: &str) -> Result<String, Error> {
    let what = format!("claim {}/{name}", server.namespace);
    let explain = |e| server.explain(&what, "", e);
    let claim = server.set_claims(Scope::Namespace).get(name).await.map_err(explain)?;
    let sandboxes = server.sandboxes_of(&claim).await.map_err(explain)?;
    match sandboxes.as_slice() {
        [] => Err(not_ready(&what, name, kruise::claim_message(&claim).map(str::to_owned))),
        [sandbox] => running_pod_of_set(server, sandbox),
        several => {
            let names: Vec<String> =
                several.iter().map(|sandbox| format!("sbx/{}", sandbox.name_any())).collect();
            Err(Error::usage(
                format!("{what} has {} sandboxes", several.len()),
                format!("name one of them: {}", names.join(", ")),
            ))
        }
    }
}

/// The pod of a sandbox that has one.
fn running_pod(server: &Server, sandbox: &objects::Sandbox) -> Result<String, Error> {
    if sandbox.spec.operating_mode == Some(OperatingMode::Suspended) {
        let resume = r#"{"spec":{"operatingMode":"Running"}}"#;
        return Err(stopped(server, Kind::Sandbox, &sandbox.name_any(), "suspended", resume));
    }
    Ok(objects::pod_of(sandbox))
}

/// The same in a family whose pods have the names of their sandboxes.
fn running_pod_of_set(server: &Server, sandbox: &kruise::Sandbox) -> Result<String, Error> {
    if sandbox.spec.paused {
        let resume = r#"{"spec":{"paused":false}}"#;
        return Err(stopped(server, Kind::KruiseSandbox, &sandbox.name_any(), "paused", resume));
    }
    Ok(sandbox.name_any())
}

fn stopped(server: &Server, kind: Kind, name: &str, word: &str, resume: &str) -> Error {
    let (namespace, kind) = (&server.namespace, find::exact(kind));
    Error::NotReady {
        what: format!("sandbox {namespace}/{name}"),
        reason: format!("it is {word} and has no pod"),
        next: format!(
            "`kubectl patch {kind} {name} -n {namespace} --type=merge -p '{resume}'` resumes it"
        ),
    }
}

fn not_ready(what: &str, name: &str, because: Option<String>) -> Error {
    Error::NotReady {
        what: what.to_owned(),
        reason: because.unwrap_or_else(|| "it has no sandbox yet".into()),
        next: format!("`sandbank why claim/{name}` explains"),
    }
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
