//! What a container writes: into its log, and to whoever is attached. Nobody who reads slowly holds the container up.

use std::{
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use jiff::Timestamp;

use crate::log::{LogStream, LogWriter};

/// A client that is this far behind is cut off: the log has everything.
const BEHIND_LIMIT: usize = 1 << 20;
/// As much as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// A container's output.
pub(super) struct Output {
    log: LogWriter,
    /// Standard output, or the terminal.
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    clients: Vec<Client>,
}

struct Client {
    connection: u64,
    stdout: Option<Feed>,
    stderr: Option<Feed>,
}

struct Feed {
    pipe: OwnedFd,
    waiting: Vec<u8>,
}

impl Output {
    pub(super) fn new(
        log: LogWriter,
        stdout: OwnedFd,
        stderr: Option<OwnedFd>,
    ) -> io::Result<Self> {
        for fd in [Some(&stdout), stderr.as_ref()].into_iter().flatten() {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        Ok(Self { log, stdout: Some(stdout), stderr, clients: Vec::new() })
    }

    /// The open streams.
    pub(super) fn sources(&self) -> impl Iterator<Item = (LogStream, BorrowedFd<'_>)> {
        let stdout = self.stdout.as_ref().map(|fd| (LogStream::Stdout, fd.as_fd()));
        let stderr = self.stderr.as_ref().map(|fd| (LogStream::Stderr, fd.as_fd()));
        stdout.into_iter().chain(stderr)
    }

    /// The pipes of clients that are behind.
    pub(super) fn behind(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.clients
            .iter()
            .flat_map(|client| [&client.stdout, &client.stderr])
            .flatten()
            .filter(|feed| !feed.waiting.is_empty())
            .map(|feed| feed.pipe.as_fd())
    }

    /// Takes what a stream has, once.
    pub(super) fn pump(&mut self, stream: LogStream) {
        self.read(stream);
    }

    /// Takes everything that is there, when the container has ended. What a surviving process writes later is lost.
    pub(super) fn drain(&mut self) {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            while self.read(stream) {}
        }
        self.stdout = None;
        self.stderr = None;
        self.noted(|log| log.finish(Timestamp::now()));
        self.clients.clear();
    }

    /// Adds a client; answers its ends of the pipes.
    pub(super) fn attach(&mut self, connection: u64) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
        let pipe = |source: &Option<OwnedFd>| -> io::Result<Option<(OwnedFd, Feed)>> {
            if source.is_none() {
                return Ok(None);
            }
            let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&ours, true)?;
            Ok(Some((theirs, Feed { pipe: ours, waiting: Vec::new() })))
        };
        let (stdout, stderr) = (pipe(&self.stdout)?, pipe(&self.stderr)?);
        let Some((stdout, out)) = stdout else {
            return Err(io::Error::other("the container has closed its output"));
        };
        let (stderr, err) = stderr.unzip();
        self.clients.push(Client { connection, stdout: Some(out), stderr: err });
        Ok((stdout, stderr))
    }

    /// Forgets a client.
    pub(super) fn detach(&mut self, connection: u64) {
        self.clients.retain(|client| client.connection != connection);
    }

    /// Goes on with clients that were behind.
    pub(super) fn flush(&mut self) {
        for client in &mut self.clients {
            for feed in [&mut client.stdout, &mut client.stderr] {
                if feed.as_mut().is_some_and(|f| f.flush().is_err()) {
                    *feed = None;
                }
            }
        }
    }

    /// Whether there may be more.
    fn read(&mut self, stream: LogStream) -> bool {
        let source = match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        let Some(fd) = source else { return false };
        let mut buffer = [0; CHUNK];
        match rustix::io::read(&*fd, &mut buffer) {
            Err(rustix::io::Errno::AGAIN) => return false,
            Err(rustix::io::Errno::INTR) => return true,
            // A terminal whose other end is closed answers with an error instead of an end.
            Ok(0) | Err(_) => {
                *source = None;
                return false;
            }
            Ok(length) => self.spread(stream, &buffer[..length]),
        }
        true
    }

    fn spread(&mut self, stream: LogStream, bytes: &[u8]) {
        self.noted(|log| log.write(stream, bytes, Timestamp::now()));
        for client in &mut self.clients {
            let feed = match stream {
                LogStream::Stdout => &mut client.stdout,
                LogStream::Stderr => &mut client.stderr,
            };
            if feed.as_mut().is_some_and(|f| f.give(bytes).is_err()) {
                *feed = None;
            }
        }
    }

    /// A full disk must not end the pod; the reason goes to the shim's own log.
    fn noted(&mut self, write: impl FnOnce(&mut LogWriter) -> io::Result<()>) {
        if let Err(e) = write(&mut self.log) {
            eprintln!("write the container's log: {e}");
        }
    }
}

impl Feed {
    fn give(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(bytes);
        self.flush()?;
        if self.waiting.len() > BEHIND_LIMIT {
            return Err(io::Error::other("too far behind"));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match rustix::io::write(&self.pipe, &self.waiting) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// Reads to the end of a descriptor whose other end is about to be closed.
pub(super) fn read_all(fd: OwnedFd, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::from(fd).take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes all of it.
pub(super) fn write_all(fd: BorrowedFd<'_>, text: &str) -> io::Result<()> {
    struct Raw<'a>(BorrowedFd<'a>);
    impl Write for Raw<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(rustix::io::write(self.0, bytes)?)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    Raw(fd).write_all(text.as_bytes())
}
