//! A document that clients keep, and the form in which they ask for it.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A document and what its cache headers say.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) body: Bytes,
    /// Hex of the body's hash: the ETag, and the `hash` of OpenAPI's addresses.
    pub(crate) hash: String,
}

impl Document {
    pub(crate) fn new(value: &Value) -> Self {
        let body = value.to_string();
        let digest = Sha256::digest(body.as_bytes());
        let hash = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Self { body: body.into(), hash }
    }

    /// The document, or 304 if the client has it.
    pub(crate) fn answer(
        &self,
        headers: &HeaderMap,
        content_type: &'static str,
        cache_control: &'static str,
    ) -> Response {
        let etag = format!("\"{}\"", self.hash);
        let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| {
            let value = value.to_str().unwrap_or_default();
            value
                .split(',')
                .any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*")
        });
        let body = if known { Body::empty() } else { Body::from(self.body.clone()) };
        let mut response = Response::new(body);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        out.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        out.insert(VARY, HeaderValue::from_static("Accept"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            out.insert(ETAG, etag);
        }
        response
    }
}

/// How a client wants `/api` and `/apis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Legacy,
    Aggregated(Aggregated),
}

/// The two versions of the aggregated form; the older one is asked for by kubectl up to 1.34.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregated {
    V2,
    V2Beta1,
}

impl Aggregated {
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::V2 => "apidiscovery.k8s.io/v2",
            Self::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
        }
    }

    /// Clients compare this with what they asked for and take anything else for the legacy form.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }
}

/// The first form in the client's list that is known; parameters come in any order.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let lists =
        headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for media in lists.flat_map(|list| list.split(',')) {
        let mut parts = media.split(';').map(str::trim);
        if !matches!(parts.next(), Some("application/json" | "*/*" | "application/*")) {
            continue;
        }
        let parameters: BTreeMap<&str, &str> =
            parts.filter_map(|part| part.split_once('=')).collect();
        if !parameters.contains_key("as") {
            return Form::Legacy;
        }
        let list = parameters.get("as") == Some(&"APIGroupDiscoveryList")
            && parameters.get("g") == Some(&"apidiscovery.k8s.io");
        match parameters.get("v") {
            Some(&"v2") if list => return Form::Aggregated(Aggregated::V2),
            Some(&"v2beta1") if list => return Form::Aggregated(Aggregated::V2Beta1),
            _ => {}
        }
    }
    Form::Legacy
}
