//! The line between an executor and a waiter: a JSON value a line, over a Unix socket.
//!
//! Whoever connects is told the latest event at once. Losing an executor means nothing to a waiter; losing the waiter tells the executor to look at the task's files.

use std::{
    io,
    os::unix::net::{UnixListener, UnixStream},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::OwnedWriteHalf,
    sync::mpsc,
};

use crate::protocol::TaskResult;

/// What an executor tells a waiter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub(crate) enum Command {
    /// End the task: a polite request first, force after the grace.
    #[serde(rename_all = "camelCase")]
    Stop { grace_millis: u64 },
}

/// What a waiter tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub(crate) enum Event {
    /// The sandbox's container can't be found yet.
    Waiting { message: String },
    /// The process was started.
    Running { since: Timestamp },
    /// Its time is up, and it is being stopped.
    #[serde(rename_all = "camelCase")]
    TimedOut { since: Timestamp, at: Timestamp, message: String },
    /// It has ended, and so it is written.
    Ended { result: Box<TaskResult> },
}

/// All executors that listen: one, or two for a moment around a restart.
pub(super) struct Lines {
    listener: tokio::net::UnixListener,
    open: Vec<OwnedWriteHalf>,
    latest: Option<Event>,
    commands: mpsc::Sender<Command>,
    incoming: mpsc::Receiver<Command>,
}

impl Lines {
    pub(super) fn new(first: UnixStream, listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        first.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let (commands, incoming) = mpsc::channel(1);
        let mut lines = Self { listener, open: Vec::new(), latest: None, commands, incoming };
        lines.add(tokio::net::UnixStream::from_std(first)?);
        Ok(lines)
    }

    /// Waits for the next command, and lets executors in meanwhile.
    pub(super) async fn next(&mut self) -> Command {
        loop {
            tokio::select! {
                command = self.incoming.recv() => {
                    return command.expect("the sender is ours and lives as long");
                }
                accepted = self.listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        self.add(stream);
                    }
                }
            }
        }
    }

    /// Tells everyone.
    pub(super) fn tell(&mut self, event: Event) {
        let text = encode(&event);
        self.open.retain(|line| send(line, &text));
        self.latest = Some(event);
    }

    fn add(&mut self, stream: tokio::net::UnixStream) {
        let (read, write) = stream.into_split();
        if let Some(event) = &self.latest
            && !send(&write, &encode(event))
        {
            return;
        }
        self.open.push(write);
        let commands = self.commands.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(command) = serde_json::from_str(&line) else { return };
                if commands.send(command).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn encode(event: &Event) -> Vec<u8> {
    let mut text = serde_json::to_vec(event).expect("it has no maps with odd keys");
    text.push(b'\n');
    text
}

/// An event is far smaller than a socket's buffer. An executor that has not read the ones before is not waited for: it is cut off and reads the files.
fn send(line: &OwnedWriteHalf, text: &[u8]) -> bool {
    // The readiness a fresh stream does not know of yet is not asked for.
    rustix::io::write(line.as_ref(), text).is_ok_and(|sent| sent == text.len())
}
