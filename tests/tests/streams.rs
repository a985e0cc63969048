//! exec, attach and logs as kube's client sees them: a second opinion beside our own tests and kubectl, in process and over
//! TLS, with a process that echoes its input.

// All of this is a test; clippy sees only functions marked as one.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use apiserver::{
    ApiServer,
    auth::{Credentials, Identity},
    streams::{
        AttachRequest, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session, StreamError,
    },
    tls,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    api::{AttachParams, LogParams, PostParams, TerminalSize},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex, split},
    net::TcpListener,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// A node on which every command says its name, then the size of its terminal or what it is told, and ends with 3.
struct Parrot;

impl PodStreams for Parrot {
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        let (near, far) = duplex(1024);
        let (output, input) = split(near);
        let (mut told, mut says) = split(far);
        let (resize, mut sizes) = mpsc::channel(1);
        let acting = async move {
            let name = format!("{}: ", request.command.join(" "));
            says.write_all(name.as_bytes()).await.unwrap();
            if request.needs.tty {
                let (columns, rows) = sizes.recv().await.unwrap();
                says.write_all(format!("{columns}x{rows}").as_bytes()).await.unwrap();
            } else {
                tokio::io::copy(&mut told, &mut says).await.unwrap();
            }
            says.shutdown().await.unwrap();
            Ok(Exit { code: 3 })
        };
        let session = Session {
            stdin: request.needs.stdin.then(|| Box::new(input) as _),
            stdout: Some(Box::new(output)),
            stderr: None,
            resize,
            exit: acting.boxed(),
        };
        async move { Ok(session) }.boxed()
    }

    fn attach(&self, request: AttachRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        let AttachRequest { target, needs } = request;
        self.exec(ExecRequest { target, needs, command: vec!["attached".to_owned()] })
    }

    fn logs(&self, _request: LogRequest) -> BoxFuture<'_, Result<LogStream, StreamError>> {
        let lines = ["one\n", "two\n"].map(|line| Ok(line.into()));
        async move { Ok(stream::iter(lines).boxed()) }.boxed()
    }
}

async fn server() -> ApiServer {
    let server = ApiServer::builder().pods(Arc::new(Parrot)).open().await.unwrap();
    let client = Client::new(server.service(Identity::system("test")), "default");
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "here", "containers": [{"name": "main", "image": "x"}]},
    }));
    let pods: Api<Pod> = Api::default_namespaced(client);
    pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap();
    server
}

async fn story(client: Client) {
    let pods: Api<Pod> = Api::default_namespaced(client);
    let plain = AttachParams::default().stdin(true).stdout(true).stderr(false);

    let mut process = pods.exec("p", ["cat", "-n"], &plain).await.unwrap();
    let mut stdin = process.stdin().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    drop(stdin);
    let mut output = String::new();
    process.stdout().unwrap().read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "cat -n: hello");
    let status = process.take_status().unwrap().await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    let causes = status.details.unwrap().causes.unwrap();
    assert_eq!(causes[0].message.as_deref(), Some("3"));
    process.join().await.unwrap();

    let terminal = AttachParams::interactive_tty();
    let mut process = pods.attach("p", &terminal).await.unwrap();
    let mut size = process.terminal_size().unwrap();
    size.try_send(TerminalSize { width: 80, height: 24 }).unwrap();
    let mut output = String::new();
    process.stdout().unwrap().read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "attached: 80x24");
    process.join().await.unwrap();

    assert_eq!(pods.logs("p", &LogParams::default()).await.unwrap(), "one\ntwo\n");
    let refused = pods.exec("nobody", ["ls"], &plain).await.map(|_| ());
    assert!(refused.is_err(), "there is no such pod");
}

#[tokio::test]
async fn inside_this_process() {
    let server = server().await;
    story(Client::new(server.service(Identity::system("test")), "default")).await;
    server.close().await;
}

#[tokio::test]
async fn over_tls_with_the_kubeconfig() {
    let server = server().await;
    let credentials = Credentials::generate(&[], jiff::Timestamp::now()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let kubeconfig = Kubeconfig::from_yaml(&credentials.kubeconfig(&address).render()).unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (router, stop) = (server.router(), stop.clone());
        async move { tls::serve(router, listener, &credentials, stop).await.unwrap() }
    });

    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    story(Client::try_from(config.unwrap()).unwrap()).await;
    stop.cancel();
    serving.await.unwrap();
    server.close().await;
}
