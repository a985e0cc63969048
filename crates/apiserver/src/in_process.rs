//! Upgrades for clients inside this process.
//!
//! An in-process client calls the router as a service, without bytes in between. An upgrade (exec, attach) needs bytes: only
//! a real HTTP connection can turn into a stream. So such a request gets a connection of its own, over memory.

use axum::{Router, body::Body};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::{
    body::Incoming, client::conn::http1 as client, server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tower::ServiceExt;

use crate::auth::Identity;

/// Bytes under way in each direction; enough for a few messages of output, small enough that a slow reader is felt.
const PIPE_BYTES: usize = 64 * 1024;

/// Whether the request wants to leave HTTP, and so needs [`upgrade`].
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value.to_str().is_ok_and(|value| {
            value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        })
    })
}

/// Sends `request` to `router` over a connection of its own.
///
/// The answer carries hyper's upgrade handle, as an answer from the network would.
pub async fn upgrade<B>(
    router: Router,
    identity: Identity,
    request: Request<B>,
) -> Result<Response<Incoming>, hyper::Error>
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(identity.clone());
        router.clone().oneshot(request)
    });
    let serving = server::Builder::new().serve_connection(TokioIo::new(far), service);
    tokio::spawn(async move {
        if let Err(error) = serving.with_upgrades().await {
            tracing::debug!(%error, "an in-process connection ended early");
        }
    });
    let request = request.map(|body| Body::new(http_body_util::BodyExt::map_err(body, Into::into)));
    let (mut sender, sending) = client::handshake(TokioIo::new(near)).await?;
    tokio::spawn(async move {
        if let Err(error) = sending.with_upgrades().await {
            tracing::debug!(%error, "an in-process connection ended early");
        }
    });
    sender.send_request(origin_form(request)).await
}

/// The request as it looks on a connection: a path and a `Host` header instead of a full address.
fn origin_form(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("in-process"));
    request
}
