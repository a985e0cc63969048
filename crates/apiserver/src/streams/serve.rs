//! The streaming subresources of pods.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use futures::{FutureExt, future::BoxFuture};
use http::Request;
use tokio_util::sync::CancellationToken;

use super::{
    AttachRequest, ExecRequest, Params, PodStreams, Session, StreamError, StreamNeeds, logs, pump,
    target::Target, upgrade::Handshake,
};
use crate::{clock::Clock, in_process::wants_upgrade, object::Object, status::ApiError};

/// A command's length in all. The request line is limited already; this keeps the promise to [`PodStreams`] explicit.
const MAX_COMMAND_BYTES: usize = 64 << 10;

/// Which of the streaming subresources is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streamed {
    /// `pods/exec`
    Exec,
    /// `pods/attach`
    Attach,
    /// `pods/log`
    Log,
    /// `pods/portforward`
    PortForward,
}

impl Streamed {
    /// The subresource with this path segment.
    pub fn from_segment(segment: &str) -> Option<Self> {
        match segment {
            "exec" => Some(Self::Exec),
            "attach" => Some(Self::Attach),
            "log" => Some(Self::Log),
            "portforward" => Some(Self::PortForward),
            _ => None,
        }
    }
}

/// Serves the streaming subresources, with the help of whoever runs the pods.
#[derive(Clone)]
pub struct Streaming {
    pods: Option<Arc<dyn PodStreams>>,
    clock: Clock,
    stop: CancellationToken,
}

impl Streaming {
    /// Without `pods`, every request is refused with a Status that says so. Cancelling `stop` ends all streams.
    pub fn new(pods: Option<Arc<dyn PodStreams>>, clock: Clock, stop: CancellationToken) -> Self {
        Self { pods, clock, stop }
    }

    /// Answers a request on a pod that exists.
    pub async fn serve(
        &self,
        streamed: Streamed,
        pod: &Object,
        request: Request<Body>,
    ) -> Result<Response, ApiError> {
        let params = Params::parse(request.uri().query());
        let pods = match (streamed, &self.pods) {
            (Streamed::PortForward, _) => return Err(ApiError::not_implemented("port-forward")),
            (_, None) => {
                return Err(ApiError::not_implemented("streaming without a node that runs pods"));
            }
            (_, Some(pods)) => pods.clone(),
        };
        match streamed {
            Streamed::Log if wants_upgrade(request.headers()) => {
                Err(ApiError::not_implemented("reading logs over WebSocket"))
            }
            Streamed::Log => {
                logs::serve(&*pods, pod, &params, self.clock.now(), self.stop.clone()).await
            }
            Streamed::Exec => self.exec(pods, pod, &params, request),
            Streamed::Attach => self.attach(pods, pod, &params, request),
            Streamed::PortForward => Err(ApiError::not_implemented("port-forward")),
        }
    }

    fn exec(
        &self,
        pods: Arc<dyn PodStreams>,
        pod: &Object,
        params: &Params,
        request: Request<Body>,
    ) -> Result<Response, ApiError> {
        let target = Target::of(pod);
        let container = target.container(params)?;
        let command: Vec<String> = params.all("command").map(str::to_owned).collect();
        if command.first().is_none_or(String::is_empty) {
            return Err(ApiError::bad_request("a command must be specified"));
        }
        if command.iter().map(String::len).sum::<usize>() > MAX_COMMAND_BYTES {
            return Err(ApiError::bad_request("the command is too long"));
        }
        let exec =
            ExecRequest { target: target.locate(container)?, command, needs: needs(params)? };
        self.upgrade(request, async move { pods.exec(exec).await }.boxed())
    }

    fn attach(
        &self,
        pods: Arc<dyn PodStreams>,
        pod: &Object,
        params: &Params,
        request: Request<Body>,
    ) -> Result<Response, ApiError> {
        let target = Target::of(pod);
        let container = target.container(params)?;
        let attach = AttachRequest { target: target.locate(container)?, needs: needs(params)? };
        self.upgrade(request, async move { pods.attach(attach).await }.boxed())
    }

    /// Upgrades, and only then starts: what fails from here on is told on the status channel.
    fn upgrade(
        &self,
        mut request: Request<Body>,
        starting: BoxFuture<'static, Result<Session, StreamError>>,
    ) -> Result<Response, ApiError> {
        let handshake = Handshake::of(&mut request)?;
        let protocol = handshake.protocol();
        let (response, socket) = handshake.answer();
        let stop = self.stop.clone();
        tokio::spawn(async move {
            if let Some(socket) = socket.await {
                pump::run(socket, protocol, starting, stop).await;
            }
        });
        Ok(response)
    }
}

fn needs(params: &Params) -> Result<StreamNeeds, ApiError> {
    let tty = params.flag("tty");
    let needs = StreamNeeds {
        stdin: params.flag("stdin"),
        stdout: params.flag("stdout"),
        // A terminal has one output; clients ask for both nevertheless.
        stderr: params.flag("stderr") && !tty,
        tty,
    };
    if !needs.stdin && !needs.stdout && !needs.stderr {
        return Err(ApiError::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(needs)
}
