//! The listener as clients meet it: real sockets, real handshakes.

use std::{net::SocketAddr, sync::Arc};

use axum::{Extension, body::Body, middleware, routing::get};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use jiff::{SignedDuration, Timestamp};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::auth::{Attributes, Authority, HostName, Identity, Leaf};

/// A server that answers who the client is.
struct Listening {
    address: SocketAddr,
    credentials: Credentials,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Listening {
    async fn start(router: Router) -> Self {
        let credentials = Credentials::generate(&[], Timestamp::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = {
            let (stop, authenticator) = (stop.clone(), credentials.authenticator().unwrap());
            let config = credentials.server_config().unwrap();
            tokio::spawn(accept(router, listener, config, authenticator, stop))
        };
        Self { address, credentials, stop, serving }
    }

    async fn who_am_i() -> Self {
        let who = |Extension(identity): Extension<Identity>| async move {
            format!("{} of {}", identity.user, identity.groups.join(", "))
        };
        let router = Router::new()
            .route("/who", get(who))
            .route("/healthz", get(who))
            .layer(middleware::from_fn(check));
        Self::start(router).await
    }

    async fn connect(&self, client: Option<&Leaf>, alpn: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let authority = self.credentials.authority().certificate();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => config.with_no_client_auth(),
            Some(leaf) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn ask(&self, client: Option<&Leaf>, request: Request<Body>) -> (StatusCode, String) {
        let stream = self.connect(client, b"http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        drop(sender);
        connection.await.unwrap().unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

/// Refuses as the API does.
async fn check(
    Extension(identity): Extension<Identity>,
    request: Request<Body>,
    next: middleware::Next,
) -> Response {
    let uri = request.uri().clone();
    match Attributes::of(request.method(), uri.path(), uri.query()).check(&identity) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn request(path: &str) -> http::request::Builder {
    Request::get(path).header(header::HOST, "localhost")
}

fn plain(path: &str) -> Request<Body> {
    request(path).body(Body::empty()).unwrap()
}

fn with_token(path: &str, token: &str) -> Request<Body> {
    request(path).header(header::AUTHORIZATION, token).body(Body::empty()).unwrap()
}

fn is_unauthorized((status, body): (StatusCode, String)) {
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((body["reason"].as_str(), body["code"].as_u64()), (Some("Unauthorized"), Some(401)));
}

#[tokio::test]
async fn a_client_is_who_its_certificate_says() {
    let server = Listening::who_am_i().await;
    let now = Timestamp::now();
    let alice = server.credentials.authority().issue_client("alice", "dev", now).unwrap();
    let (status, body) = server.ask(Some(&alice), plain("/who")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "alice of dev, system:authenticated"));
    server.end().await;
}

#[tokio::test]
async fn a_client_is_who_its_token_says() {
    let server = Listening::who_am_i().await;
    let token = server.credentials.admin_token().secret().to_owned();
    for scheme in ["Bearer", "bearer"] {
        let request = with_token("/who", &format!("{scheme} {token}"));
        let (status, body) = server.ask(None, request).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, "sandbank-admin of system:masters, system:authenticated");
    }
    is_unauthorized(server.ask(None, with_token("/who", "Bearer wrong")).await);
    is_unauthorized(server.ask(None, with_token("/who", &format!("Basic {token}"))).await);
    is_unauthorized(server.ask(None, with_token("/healthz", &format!("Bearer {token}x"))).await);
    server.end().await;
}

#[tokio::test]
async fn who_presents_nothing_sees_only_that_the_server_is_up() {
    let server = Listening::who_am_i().await;
    let (status, body) = server.ask(None, plain("/healthz")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, "system:anonymous of system:unauthenticated");
    let (status, body) = server.ask(None, plain("/who")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains(r#"User \"system:anonymous\" cannot get path \"/who\""#), "{body}");
    server.end().await;
}

#[tokio::test]
async fn a_foreign_or_ended_certificate_is_a_readable_401() {
    let server = Listening::who_am_i().await;
    let now = Timestamp::now();
    let foreign = Authority::generate(now).unwrap();
    let foreign = foreign.issue_client("alice", Identity::MASTERS, now).unwrap();
    is_unauthorized(server.ask(Some(&foreign), plain("/who")).await);

    let authority = server.credentials.authority();
    let long_ago = now - SignedDuration::from_hours(24 * 400);
    let ended = authority.issue_client("alice", Identity::MASTERS, long_ago).unwrap();
    is_unauthorized(server.ask(Some(&ended), plain("/who")).await);

    let not_a_client = authority.issue_server(&HostName::loopback(), now).unwrap();
    is_unauthorized(server.ask(Some(&not_a_client), plain("/who")).await);
    server.end().await;
}

#[tokio::test]
async fn http2_is_spoken_when_the_client_offers_it() {
    let server = Listening::who_am_i().await;
    let alice = server.credentials.authority().issue_client("alice", "dev", Timestamp::now());
    let stream = server.connect(Some(&alice.unwrap()), b"h2").await;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = Request::get("https://localhost/who").body(Body::empty()).unwrap();
    let response = sender.send_request(ask).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "alice of dev, system:authenticated");
    drop(sender);
    connection.await.unwrap().unwrap();
    server.end().await;
}

#[tokio::test]
async fn a_header_beyond_the_limit_is_refused_and_the_server_lives_on() {
    let server = Listening::who_am_i().await;
    let token = format!("Bearer {}", "x".repeat(MAX_HEADER_BYTES));
    let (status, _) = server.ask(None, with_token("/who", &token)).await;
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let (status, _) = server.ask(None, plain("/healthz")).await;
    assert_eq!(status, StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn a_stop_lets_a_request_finish_and_cuts_what_never_ends() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (asked, go) = (asked.clone(), go.clone());
        move || async move {
            asked.notify_one();
            go.notified().await;
            "done"
        }
    };
    let endless = {
        let asked = asked.clone();
        move || async move {
            asked.notify_one();
            std::future::pending::<&str>().await
        }
    };
    let router = Router::new().route("/slow", get(slow)).route("/endless", get(endless));
    let server = Arc::new(Listening::start(router).await);
    let stop = server.stop.clone();

    let slow = tokio::spawn({
        let server = server.clone();
        async move { server.ask(None, plain("/slow")).await }
    });
    asked.notified().await;
    let stream = server.connect(None, b"http/1.1").await;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let endless = tokio::spawn(async move { sender.send_request(plain("/endless")).await });
    asked.notified().await;

    stop.cancel();
    go.notify_one();
    assert_eq!(slow.await.unwrap(), (StatusCode::OK, "done".to_owned()));
    assert!(endless.await.unwrap().is_err(), "the endless request is cut");
    let _ = connection.await.unwrap();
    let server = Arc::into_inner(server).unwrap();
    let address = server.address;
    server.end().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
