//! A client's connection: bytes in, frames out, never waiting.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use serde::Serialize;

use super::protocol::{self, Request};

/// What a connection is for, after its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// No request yet.
    New,
    /// Hears of every container that ends.
    Watch,
    /// Waits for its command; the command ends with it.
    Command,
    /// Sees a container's output.
    Attached(String),
    /// Answered; closed when the answer is out.
    Done,
}

/// A client.
pub(super) struct Connection {
    socket: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    pub(super) purpose: Purpose,
}

/// What reading from a connection brought.
pub(super) enum Heard {
    Nothing,
    Request(Box<Request>),
    /// The client is gone or talks nonsense.
    HungUp,
}

/// A watcher that lets this much pile up is stuck; it will connect again and ask for the state.
const OUTBOX_LIMIT: usize = 2 * protocol::FRAME_LIMIT;

impl Connection {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (inbox, outbox) = (Vec::new(), Vec::new());
        Ok(Self { socket, inbox, outbox, purpose: Purpose::New })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether something waits to be sent.
    pub(super) fn behind(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether it has served its purpose.
    pub(super) fn finished(&self) -> bool {
        self.purpose == Purpose::Done && self.outbox.is_empty()
    }

    pub(super) fn hear(&mut self) -> Heard {
        let mut buffer = [0; 16 * 1024];
        loop {
            match (&self.socket).read(&mut buffer) {
                Ok(0) => return Heard::HungUp,
                Ok(length) => self.inbox.extend_from_slice(&buffer[..length]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Heard::HungUp,
            }
            if self.inbox.len() > protocol::FRAME_LIMIT + 4 {
                return Heard::HungUp;
            }
        }
        if self.purpose != Purpose::New {
            // One request a connection.
            return if self.inbox.is_empty() { Heard::Nothing } else { Heard::HungUp };
        }
        match protocol::parse(&mut self.inbox) {
            Ok(Some(request)) => Heard::Request(Box::new(request)),
            Ok(None) => Heard::Nothing,
            Err(_) => Heard::HungUp,
        }
    }

    /// Queues a message and sends what goes.
    pub(super) fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.outbox.extend(protocol::frame(message)?);
        if self.outbox.len() > OUTBOX_LIMIT {
            return Err(io::Error::other("the client does not read"));
        }
        self.flush()
    }

    /// Sends a message with descriptors. It must be the first one: the empty socket has room for it.
    pub(super) fn hand(&mut self, message: &impl Serialize, fds: &[OwnedFd]) -> io::Result<()> {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        protocol::send(&self.socket, message, &fds)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match (&self.socket).write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
