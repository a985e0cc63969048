//! `/healthz`, `/readyz` and `/metrics` for a controller that runs as a process of its own.
//!
//! These are documented health ports without authentication: they show numbers and names of pools and templates, and nothing can be changed through
//! them. They listen on loopback unless the operator says otherwise.

use std::net::SocketAddr;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::run::Readiness;

/// The content type of the OpenMetrics text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the health port could not be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("listen on {address} for health and metrics")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The listener failed.
    #[error("serve health and metrics")]
    Serve(#[source] std::io::Error),
}

/// Serves until `shutdown`. `on_bound` is told the address, which matters when port 0 was asked for.
///
/// # Errors
/// [`ServeError::Listen`] if the address can't be had.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    readiness: Readiness,
    on_bound: impl FnOnce(SocketAddr),
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    on_bound(listener.local_addr().map_err(ServeError::Serve)?);
    let app = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(move || ready(readiness.clone())))
        .route("/metrics", get(move || scrape(metrics.clone())));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .await
        .map_err(ServeError::Serve)
}

async fn ready(readiness: Readiness) -> impl IntoResponse {
    if readiness.is_ready() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the first listing is not complete")
    }
}

async fn scrape(metrics: Metrics) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served_until_the_end() {
        let (bound, address) = oneshot::channel();
        let (ready, readiness) = Readiness::channel();
        let stop = CancellationToken::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let told = |address| bound.send(address).unwrap();
        let server = tokio::spawn(serve(any, Metrics::new(), readiness, told, stop.clone()));
        let address = address.await.unwrap();
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        ready.send_replace(true);
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/metrics").await.contains("agent_sandbox_build_info"));
        let taken =
            serve(address, Metrics::new(), Readiness::channel().1, |_| {}, stop.clone()).await;
        assert!(matches!(taken, Err(ServeError::Listen { .. })), "{taken:?}");
        stop.cancel();
        server.await.unwrap().unwrap();
    }
}
