//! From the task's pipes into its files.

use std::{
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::pipe::PipeFlags;
use tokio::net::unix::pipe::Receiver;

use crate::{output::Writer, protocol::Stream};

/// What a pipe holds by default.
const CHUNK: usize = 64 << 10;

/// At the end of a task what is in its pipes is still its own. A child that goes on writing can't hold back the end for longer than this much takes.
const LAST_WORDS: usize = 1 << 20;

/// Both streams of a task.
pub(super) struct Outputs {
    stdout: Pump,
    stderr: Pump,
}

/// The ends that the task gets.
pub(super) struct Ends {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Outputs {
    pub(super) fn new(dir: &Path) -> io::Result<(Self, Ends)> {
        let (stdout, out) = Pump::new(dir, Stream::Stdout)?;
        let (stderr, err) = Pump::new(dir, Stream::Stderr)?;
        Ok((Self { stdout, stderr }, Ends { stdout: out, stderr: err }))
    }

    /// Moves what comes next. Never returns once both are closed.
    pub(super) async fn pump(&mut self) {
        tokio::select! {
            () = self.stdout.pump(), if !self.stdout.closed => {}
            () = self.stderr.pump(), if !self.stderr.closed => {}
            else => std::future::pending().await,
        }
    }

    /// Moves what is there now.
    pub(super) fn drain(&mut self) {
        for pump in [&mut self.stdout, &mut self.stderr] {
            let mut moved = 0;
            while moved < LAST_WORDS && !pump.closed {
                match pump.step() {
                    Some(0) | None => break,
                    Some(more) => moved += more,
                }
            }
        }
    }

    /// Whether nobody is left who could write.
    pub(super) fn closed(&self) -> bool {
        self.stdout.closed && self.stderr.closed
    }
}

struct Pump {
    pipe: Receiver,
    file: Writer,
    closed: bool,
    buffer: Vec<u8>,
}

impl Pump {
    fn new(dir: &Path, stream: Stream) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let (pipe, file) = (Receiver::from_owned_fd(ours)?, Writer::create(dir, stream)?);
        Ok((Self { pipe, file, closed: false, buffer: vec![0; CHUNK] }, theirs))
    }

    /// Waits for something to move, and moves it.
    async fn pump(&mut self) {
        if self.pipe.readable().await.is_err() {
            // The runtime is going away.
            self.closed = true;
            return;
        }
        match self.pipe.try_read(&mut self.buffer) {
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            read => self.take(read.unwrap_or(0)),
        }
    }

    /// Moves what is there. Absent: nothing now.
    fn step(&mut self) -> Option<usize> {
        // Not through the runtime, which may not know yet that there is something.
        match rustix::io::read(&self.pipe, &mut self.buffer) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            read => {
                let length = read.unwrap_or(0);
                self.take(length);
                Some(length)
            }
        }
    }

    fn take(&mut self, length: usize) {
        self.file.write(&self.buffer[..length]);
        self.closed |= length == 0;
    }
}
