//! The listener: TLS, HTTP/1.1 and HTTP/2 on one port, and a stop that ends in bounded time.

mod traffic;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::{ServerConfig, pki_types::UnixTime};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use traffic::Traffic;

use crate::{
    auth::{AuthError, Authenticator, Credentials, Presented},
    status::ApiError,
};

/// A handshake takes a few round trips; who needs longer only holds a connection slot.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at one time. Each costs two file descriptors at most, and the usual limit of those is 1024 or more; a
/// controller or kubectl needs one to three, so more than this is a leak of the client's. Further ones wait.
const MAX_CONNECTIONS: usize = 900;

/// How long a connection is kept on which nothing is asked or answered. Longer than the 90 s after which Go and Rust clients drop
/// idle connections themselves, so that none of them finds its connection closed while it sends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a request's line and headers. Twice what Go's servers read by default would be waste; exec requests carry
/// the command in the line, so less than 64 KiB would refuse some.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Requests at one time on one HTTP/2 connection. client-go opens one watch for each kind on the same connection; 60
/// are seen in practice.
const MAX_HTTP2_STREAMS: u32 = 250;

/// How often an HTTP/2 peer is asked whether it is still there.
const HTTP2_PING: Duration = Duration::from_secs(30);

/// After a stop, what is under way has this long to finish. Watches never finish by themselves, so a stop with
/// clients takes this long; a user who pressed Ctrl-C waits for it.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// What a client may take of the listener.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    connections: usize,
    handshake: Duration,
    idle: Duration,
}

impl Bounds {
    const USUAL: Self =
        Self { connections: MAX_CONNECTIONS, handshake: HANDSHAKE_TIMEOUT, idle: IDLE_TIMEOUT };
}

/// Back-off when the system can't accept (out of descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` on `listener` until `stop` is cancelled, then lets what is under way finish for a moment.
///
/// Each request carries the [`crate::auth::Identity`] of its client as an extension; a bad credential is answered 401 here.
pub async fn serve(
    router: Router,
    listener: TcpListener,
    credentials: &Credentials,
    stop: CancellationToken,
) -> Result<(), AuthError> {
    let (config, authenticator) = (credentials.server_config()?, credentials.authenticator()?);
    accept(router, listener, config, authenticator, Bounds::USUAL, stop).await;
    Ok(())
}

async fn accept(
    router: Router,
    listener: TcpListener,
    config: Arc<ServerConfig>,
    authenticator: Authenticator,
    bounds: Bounds,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(config);
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !is_about_one_connection(&error) {
                    tracing::warn!(%error, "can't accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let connection = Connection {
            router: router.clone(),
            authenticator: authenticator.clone(),
            bounds,
            stop: stop.clone(),
        };
        let (acceptor, cut) = (acceptor.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                () = connection.run(acceptor, stream) => {}
            }
            drop(slot);
        });
    }
    drop(listener);
    connections.close();
    if timeout(STOP_GRACE, connections.wait()).await.is_err() {
        cut.cancel();
        connections.wait().await;
    }
}

/// What one connection needs.
struct Connection {
    router: Router,
    authenticator: Authenticator,
    bounds: Bounds,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, acceptor: TlsAcceptor, stream: TcpStream) {
        // Small answers and watch events must not wait for more to send.
        let _ = stream.set_nodelay(true);
        let handshake = timeout(self.bounds.handshake, acceptor.accept(stream));
        let stream = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            shaken = handshake => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
                Err(_) => return tracing::debug!("a handshake took too long"),
            },
        };
        let (_, session) = stream.get_ref();
        let presented = self.authenticator.connection(session.peer_certificates(), UnixTime::now());
        let traffic = Traffic::default();
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            let answer = answer(self.router.clone(), &self.authenticator, &presented, request);
            traffic.count(answer)
        });
        let builder = http_builder(self.bounds.idle);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            biased;
            result = connection.as_mut() => result,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = traffic.idle(self.bounds.idle) => {
                connection.as_mut().graceful_shutdown();
                // What has not even begun to speak does not hear that it is to end.
                match timeout(STOP_GRACE, connection).await {
                    Ok(result) => result,
                    Err(_) => return tracing::debug!("a connection was idle for too long"),
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(error, "a connection ended early");
        }
    }
}

fn answer(
    router: Router,
    authenticator: &Authenticator,
    presented: &Presented,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response, Infallible>> + use<> {
    let identity = authenticator.request(presented, request.headers());
    async move {
        let Ok(identity) = identity else {
            return Ok(ApiError::unauthorized().into_response());
        };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(identity);
        router.oneshot(request).await
    }
}

fn http_builder(idle: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .keep_alive_interval(HTTP2_PING);
    builder
}

/// Errors of `accept` that say something of the connection that was to be accepted, not of the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests;
