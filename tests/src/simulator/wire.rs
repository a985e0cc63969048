//! What connects a controller to the server, and can be cut.
//!
//! A crash cuts it for good: what was sent may have happened, no answer comes, and nothing is sent any more. An outage makes every request fail until it is over.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Method, Request};
use parking_lot::Mutex;
use tokio::sync::watch;
use tower::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long a request takes at least. Without it a controller that does the same thing again and again would do so for ever at one moment, and time, which only
/// passes when nobody has anything to do, would stand still for all others.
const TAKES: Duration = Duration::from_millis(1);

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Requests pass.
    Up,
    /// Requests fail at once, and those under way fail too.
    Out,
    /// Nothing ever answers again: the process at this end is dead.
    Dead,
}

/// A connection. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Wire {
    link: Arc<watch::Sender<Link>>,
    writes: Arc<Mutex<Writes>>,
}

#[derive(Debug, Default)]
struct Writes {
    done: Vec<String>,
    /// The wire dies when this many writes are done.
    dies_after: Option<usize>,
}

impl Default for Wire {
    fn default() -> Self {
        Self { link: Arc::new(watch::channel(Link::Up).0), writes: Arc::default() }
    }
}

impl Wire {
    /// Changes its state. What is dead stays dead.
    pub fn set(&self, link: Link) {
        self.link.send_if_modified(|now| {
            let changes = *now != Link::Dead && *now != link;
            if changes {
                *now = link;
            }
            changes
        });
    }

    /// Dies as soon as `writes` more writes have happened on the server: before the answer to the last one.
    pub fn die_after(&self, writes: usize) {
        let mut state = self.writes.lock();
        state.dies_after = Some(state.done.len() + writes);
    }

    /// Waits until the wire is dead.
    pub async fn dead(&self) {
        // The sender is ours, so this ends only when it is true.
        let _ = self.link.subscribe().wait_for(|link| *link == Link::Dead).await;
    }

    /// The writes that got an answer from the server, as `METHOD path`. Events and leases are not counted.
    pub fn writes(&self) -> Vec<String> {
        self.writes.lock().done.clone()
    }

    fn wrote(&self, what: String) {
        let mut state = self.writes.lock();
        state.done.push(what);
        if state.dies_after.is_some_and(|last| state.done.len() >= last) {
            drop(state);
            self.set(Link::Dead);
        }
    }

    /// A client at this end of the wire.
    pub fn client<S, B>(&self, server: S) -> kube::Client
    where
        S: Service<Request<kube::client::Body>, Response = http::Response<B>>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + Send,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        kube::Client::new(Wired { server, wire: self.clone() }, "default")
    }
}

#[derive(Clone)]
struct Wired<S> {
    server: S,
    wire: Wire,
}

impl<S, A> Service<Request<kube::client::Body>> for Wired<S>
where
    S: Service<Request<kube::client::Body>, Response = A> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    A: Send,
{
    type Response = A;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<A, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.server.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let counted = method != Method::GET && !path.contains("/events") && !path.contains("/leases");
        let (wire, mut link) = (self.wire.clone(), self.wire.link.subscribe());
        link.mark_unchanged();
        // The service that was polled ready is the one to call.
        let fresh = self.server.clone();
        let mut server = std::mem::replace(&mut self.server, fresh);
        Box::pin(async move {
            if *wire.link.borrow() == Link::Up {
                let answer = async {
                    tokio::time::sleep(TAKES).await;
                    server.call(request).await
                };
                tokio::select! {
                    biased;
                    answer = answer => {
                        if counted {
                            wire.wrote(format!("{method} {path}"));
                        }
                        if *wire.link.borrow() != Link::Dead {
                            return answer.map_err(Into::into);
                        }
                    }
                    _ = link.changed() => {}
                }
            }
            if *wire.link.borrow() == Link::Dead {
                std::future::pending::<()>().await;
            }
            Err("the connection is broken".into())
        })
    }
}
