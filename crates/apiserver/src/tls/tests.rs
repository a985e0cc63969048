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
        Self::bounded(router, Bounds::USUAL).await
    }

    async fn bounded(router: Router, bounds: Bounds) -> Self {
        let credentials = Credentials::generate(&[], Timestamp::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = {
            let (stop, authenticator) = (stop.clone(), credentials.authenticator().unwrap());
            let config = credentials.server_config().unwrap();
            tokio::spawn(accept(router, listener, config, authenticator, bounds, stop))
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

/// Small enough to be waited for, large enough for a handshake on a busy machine.
const BRIEF: Bounds = Bounds {
    connections: 10,
    handshake: Duration::from_secs(10),
    idle: Duration::from_millis(200),
};

/// Reads until the server hangs up.
async fn until_cut(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut said = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(stream, &mut said);
    // An end without a farewell is an error to TLS, and an end to us.
    let _ = timeout(Duration::from_secs(20), reading).await.expect("it is cut");
}

#[tokio::test]
async fn who_says_nothing_after_the_handshake_is_cut() {
    let server = Listening::bounded(Router::new(), BRIEF).await;
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let mut silent = server.connect(None, alpn).await;
        until_cut(&mut silent).await;
    }
    // An HTTP/2 client that answers pings and asks for nothing is as idle.
    let stream = server.connect(None, b"h2").await;
    let (_sender, connection) =
        http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let ended = timeout(Duration::from_secs(20), connection).await;
    ended.expect("it is cut").expect("with a farewell");
    server.end().await;
}

#[tokio::test]
async fn a_long_answer_is_not_idleness() {
    let (first, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let watch = {
        let (first, go) = (first.clone(), go.clone());
        move || async move {
            let pieces = futures::stream::unfold(0, move |step| {
                let (first, go) = (first.clone(), go.clone());
                async move {
                    match step {
                        0 => first.notify_one(),
                        1 => go.notified().await,
                        _ => return None,
                    }
                    Some((Ok::<_, Infallible>(format!("{step}\n")), step + 1))
                }
            });
            Body::from_stream(pieces)
        }
    };
    let router = Router::new().route("/watch", get(watch));
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let server = Listening::bounded(router.clone(), BRIEF).await;
        let answer = if version == http::Version::HTTP_2 {
            let stream = server.connect(None, b"h2").await;
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let ask = Request::get("https://localhost/watch").body(Body::empty()).unwrap();
            sender.send_request(ask).await.unwrap()
        } else {
            let stream = server.connect(None, b"http/1.1").await;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(plain("/watch")).await.unwrap()
        };
        first.notified().await;
        // Whoever comes later and is silent goes before the watch has its next event.
        let mut silent = server.connect(None, b"http/1.1").await;
        until_cut(&mut silent).await;
        go.notify_one();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "0\n1\n", "{version:?}");
        server.end().await;
    }
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_cut() {
    let bounds = Bounds { handshake: Duration::from_millis(200), ..BRIEF };
    let server = Listening::bounded(Router::new(), bounds).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    until_cut(&mut silent).await;
    server.end().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let bounds = Bounds { connections: 1, idle: IDLE_TIMEOUT, ..BRIEF };
    let router = Router::new().route("/healthz", get(|| async { "ok" }));
    let server = Listening::bounded(router, bounds).await;
    let held = server.connect(None, b"http/1.1").await;
    let mut next = Box::pin(server.ask(None, plain("/healthz")));
    let early = timeout(Duration::from_millis(200), next.as_mut()).await;
    assert!(early.is_err(), "there is one place, and it is taken");
    drop(held);
    assert_eq!(next.await, (StatusCode::OK, "ok".to_owned()));
    server.end().await;
}
