//! Reaches into the pods of this node: exec, attach, logs and connections, for whoever serves them.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use tokio::net::TcpStream;

use super::{context::Context, dispatch::Pods};
use crate::{
    logs::{self, LogOptions},
    runtime::{ContainerId, ExecSetup, PodId, Runtime, RuntimeError, Streams},
};

/// Why there are no streams.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The container has not been started, or waits to be started again.
    #[error("container {container:?} in pod {pod:?} is waiting to start: {why}")]
    Waiting {
        /// Which container.
        container: String,
        /// Of which pod.
        pod: String,
        /// What for.
        why: String,
    },
    /// There was no run before the current one.
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious {
        /// Which container.
        container: String,
        /// Of which pod.
        pod: String,
    },
    /// It runs or ran, and nothing of it was written down.
    #[error("there is no log of container {container:?} in pod {pod:?}")]
    NoLog {
        /// Which container.
        container: String,
        /// Of which pod.
        pod: String,
    },
    /// The pod is not on this node.
    #[error("pod {0} is not on this node")]
    NoPod(String),
    /// The container has ended.
    #[error("container {0:?} is not running")]
    NotRunning(String),
    /// The runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Log text, in pieces of any size.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// A handle to the pods of a node; cheap to clone. Pods are named by uid: a name may mean another pod by now.
#[derive(Clone)]
pub struct PodAccess {
    pods: Pods,
    reach: Arc<dyn Reach>,
}

/// The runtime, whichever it is.
trait Reach: Send + Sync {
    fn exec(
        &self,
        id: ContainerId,
        setup: ExecSetup,
    ) -> BoxFuture<'_, Result<Streams, RuntimeError>>;
    fn attach(&self, id: ContainerId, stdin: bool) -> BoxFuture<'_, Result<Streams, RuntimeError>>;
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, Result<TcpStream, RuntimeError>>;
    fn log_path(&self, uid: &str, container: &str, attempt: u32) -> std::path::PathBuf;
}

impl<R: Runtime> Reach for Context<R> {
    fn exec(
        &self,
        id: ContainerId,
        setup: ExecSetup,
    ) -> BoxFuture<'_, Result<Streams, RuntimeError>> {
        Box::pin(async move { self.runtime.exec(&id, setup).await })
    }

    fn attach(&self, id: ContainerId, stdin: bool) -> BoxFuture<'_, Result<Streams, RuntimeError>> {
        Box::pin(async move { self.runtime.attach(&id, stdin).await })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, Result<TcpStream, RuntimeError>> {
        Box::pin(self.runtime.connect(to))
    }

    fn log_path(&self, uid: &str, container: &str, attempt: u32) -> std::path::PathBuf {
        self.log_path(uid, container, attempt)
    }
}

impl PodAccess {
    pub(super) fn new<R: Runtime>(context: Arc<Context<R>>, pods: Pods) -> Self {
        Self { pods, reach: context }
    }

    /// Runs a command in a running container.
    pub async fn exec(
        &self,
        uid: &str,
        container: &str,
        setup: ExecSetup,
    ) -> Result<Streams, StreamError> {
        let id = self.running(uid, container)?;
        Ok(self.reach.exec(id, setup).await?)
    }

    /// Connects to a running container's own streams.
    pub async fn attach(
        &self,
        uid: &str,
        container: &str,
        stdin: bool,
    ) -> Result<Streams, StreamError> {
        let id = self.running(uid, container)?;
        Ok(self.reach.attach(id, stdin).await?)
    }

    /// Streams a container's log. A follower comes to its end when the run ends.
    pub fn logs(
        &self,
        uid: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<LogStream, StreamError> {
        let entry = self.pods.read().get(uid).cloned();
        let entry = entry.ok_or_else(|| StreamError::NoPod(uid.into()))?;
        let pod = || entry.pod.metadata.name.clone().unwrap_or_default();
        match entry.board.log(container, options.previous) {
            Some(place) => {
                let path = self.reach.log_path(uid, container, place.attempt);
                if !path.exists() {
                    return Err(StreamError::NoLog { container: container.into(), pod: pod() });
                }
                Ok(logs::stream(path, options, place.running))
            }
            None if options.previous => {
                Err(StreamError::NoPrevious { container: container.into(), pod: pod() })
            }
            None => Err(waiting(&entry.pod, container)),
        }
    }

    /// Opens a connection to a port of a pod.
    pub async fn connect(&self, uid: &str, port: u16) -> Result<TcpStream, StreamError> {
        let board = self.pods.read().get(uid).map(|entry| entry.board.clone());
        let ip = board.and_then(|board| board.ip());
        let ip = ip.ok_or_else(|| StreamError::NoPod(uid.into()))?;
        Ok(self.reach.connect(SocketAddr::new(ip, port)).await?)
    }

    fn running(&self, uid: &str, container: &str) -> Result<ContainerId, StreamError> {
        let entry = self.pods.read().get(uid).cloned();
        let entry = entry.ok_or_else(|| StreamError::NoPod(uid.into()))?;
        if entry.board.is_running(container) {
            return Ok(ContainerId { pod: PodId(uid.into()), name: container.into() });
        }
        Err(StreamError::NotRunning(container.into()))
    }
}

/// Says what the container waits for, from its status.
fn waiting(pod: &k8s_openapi::api::core::v1::Pod, container: &str) -> StreamError {
    let status = pod.status.as_ref();
    let all = status.into_iter().flat_map(|s| {
        s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten())
    });
    let mut waits = all.filter(|s| s.name == container).filter_map(|s| {
        let waiting = s.state.as_ref()?.waiting.as_ref()?;
        waiting.message.clone().or_else(|| waiting.reason.clone())
    });
    StreamError::Waiting {
        container: container.into(),
        pod: pod.metadata.name.clone().unwrap_or_default(),
        why: waits.next().unwrap_or_else(|| "ContainerCreating".into()),
    }
}
