//! A node that plays its containers: a few commands, and a log of four lines.

use std::sync::Arc;

use apiserver::streams::{
    AttachRequest, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session, StreamError,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
};

/// Bytes in a pipe.
const PIPE: usize = 4096;

/// What the container has written so far, with the second of each line.
const LOG: [(&str, &str); 4] = [
    ("2030-05-01T12:00:00.000000001Z", "starting"),
    ("2030-05-01T12:00:01.000000002Z", "listening on :8080"),
    ("2030-05-01T12:00:02.000000003Z", "GET / 200"),
    ("2030-05-01T12:00:03.000000004Z", "GET /favicon.ico 404"),
];

/// The node.
pub struct Actors;

impl Actors {
    /// The node, as the server takes it.
    pub fn on_stage() -> Arc<dyn PodStreams> {
        Arc::new(Self)
    }
}

/// The process's ends of its streams.
struct Process {
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
    resize: mpsc::Receiver<(u16, u16)>,
}

impl Process {
    /// Does what the command says, and answers its exit code.
    async fn act(mut self, command: Vec<String>, tty: bool) -> i32 {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["echo", words @ ..] => self.say(&format!("{}\n", words.join(" "))).await,
            ["cat"] => {
                let mut input = Vec::new();
                self.stdin.read_to_end(&mut input).await.unwrap();
                self.stdout.write_all(&input).await.unwrap();
                0
            }
            ["complain", code] => {
                self.stderr.write_all(b"it does not work\n").await.unwrap();
                code.parse().unwrap()
            }
            ["tty"] if tty => {
                let size = self.resize.recv().await;
                let what = if size.is_some() { "a terminal with a size" } else { "a terminal" };
                self.say(&format!("{what}\r\n")).await
            }
            ["tty"] => self.say("not a terminal\n").await,
            _ => 127,
        }
    }

    async fn say(&mut self, text: &str) -> i32 {
        self.stdout.write_all(text.as_bytes()).await.unwrap();
        0
    }
}

impl PodStreams for Actors {
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        if request.command == ["missing"] {
            let error = StreamError::NotExecutable("exec \"missing\": no such file".to_owned());
            return async move { Err(error) }.boxed();
        }
        let (stdin, stdin_far) = duplex(PIPE);
        let (stdout, stdout_far) = duplex(PIPE);
        let (stderr, stderr_far) = duplex(PIPE);
        let (resize, resize_far) = mpsc::channel(1);
        let process = Process {
            stdin: stdin_far,
            stdout: stdout_far,
            stderr: stderr_far,
            resize: resize_far,
        };
        let needs = request.needs;
        let acting = process.act(request.command, needs.tty);
        let session = Session {
            stdin: needs.stdin.then(|| Box::new(stdin) as _),
            stdout: needs.stdout.then(|| Box::new(stdout) as _),
            stderr: needs.stderr.then(|| Box::new(stderr) as _),
            resize,
            exit: acting.map(|code| Ok(Exit { code })).boxed(),
        };
        async move { Ok(session) }.boxed()
    }

    fn attach(&self, request: AttachRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        let AttachRequest { target, needs } = request;
        let command = vec!["echo".to_owned(), "attached".to_owned()];
        self.exec(ExecRequest { target, command, needs })
    }

    fn logs(&self, request: LogRequest) -> BoxFuture<'_, Result<LogStream, StreamError>> {
        async move {
            if request.previous {
                let target = &request.target;
                return Err(StreamError::NotRunning(format!(
                    "previous terminated container \"{}\" in pod \"{}\" not found",
                    target.container, target.pod
                )));
            }
            let tail = request.tail_lines.map_or(LOG.len(), |tail| tail as usize).min(LOG.len());
            let lines = LOG[LOG.len() - tail..].iter().map(move |(time, text)| {
                let line = match request.timestamps {
                    true => format!("{time} {text}\n"),
                    false => format!("{text}\n"),
                };
                Ok(line.into())
            });
            let text = stream::iter(lines);
            Ok(if request.follow { text.chain(stream::pending()).boxed() } else { text.boxed() })
        }
        .boxed()
    }
}
