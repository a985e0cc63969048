//! The wire between the controllers and the server, which counts what they write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::Body;
use tower::{Service, ServiceExt};

/// What went over the wire.
#[derive(Clone, Default)]
pub struct Wire {
    writes: Arc<AtomicUsize>,
}

impl Wire {
    /// How many writes there were. Leases are not counted: they are renewed for ever.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// A server behind this wire.
    pub fn to<S>(&self, server: S) -> Wired<S> {
        Wired { server, wire: self.clone() }
    }
}

/// A server behind a wire.
#[derive(Clone)]
pub struct Wired<S> {
    server: S,
    wire: Wire,
}

impl<S, B> Service<Request<Body>> for Wired<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let counts = *request.method() != Method::GET && !request.uri().path().contains("/leases");
        if counts {
            self.wire.writes.fetch_add(1, Ordering::Relaxed);
        }
        Box::pin(self.server.clone().oneshot(request))
    }
}
