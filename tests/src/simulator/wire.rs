//! What connects a controller to the server, and can be cut.
//!
//! A crash cuts it for good: what was sent may have happened, no answer comes, and nothing is sent any more. An outage makes every request fail until it is over.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Method, Request};
use parking_lot::Mutex;
use tokio::sync::Notify;
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

/// A write that is kept on its way.
#[derive(Debug, Default)]
pub struct Gate {
    arrived: Notify,
    open: Notify,
}

impl Gate {
    /// Waits until the write was sent.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Lets it reach the server.
    pub fn open(&self) {
        self.open.notify_one();
    }
}

/// A connection. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct Wire {
    link: Arc<State>,
    writes: Arc<Mutex<Writes>>,
}

/// Not a watch channel: that wakes its receivers in an order drawn by chance.
#[derive(Debug)]
struct State {
    now: Mutex<(Link, u64)>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Writes {
    done: Vec<String>,
    /// The wire dies when this many writes are done.
    dies_after: Option<usize>,
    /// Writes that wait for a word of the story.
    gates: Vec<(Method, String, Arc<Gate>)>,
}

impl Default for Wire {
    fn default() -> Self {
        let state = State { now: Mutex::new((Link::Up, 0)), changed: Notify::new() };
        Self { link: Arc::new(state), writes: Arc::default() }
    }
}

impl Wire {
    /// Changes its state. What is dead stays dead.
    pub fn set(&self, link: Link) {
        let mut now = self.link.now.lock();
        if now.0 != Link::Dead && now.0 != link {
            *now = (link, now.1 + 1);
            self.link.changed.notify_waiters();
        }
    }

    fn state(&self) -> (Link, u64) {
        *self.link.now.lock()
    }

    /// Waits until the state is another one than it was.
    async fn changed_since(&self, before: u64) {
        loop {
            let mut changed = pin!(self.link.changed.notified());
            changed.as_mut().enable();
            if self.state().1 != before {
                return;
            }
            changed.await;
        }
    }

    /// Dies as soon as `writes` more writes have happened on the server: before the answer to the last one.
    pub fn die_after(&self, writes: usize) {
        let mut state = self.writes.lock();
        state.dies_after = Some(state.done.len() + writes);
    }

    /// Waits until the wire is dead.
    pub async fn dead(&self) {
        loop {
            let (link, epoch) = self.state();
            if link == Link::Dead {
                return;
            }
            self.changed_since(epoch).await;
        }
    }

    /// The writes that got an answer from the server, as `METHOD path`. Events and leases are not counted.
    pub fn writes(&self) -> Vec<String> {
        self.writes.lock().done.clone()
    }

    /// Keeps the next write with this method whose path contains `part` on its way until it is let through.
    pub fn hold_next(&self, method: Method, part: &str) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        self.writes.lock().gates.push((method, part.to_owned(), gate.clone()));
        gate
    }

    fn gate(&self, method: &Method, path: &str) -> Option<Arc<Gate>> {
        let gates = &mut self.writes.lock().gates;
        let fits = |gate: &(Method, String, Arc<Gate>)| gate.0 == *method && path.contains(&gate.1);
        let found = gates.iter().position(fits)?;
        Some(gates.remove(found).2)
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
        let counted =
            method != Method::GET && !path.contains("/events") && !path.contains("/leases");
        let wire = self.wire.clone();
        // The service that was polled ready is the one to call.
        let fresh = self.server.clone();
        let mut server = std::mem::replace(&mut self.server, fresh);
        Box::pin(async move {
            let (link, epoch) = wire.state();
            if link == Link::Up {
                let answer = async {
                    tokio::time::sleep(TAKES).await;
                    if let Some(gate) = wire.gate(&method, &path) {
                        gate.arrived.notify_one();
                        gate.open.notified().await;
                    }
                    server.call(request).await
                };
                tokio::select! {
                    biased;
                    answer = answer => {
                        if counted {
                            wire.wrote(format!("{method} {path}"));
                        }
                        if wire.state().0 != Link::Dead {
                            return answer.map_err(Into::into);
                        }
                    }
                    () = wire.changed_since(epoch) => {}
                }
            }
            if wire.state().0 == Link::Dead {
                std::future::pending::<()>().await;
            }
            Err("the connection is broken".into())
        })
    }
}
