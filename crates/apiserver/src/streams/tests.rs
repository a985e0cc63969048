//! Streams as a client meets them: a real HTTP connection, a real WebSocket, a process that the test plays.

use std::time::Duration;

use axum::{Router, body::Body, response::IntoResponse, routing::any};
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt, future::BoxFuture, stream};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error as WsError, Message, client::IntoClientRequest},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::{
    auth::Identity,
    clock::Clock,
    in_process,
    object::{Draft, Object, Revision},
};

/// What a container's process holds: the far ends of a session.
struct Process {
    request: ExecRequest,
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
    resize: mpsc::Receiver<(u16, u16)>,
    exit: oneshot::Sender<Result<Exit, StreamError>>,
}

impl Process {
    /// Ends with its output written, as processes do.
    fn exit(self, code: i32) {
        drop((self.stdout, self.stderr));
        let _ = self.exit.send(Ok(Exit { code }));
    }
}

const PIPE: usize = 4096;

/// A node whose processes the test plays.
struct Node {
    started: mpsc::UnboundedSender<Process>,
}

impl PodStreams for Node {
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        if request.command == ["missing"] {
            let error = StreamError::NotExecutable("exec \"missing\": no such file".to_owned());
            return async move { Err(error) }.boxed();
        }
        let (stdin, stdin_far) = duplex(PIPE);
        let (stdout, stdout_far) = duplex(PIPE);
        let (stderr, stderr_far) = duplex(PIPE);
        let (resize, resize_far) = mpsc::channel(1);
        let (exit_far, exit) = oneshot::channel();
        let session = Session {
            stdin: request.needs.stdin.then(|| Box::new(stdin) as _),
            stdout: request.needs.stdout.then(|| Box::new(stdout) as _),
            stderr: request.needs.stderr.then(|| Box::new(stderr) as _),
            resize,
            exit: exit.map(|exit| exit.expect("the test ends its process")).boxed(),
        };
        let process = Process {
            request,
            stdin: stdin_far,
            stdout: stdout_far,
            stderr: stderr_far,
            resize: resize_far,
            exit: exit_far,
        };
        self.started.send(process).unwrap();
        async move { Ok(session) }.boxed()
    }

    fn attach(&self, request: AttachRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        let AttachRequest { target, needs } = request;
        self.exec(ExecRequest { target, needs, command: vec!["(attached)".to_owned()] })
    }

    fn logs(&self, request: LogRequest) -> BoxFuture<'_, Result<LogStream, StreamError>> {
        let waiting = request.target.container == "waiting";
        async move {
            if waiting {
                let text =
                    "container \"waiting\" in pod \"p\" is waiting to start: ContainerCreating";
                return Err(StreamError::Waiting(text.to_owned()));
            }
            let asked = format!(
                "follow={} previous={} timestamps={} tail={:?} since={:?}\n",
                request.follow,
                request.previous,
                request.timestamps,
                request.tail_lines,
                request.since.map(|since| since.to_string()),
            );
            let head = stream::iter([Ok(Bytes::from(asked)), Ok(Bytes::from_static(b"second\n"))]);
            Ok(if request.follow { head.chain(stream::pending()).boxed() } else { head.boxed() })
        }
        .boxed()
    }
}

/// A server with one pod, which every path names.
struct Server {
    router: Router,
    processes: mpsc::UnboundedReceiver<Process>,
    stop: CancellationToken,
}

fn pod(spec: Value) -> Object {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    });
    Draft::new(&pod).unwrap().seal(Revision(1))
}

impl Server {
    fn start() -> Self {
        Self::with_pod(json!({"nodeName": "here", "containers": [{"name": "main"}]}))
    }

    fn with_pod(spec: Value) -> Self {
        let (started, processes) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let pods: Arc<dyn PodStreams> = Arc::new(Node { started });
        let streaming = Streaming::new(Some(pods), clock(), stop.clone());
        Self { router: router(streaming, pod(spec)), processes, stop }
    }

    /// A plain request: what is answered without an upgrade.
    async fn ask(&self, request: Request<Body>) -> (StatusCode, String) {
        ask(&self.router, request).await
    }

    async fn refusal(&self, request: Request<Body>, code: u16) -> String {
        let (status, body) = self.ask(request).await;
        assert_eq!(status, code, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], code);
        body["message"].as_str().unwrap().to_owned()
    }

    async fn connect(&self, path: &str, protocol: &str) -> Client {
        let (near, far) = duplex(PIPE);
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            router.clone().oneshot(request.map(Body::new))
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(far), service)
            .with_upgrades();
        tokio::spawn(serving);
        let mut request = format!("ws://pod/{path}").into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.parse().unwrap());
        let (socket, response) = client_async(request, near).await.unwrap();
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], *protocol);
        let mut client = Client(socket);
        assert_eq!(client.message().await, (1, String::new()), "an empty first message");
        client
    }
}

fn clock() -> Clock {
    Clock::tokio("2030-05-01T12:00:00Z".parse().unwrap())
}

fn router(streaming: Streaming, pod: Object) -> Router {
    let serve = |axum::extract::Path(segment): axum::extract::Path<String>,
                 request: Request<Body>| async move {
        let streamed = Streamed::from_segment(&segment).unwrap();
        streaming.serve(streamed, &pod, request).await.map_err(IntoResponse::into_response)
    };
    Router::new().route("/{segment}", any(serve))
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn upgrading(path: &str, to: &str) -> Request<Body> {
    Request::get(path)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, to)
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Body::empty())
        .unwrap()
}

/// The client's side of a WebSocket.
struct Client(WebSocketStream<DuplexStream>);

impl Client {
    async fn send(&mut self, channel: u8, data: &[u8]) {
        self.0.send(message(channel, data)).await.unwrap();
    }

    /// The next message: its channel and its text.
    async fn message(&mut self) -> (u8, String) {
        match self.0.next().await.unwrap().unwrap() {
            Message::Binary(data) => (data[0], String::from_utf8(data[1..].to_vec()).unwrap()),
            other => panic!("not a message on a channel: {other:?}"),
        }
    }

    /// The Status of the end, after which the server must close normally.
    async fn end(mut self) -> Value {
        let (channel, status) = self.message().await;
        assert_eq!(channel, 3, "{status}");
        let close = self.0.next().await.unwrap().unwrap();
        let Message::Close(Some(frame)) = close else { panic!("no close: {close:?}") };
        assert_eq!(u16::from(frame.code), 1000);
        assert!(
            self.0.next().await.is_none_or(|end| matches!(end, Err(WsError::ConnectionClosed)))
        );
        serde_json::from_str(&status).unwrap()
    }
}

fn message(channel: u8, data: &[u8]) -> Message {
    Message::binary([&[channel], data].concat())
}

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";
const ALL: &str = "stdin=true&stdout=true&stderr=true";

#[tokio::test]
async fn a_command_reads_writes_and_ends() {
    let mut server = Server::start();
    let mut client = server.connect(&format!("exec?command=sh&command=-c&{ALL}"), V5).await;
    let mut process = server.processes.recv().await.unwrap();
    assert_eq!(process.request.command, ["sh", "-c"]);
    assert_eq!(process.request.target.container, "main");
    assert_eq!(process.request.target.node, "here");

    client.send(0, b"hello ").await;
    client.send(0, b"there").await;
    client.send(255, &[0]).await;
    let mut input = String::new();
    process.stdin.read_to_string(&mut input).await.unwrap();
    assert_eq!(input, "hello there", "closing half ends the input");

    process.stdout.write_all(b"out").await.unwrap();
    assert_eq!(client.message().await, (1, "out".to_owned()));
    process.stderr.write_all(b"err").await.unwrap();
    assert_eq!(client.message().await, (2, "err".to_owned()));
    process.exit(0);
    assert_eq!(client.end().await, json!({"metadata": {}, "status": "Success"}));
}

#[tokio::test]
async fn output_is_complete_before_the_end_is_told() {
    let mut server = Server::start();
    let mut client = server.connect("exec?command=dump&stdout=1", V4).await;
    let mut process = server.processes.recv().await.unwrap();
    let output = "x".repeat(1_000_000);
    let writer = tokio::spawn({
        let output = output.clone();
        async move {
            process.stdout.write_all(output.as_bytes()).await.unwrap();
            process.exit(7);
        }
    });
    let mut received = String::new();
    while received.len() < output.len() {
        let (channel, text) = client.message().await;
        assert_eq!(channel, 1);
        received.push_str(&text);
    }
    assert!(received == output, "every byte, in order");
    writer.await.unwrap();
    let end = client.end().await;
    assert_eq!(end["reason"], "NonZeroExitCode");
    assert_eq!(end["details"]["causes"], json!([{"reason": "ExitCode", "message": "7"}]));
}

#[tokio::test]
async fn a_terminal_has_one_output_and_follows_the_size_of_the_window() {
    let mut server = Server::start();
    let mut client = server.connect(&format!("exec?command=vi&tty=true&{ALL}"), V4).await;
    let mut process = server.processes.recv().await.unwrap();
    let needs = StreamNeeds { stdin: true, stdout: true, stderr: false, tty: true };
    assert_eq!(process.request.needs, needs);
    client.send(4, br#"{"Width":80,"Height":24}"#).await;
    assert_eq!(process.resize.recv().await, Some((80, 24)));
    client.send(4, br#"{"Width":132,"Height":43}"#).await;
    assert_eq!(process.resize.recv().await, Some((132, 43)));
    process.exit(0);
    client.end().await;
}

#[tokio::test]
async fn an_attachment_is_a_session_without_a_command() {
    let mut server = Server::start();
    let client = server.connect("attach?container=main&stdout=true", V5).await;
    let process = server.processes.recv().await.unwrap();
    assert_eq!(process.request.command, ["(attached)"]);
    process.exit(0);
    client.end().await;
}

#[tokio::test]
async fn what_fails_after_the_upgrade_is_told_on_the_status_channel() {
    let server = Server::start();
    let client = server.connect("exec?command=missing&stdout=true", V5).await;
    let end = client.end().await;
    assert_eq!(end["status"], "Failure");
    assert_eq!(end["reason"], "InternalError");
    assert_eq!(end["message"], "Internal error occurred: exec \"missing\": no such file");
}

#[tokio::test]
async fn a_ping_is_answered_while_the_command_runs() {
    let mut server = Server::start();
    let mut client = server.connect("exec?command=cat&stdin=true", V5).await;
    let process = server.processes.recv().await.unwrap();
    client.0.send(Message::Ping(Bytes::from_static(b"here?"))).await.unwrap();
    let pong = client.0.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"here?")));
    process.exit(0);
    client.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_command() {
    let mut server = Server::start();
    let client = server.connect("exec?command=sleep&stdout=true", V5).await;
    let mut process = server.processes.recv().await.unwrap();
    drop(client);
    process.exit.closed().await;

    let mut client = server.connect("exec?command=sleep&stdout=true", V5).await;
    let mut process = server.processes.recv().await.unwrap();
    client.0.close(None).await.unwrap();
    process.exit.closed().await;
    assert!(!server.stop.is_cancelled());
}

#[tokio::test]
async fn a_stop_of_the_server_ends_every_session() {
    let mut server = Server::start();
    let mut client = server.connect("exec?command=sleep&stdout=true", V5).await;
    let mut process = server.processes.recv().await.unwrap();
    server.stop.cancel();
    process.exit.closed().await;
    let close = client.0.next().await.unwrap().unwrap();
    let Message::Close(Some(frame)) = close else { panic!("no close: {close:?}") };
    assert_eq!(u16::from(frame.code), 1001, "going away");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_read_holds_its_client_back() {
    let mut server = Server::start();
    let mut client = server.connect("exec?command=sleep&stdin=true", V5).await;
    let process = server.processes.recv().await.unwrap();
    let chunk = vec![b'x'; 1024];
    let mut sent = 0;
    while timeout(Duration::from_secs(1), client.send(0, &chunk)).await.is_ok() {
        sent += chunk.len();
        assert!(sent < 1_000_000, "somebody buffers without bound");
    }
    process.exit(0);
    // The client sees the end although its input was never taken.
    let (channel, status) = client.message().await;
    assert_eq!(channel, 3);
    assert!(status.contains("Success"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_its_command_back() {
    let mut server = Server::start();
    let _client = server.connect("exec?command=yes&stdout=true", V5).await;
    let mut process = server.processes.recv().await.unwrap();
    let chunk = vec![b'y'; 1024];
    let mut written = 0;
    let hour = Duration::from_secs(3600);
    while timeout(hour, process.stdout.write_all(&chunk)).await.is_ok() {
        written += chunk.len();
        assert!(written < 1_000_000, "somebody buffers without bound");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_left_in_the_background_does_not_hold_the_client() {
    let mut server = Server::start();
    let mut client = server.connect("exec?command=daemonize&stdout=true", V5).await;
    let mut process = server.processes.recv().await.unwrap();
    process.stdout.write_all(b"started").await.unwrap();
    process.exit.send(Ok(Exit { code: 0 })).unwrap();
    assert_eq!(client.message().await, (1, "started".to_owned()));
    assert_eq!(client.end().await["status"], "Success");
    drop(process.stdout);
}

#[tokio::test]
async fn a_request_that_cannot_be_served_is_refused_before_the_upgrade() {
    let exec = "/exec?command=ls&stdout=true";
    let server = Server::start();
    let cases = [
        (get(exec), 400, "Upgrade request required"),
        (upgrading(exec, "SPDY/3.1"), 400, "SPDY is not served"),
        (upgrading("/exec?stdout=true", "websocket"), 400, "a command must be specified"),
        (upgrading("/exec?command=ls", "websocket"), 400, "at least 1 of stdin, stdout, stderr"),
        (
            upgrading("/exec?command=ls&stdout=1&container=no", "websocket"),
            400,
            "container no is not valid for pod p",
        ),
        (upgrading("/portforward?ports=80", "websocket"), 501, "port-forward is not served"),
        (upgrading("/log?follow=1", "websocket"), 501, "over WebSocket is not served"),
    ];
    for (request, code, expected) in cases {
        let what = format!("{} {:?}", request.uri(), request.headers().get(header::UPGRADE));
        let message = server.refusal(request, code).await;
        assert!(message.contains(expected), "{what}: {message}");
    }
    let mut request = upgrading(exec, "websocket");
    let unknown = "v9.channel.k8s.io".parse().unwrap();
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, unknown);
    assert!(server.refusal(request, 403).await.contains("v9.channel.k8s.io"));

    let two = json!([{"name": "a"}, {"name": "b"}]);
    let server = Server::with_pod(json!({"nodeName": "here", "containers": two}));
    let message = server.refusal(upgrading(exec, "websocket"), 400).await;
    assert_eq!(message, "a container name must be specified for pod p, choose one of: [a b]");

    let server = Server::with_pod(json!({"containers": [{"name": "a"}]}));
    let message = server.refusal(upgrading(exec, "websocket"), 400).await;
    assert_eq!(message, "pod p does not have a host assigned");
}

#[tokio::test]
async fn a_server_without_a_node_says_so() {
    let streaming = Streaming::new(None, clock(), CancellationToken::new());
    let router = router(streaming, pod(json!({"nodeName": "n", "containers": [{"name": "a"}]})));
    for path in ["/log", "/exec?command=ls&stdout=true", "/attach?stdout=true"] {
        let (status, body) = ask(&router, get(path)).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
        assert!(body.contains("without a node that runs pods"), "{body}");
    }
}

#[tokio::test]
async fn an_in_process_client_gets_its_upgrade_too() {
    let mut server = Server::start();
    let mut request = upgrading("http://in-process/exec?command=cat&stdin=1", "websocket");
    let v4 = V4.parse().unwrap();
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, v4);
    assert!(in_process::wants_upgrade(request.headers()));
    let identity = Identity::system("test");
    let response = in_process::upgrade(server.router.clone(), identity, request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    let mut socket = WebSocketStream::from_raw_socket(upgraded, role, None).await;
    assert_eq!(socket.next().await.unwrap().unwrap(), message(1, b""));
    let mut process = server.processes.recv().await.unwrap();
    socket.send(message(0, b"ping")).await.unwrap();
    let mut input = [0; 4];
    process.stdin.read_exact(&mut input).await.unwrap();
    assert_eq!(&input, b"ping");
    process.exit(0);
    let end = socket.next().await.unwrap().unwrap();
    assert_eq!(end, message(3, br#"{"metadata":{},"status":"Success"}"#));
}

#[tokio::test(start_paused = true)]
async fn a_log_is_text_with_the_options_the_client_asked_for() {
    let server = Server::start();
    let (status, body) = server.ask(get("/log")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, "follow=false previous=false timestamps=false tail=None since=None\nsecond\n");
    let path = "/log?container=main&previous=true&timestamps=1&tailLines=10&sinceSeconds=3600";
    let (_, body) = server.ask(get(path)).await;
    assert_eq!(
        body,
        "follow=false previous=true timestamps=true tail=Some(10) since=Some(\"2030-05-01T11:00:00Z\")\nsecond\n"
    );
    let (_, body) = server.ask(get("/log?sinceTime=2030-01-01T00:00:00Z&limitBytes=14")).await;
    assert_eq!(body, "follow=false p");
}

#[tokio::test]
async fn a_followed_log_is_sent_as_it_comes_and_ends_with_the_server() {
    let server = Server::start();
    let response = server.router.clone().oneshot(get("/log?follow=true")).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain");
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.unwrap().unwrap().starts_with(b"follow=true"));
    assert_eq!(body.next().await.unwrap().unwrap(), "second\n");
    server.stop.cancel();
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn bad_log_options_and_containers_that_wait_have_clear_answers() {
    let server = Server::with_pod(json!({
        "nodeName": "here",
        "containers": [{"name": "main"}, {"name": "waiting"}],
        "initContainers": [{"name": "setup"}],
    }));
    let cases = [
        ("/log", 400, "choose one of: [main waiting] or one of the init containers: [setup]"),
        (
            "/log?container=waiting",
            400,
            "container \"waiting\" in pod \"p\" is waiting to start: ContainerCreating",
        ),
        (
            "/log?container=main&tailLines=-1",
            422,
            "tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "/log?container=main&limitBytes=0",
            422,
            "limitBytes: Invalid value: 0: must be greater than 0",
        ),
        ("/log?container=main&tailLines=ten", 400, "tailLines: \"ten\" is not a number"),
        ("/log?container=main&sinceTime=noon", 400, "sinceTime \"noon\" is not a time"),
        (
            "/log?container=main&sinceSeconds=1&sinceTime=2030-01-01T00:00:00Z",
            422,
            "at most one of",
        ),
    ];
    for (path, code, expected) in cases {
        let message = server.refusal(get(path), code).await;
        assert!(message.contains(expected), "{path}: {message}");
    }
    assert_eq!(server.ask(get("/log?container=setup")).await.0, StatusCode::OK);

    let server = Server::with_pod(json!({"containers": [{"name": "main"}]}));
    let (status, body) = server.ask(get("/log")).await;
    assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
}
