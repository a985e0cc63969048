//! The wire between the controllers and the server: it remembers what was asked, and can lose answers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body as Answer;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use tower::{Service, ServiceExt};

/// What the controllers asked, and what shall go wrong.
#[derive(Clone, Default)]
pub struct Wire {
    log: Arc<Mutex<Vec<String>>>,
    faults: Arc<Mutex<VecDeque<(Method, String, Fault)>>>,
    /// How many more writes get through; no limit if unsaid.
    left: Arc<Mutex<Option<usize>>>,
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The server does it, and the answer is lost.
    LoseAnswer,
    /// The server never sees it.
    LoseRequest,
    /// Its answer is lost at once, and the server sees it only so much later.
    Late(Duration),
    /// A quota says no.
    Refuse,
}

impl Wire {
    /// The writes so far, as `METHOD path`, without the queries. Events and leases are not counted.
    pub fn writes(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    /// Forgets the writes so far.
    pub fn clear(&self) {
        self.log.lock().clear();
    }

    /// The next request with this method whose path contains `part` goes wrong.
    pub fn break_next(&self, method: Method, part: &str, fault: Fault) {
        self.faults.lock().push_back((method, part.to_owned(), fault));
    }

    /// After so many more writes whoever writes hangs for ever, as if it had died between two of them.
    pub fn stop_after(&self, writes: usize) {
        *self.left.lock() = Some(writes);
    }

    /// Whether a write hangs.
    pub fn is_stopped(&self) -> bool {
        *self.left.lock() == Some(0)
    }

    /// Lets writes through again.
    pub fn go_on(&self) {
        *self.left.lock() = None;
    }

    fn stops(&self, method: &Method, path: &str) -> bool {
        let mut left = self.left.lock();
        match left.as_mut() {
            Some(left) if is_counted(method, path) => {
                let stops = *left == 0;
                *left = left.saturating_sub(1);
                stops
            }
            _ => false,
        }
    }

    /// Whether all that was to go wrong has gone wrong.
    pub fn is_whole(&self) -> bool {
        self.faults.lock().is_empty()
    }

    fn fault(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let (next, part, fault) = faults.front()?;
        let fault = (next == method && path.contains(part.as_str())).then_some(*fault)?;
        faults.pop_front();
        Some(fault)
    }

    fn note(&self, method: &Method, path: &str) {
        if is_counted(method, path) {
            self.log.lock().push(format!("{method} {path}"));
        }
    }

    /// A client whose requests go through this wire.
    pub fn client<S, B>(&self, server: S) -> kube::Client
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<tower::BoxError> + Send,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<tower::BoxError>,
    {
        kube::Client::new(Wired { server, wire: self.clone() }, "default")
    }
}

#[derive(Clone)]
struct Wired<S> {
    server: S,
    wire: Wire,
}

impl<S, B> Service<Request<Body>> for Wired<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<tower::BoxError> + Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    type Response = Response<Answer>;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Response<Answer>, tower::BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (server, wire) = (self.server.clone(), self.wire.clone());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if wire.stops(&method, &path) {
            return Box::pin(std::future::pending());
        }
        wire.note(&method, &path);
        let fault = wire.fault(&method, &path);
        Box::pin(async move {
            match fault {
                Some(Fault::LoseRequest) => return lost(),
                Some(Fault::Refuse) => return status(403, "Forbidden", "exceeded quota"),
                Some(Fault::Late(delay)) => {
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        // Nobody is there to hear how it went.
                        let _ = server.oneshot(request).await;
                    });
                    return lost();
                }
                Some(Fault::LoseAnswer) | None => {}
            }
            let answer = server.oneshot(request).await.map_err(Into::into)?;
            match fault {
                Some(_) => lost(),
                None => Ok(answer.map(Answer::new)),
            }
        })
    }
}

fn is_counted(method: &Method, path: &str) -> bool {
    *method != Method::GET && !path.contains("/events") && !path.contains("/leases")
}

fn lost() -> Result<Response<Answer>, tower::BoxError> {
    status(500, "InternalError", "the answer was lost")
}

fn status(code: u16, reason: &str, message: &str) -> Result<Response<Answer>, tower::BoxError> {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": message,
    });
    let body = Answer::from(status.to_string());
    Ok(Response::builder().status(StatusCode::from_u16(code)?).body(body)?)
}
