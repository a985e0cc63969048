//! The way from the API server's exec, attach and logs to the node that runs the pods.

use std::sync::{Arc, OnceLock};

use apiserver::streams::{
    AttachRequest, ContainerRef, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session,
    StreamError,
};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt};
use node::runtime::{ContainerId, ExecSetup, PodId, RuntimeError, Streams};
use node::{LogOptions, Node};

/// The pods of a node that may not have started yet: the API is served before its node is there.
#[derive(Clone, Default)]
pub struct Pods(Arc<OnceLock<Node>>);

impl Pods {
    /// Says where the pods are. The first word counts.
    pub fn reach(&self, node: &Node) {
        let _ = self.0.set(node.clone());
    }

    fn node(&self) -> Result<&Node, StreamError> {
        self.0.get().ok_or_else(|| StreamError::Failed("the node is still starting".into()))
    }
}
