//! The way from the API server's exec, attach and logs to the node that runs the pods.

use std::sync::{Arc, OnceLock};

use apiserver::streams::{
    AttachRequest, ContainerRef, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session,
    StreamError, StreamNeeds,
};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt};
use node::runtime::{ExecSetup, RuntimeError, Streams};
use node::{LogOptions, PodAccess};

/// The pods of a node that may not have started yet: the API is served before its node is there.
#[derive(Clone, Default)]
pub struct Pods(Arc<OnceLock<PodAccess>>);

impl Pods {
    /// Says where the pods are. The first word counts.
    pub fn reach(&self, access: PodAccess) {
        let _ = self.0.set(access);
    }

    fn access(&self) -> Result<&PodAccess, StreamError> {
        self.0.get().ok_or_else(|| StreamError::Failed("the node is still starting".into()))
    }
}

impl PodStreams for Pods {
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        async move {
            let ContainerRef { uid, container, .. } = request.target;
            let StreamNeeds { stdin, tty, .. } = request.needs;
            let setup = ExecSetup { argv: request.command, env: Default::default(), tty, stdin };
            let streams = self.access()?.exec(&uid, &container, setup).await.map_err(refused)?;
            Ok(session(streams, request.needs))
        }
        .boxed()
    }

    fn attach(&self, request: AttachRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        async move {
            let ContainerRef { uid, container, .. } = request.target;
            let stdin = request.needs.stdin;
            let streams = self.access()?.attach(&uid, &container, stdin).await.map_err(refused)?;
            Ok(session(streams, request.needs))
        }
        .boxed()
    }

    fn logs(&self, request: LogRequest) -> BoxFuture<'_, Result<LogStream, StreamError>> {
        async move {
            let ContainerRef { uid, container, .. } = request.target;
            let options = LogOptions {
                follow: request.follow,
                previous: request.previous,
                timestamps: request.timestamps,
                tail_lines: request.tail_lines,
                since: request.since,
            };
            let log = self.access()?.logs(&uid, &container, options).map_err(refused)?;
            let broken =
                |error: std::io::Error| StreamError::Failed(format!("reading the log: {error}"));
            Ok(log.map(move |piece| piece.map_err(broken)).boxed())
        }
        .boxed()
    }
}

/// Keeps only the streams that were asked for.
fn session(streams: Streams, needs: StreamNeeds) -> Session {
    Session {
        stdin: streams.stdin.filter(|_| needs.stdin),
        stdout: streams.stdout.filter(|_| needs.stdout),
        stderr: streams.stderr.filter(|_| needs.stderr),
        resize: streams.resize,
        exit: streams.exit.map_ok(|exit| Exit { code: exit.code }).map_err(failed).boxed(),
    }
}

fn refused(error: node::StreamError) -> StreamError {
    use node::StreamError as E;
    match error {
        E::Runtime(error) => failed(error),
        E::Waiting { .. } => StreamError::Waiting(error.to_string()),
        E::NoLog { .. } => StreamError::Failed(error.to_string()),
        E::NoPrevious { .. } | E::NoPod(_) | E::NotRunning(_) => {
            StreamError::NotRunning(error.to_string())
        }
    }
}

fn failed(error: RuntimeError) -> StreamError {
    let text = error.to_string();
    match error {
        RuntimeError::NotExecutable { .. } => StreamError::NotExecutable(text),
        RuntimeError::NotRunning(_) => StreamError::NotRunning(text),
        RuntimeError::Unsupported(_) => StreamError::Unsupported(text),
        RuntimeError::Failed { .. } => StreamError::Failed(text),
    }
}
