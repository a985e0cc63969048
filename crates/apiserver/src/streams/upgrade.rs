//! From an HTTP request to a WebSocket.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::Protocol;
use crate::status::{ApiError, Named};

/// A client's message. Interactive clients send bytes, `cp` and Python's client up to a few MiB at once.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// What is collected before it is written. Every message is flushed, so this only bounds memory.
const BUFFER_BYTES: usize = 32 << 10;

/// A WebSocket on an upgraded connection.
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// A request that may become a WebSocket, checked and not yet answered.
pub struct Handshake {
    protocol: Protocol,
    accept: HeaderValue,
    upgrade: OnUpgrade,
}

impl Handshake {
    /// Checks a request's handshake. Errors are for a plain answer: nothing has been upgraded yet.
    pub fn of(request: &mut Request<Body>) -> Result<Self, ApiError> {
        let headers = request.headers();
        match headers.get(header::UPGRADE) {
            Some(wanted) if wanted.as_bytes().eq_ignore_ascii_case(b"websocket") => {}
            // kubectl tries SPDY after a failed WebSocket and shows this answer to the user.
            Some(wanted) if wanted.as_bytes().to_ascii_uppercase().starts_with(b"SPDY/") => {
                let message = "streaming over SPDY is not served by sandbank yet; use a client that speaks WebSocket";
                return Err(ApiError::bad_request(message));
            }
            _ => return Err(ApiError::bad_request("Upgrade request required")),
        }
        let version = headers.get(header::SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version != "13") {
            return Err(ApiError::bad_request("only version 13 of WebSocket is spoken"));
        }
        let accept = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
            .ok_or_else(|| ApiError::bad_request("the WebSocket handshake has no key"))?;
        let protocol = Protocol::choose(headers).ok_or_else(|| unknown_protocol(headers))?;
        let upgrade = request
            .extensions_mut()
            .remove::<OnUpgrade>()
            .ok_or_else(|| ApiError::bad_request("this connection can't be upgraded"))?;
        Ok(Self { protocol, accept, upgrade })
    }

    /// The protocol both sides will speak.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The answer that ends HTTP, and the socket that comes after it was sent.
    pub fn answer(self) -> (Response, impl Future<Output = Option<Socket>> + Send + use<>) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(name) = self.protocol.name() {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        let socket = async {
            let upgraded = match self.upgrade.await {
                Ok(upgraded) => TokioIo::new(upgraded),
                Err(error) => {
                    tracing::debug!(%error, "a client left during its upgrade");
                    return None;
                }
            };
            let config = WebSocketConfig::default()
                .max_message_size(Some(MAX_MESSAGE_BYTES))
                .max_frame_size(Some(MAX_MESSAGE_BYTES))
                .read_buffer_size(BUFFER_BYTES)
                .write_buffer_size(BUFFER_BYTES)
                .max_write_buffer_size(2 * MAX_MESSAGE_BYTES);
            Some(WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await)
        };
        (response, socket)
    }
}

/// 403, which makes clients that have another way (SPDY) try it.
fn unknown_protocol(headers: &HeaderMap) -> ApiError {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let why = format!("none of the offered WebSocket protocols is spoken: {}", offered.join(", "));
    ApiError::forbidden(&Named { group: "", resource: "pods", name: "" }, &why)
}
