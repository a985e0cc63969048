//! Telling the runtime in a sandbox for whom it runs: one small HTTP request to a program that may have been written by anybody.
//!
//! It is asked a few times, since it may still be starting, and never longer than it takes a user to become impatient. What it answers is looked at only as far as
//! its first few hundred bytes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dialects::kruise::runtime::InitRequest;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

/// How long one try may take. The runtime only notes what it is told.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How often it is tried. With the pauses between them the tries last about three seconds if nobody listens, and eight if nobody answers.
const TRIES: u32 = 5;

/// The first pause; each one is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// How much of an answer's head is kept.
const LARGEST_HEAD: usize = 16 * 1024;

/// How much of an answer that says no is read, for the message.
const LARGEST_ANSWER: usize = 512;

/// Whether the runtime may have been told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// The sandbox was taken a moment ago.
    First,
    /// An earlier look may have done it, and died before it could write that down.
    Again,
}

/// Why a runtime could not be told.
#[derive(Debug, Error)]
pub(super) enum RuntimeError {
    /// It can't be reached.
    #[error("connect to the runtime at {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("talk to the runtime at {address}")]
    Talk {
        address: SocketAddr,
        #[source]
        source: hyper::Error,
    },
    /// It did not answer in time.
    #[error("the runtime at {0} did not answer within {TIMEOUT:?}")]
    Silent(SocketAddr),
    /// It answered that it won't.
    #[error("the runtime at {address} answered {status}: {text}")]
    Refused { address: SocketAddr, status: StatusCode, text: String },
    /// The request could not be built.
    #[error("build the request")]
    Build(#[source] http::Error),
}

impl RuntimeError {
    /// The whole chain in a line, for a condition.
    pub(super) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}

/// Tells the runtime at this address.
pub(super) async fn tell(
    ip: IpAddr,
    port: u16,
    request: &InitRequest,
    telling: Telling,
) -> Result<(), RuntimeError> {
    let address = SocketAddr::new(ip, port);
    // A map of texts is always JSON.
    let body = Bytes::from(serde_json::to_vec(request).unwrap_or_default());
    let mut pause = FIRST_PAUSE;
    for tried in 1.. {
        let repeated = telling == Telling::Again || tried > 1;
        let error = match tokio::time::timeout(TIMEOUT, post(address, request, body.clone())).await
        {
            Ok(Ok(())) => return Ok(()),
            // It was told before, perhaps by the try whose answer was lost, and asks for the token that it was given then.
            Ok(Err(RuntimeError::Refused { status: StatusCode::UNAUTHORIZED, .. })) if repeated => {
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => RuntimeError::Silent(address),
        };
        if tried == TRIES {
            return Err(error);
        }
        tracing::debug!(%address, tried, error = %error.line(), "the runtime was not told");
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    unreachable!("the last try returns")
}

async fn post(address: SocketAddr, request: &InitRequest, body: Bytes) -> Result<(), RuntimeError> {
    let talk = |source| RuntimeError::Talk { address, source };
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| RuntimeError::Connect { address, source })?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(talk)?;
    let request = Request::builder()
        .method(Method::POST)
        .uri("/init")
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header("X-Access-Token", &request.access_token)
        .body(Full::new(body))
        .map_err(RuntimeError::Build)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(talk)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let read = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await;
        let text = read.map(|body| body.to_bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Err(RuntimeError::Refused { address, status, text })
    };
    // The connection only makes progress while it is polled; it ends with the exchange.
    tokio::select! {
        done = exchange => done,
        ended = connection => match ended {
            Ok(()) => Err(RuntimeError::Silent(address)),
            Err(source) => Err(talk(source)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::State;
    use axum::routing::post as on_post;
    use parking_lot::Mutex;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<(String, serde_json::Value)>>>, Arc<Mutex<Vec<u16>>>);

    /// A runtime that answers with these codes, one after the other, and then with 204.
    async fn runtime(codes: &[u16]) -> (u16, Heard, tokio::task::JoinHandle<()>) {
        let heard = Heard::default();
        heard.1.lock().extend(codes.iter().rev());
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let init = async |State(heard): State<Heard>, headers: http::HeaderMap, body: String| {
            let token = headers["x-access-token"].to_str().unwrap().to_owned();
            heard.0.lock().push((token, serde_json::from_str(&body).unwrap()));
            let code = heard.1.lock().pop().unwrap_or(204);
            (StatusCode::from_u16(code).unwrap(), "x".repeat(if code == 204 { 0 } else { 100_000 }))
        };
        let app = Router::new().route("/init", on_post(init)).with_state(heard.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (port, heard, server)
    }

    fn request() -> InitRequest {
        InitRequest {
            env_vars: [("A".to_owned(), "1".to_owned())].into(),
            access_token: "secret".to_owned(),
        }
    }

    async fn told(codes: &[u16], telling: Telling) -> (Result<(), RuntimeError>, usize) {
        let (port, heard, server) = runtime(codes).await;
        let done = tell(Ipv4Addr::LOCALHOST.into(), port, &request(), telling).await;
        server.abort();
        let calls = heard.0.lock().clone();
        for (token, body) in &calls {
            assert_eq!(token, "secret");
            assert_eq!(*body, serde_json::json!({"envVars": {"A": "1"}, "accessToken": "secret"}));
        }
        (done, calls.len())
    }

    #[tokio::test]
    async fn it_is_told_until_it_says_yes() {
        assert!(matches!(told(&[], Telling::First).await, (Ok(()), 1)));
        assert!(matches!(told(&[500, 503], Telling::First).await, (Ok(()), 3)));
    }

    /// A runtime that was told before asks for the token. Told by whom is known only if somebody may have done it for this claim.
    #[tokio::test]
    async fn a_repeat_may_be_refused() {
        assert!(matches!(told(&[401], Telling::Again).await, (Ok(()), 1)));
        assert!(matches!(told(&[500, 401], Telling::First).await, (Ok(()), 2)));
    }

    #[tokio::test]
    async fn nobody_listens() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let begun = std::time::Instant::now();
        let failed =
            tell(Ipv4Addr::LOCALHOST.into(), port, &request(), Telling::First).await.unwrap_err();
        assert!(failed.line().contains("connect to the runtime"), "{}", failed.line());
        assert!(begun.elapsed() >= Duration::from_millis(200 + 400 + 800 + 1600));
    }
}
