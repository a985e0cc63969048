//! `/metrics` beside the API, for those whom the API knows: `kubectl get --raw /metrics`.

use apiserver::ApiError;
use apiserver::auth::{Attributes, Identity};
use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use controllers::metrics::Metrics;

/// What a scraper of the Prometheus text format expects to be told.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A router of this one path.
pub fn router(numbers: Metrics) -> Router {
    Router::new().route("/metrics", get(move |request: Request| answer(numbers, request)))
}

async fn answer(numbers: Metrics, request: Request) -> Result<Response, ApiError> {
    let identity =
        request.extensions().get::<Identity>().cloned().unwrap_or_else(Identity::anonymous);
    Attributes::of(request.method(), request.uri().path(), request.uri().query())
        .check(&identity)?;
    Ok(([(header::CONTENT_TYPE, TEXT)], numbers.encode()).into_response())
}
