//! Talking to a pod's shim.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    sync::mpsc,
};

use super::{Exit, RuntimeError, Streams};
use crate::shim::protocol::{self, Reply, Request, SOCKET};

/// How long a shim may take to answer. Starting a container on a loaded machine takes a second; a shim that is silent for longer hangs.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// How long a shim may take from hanging up to its end: it ends what runs in its pod first.
const LAST_BREATH: Duration = Duration::from_secs(6);

/// Connects to the shim whose runtime folder is `dir`. Blocks.
pub(super) fn connect(dir: &Path) -> io::Result<UnixStream> {
    // The path of a socket is limited to 108 bytes; this one is short whatever the folder.
    let folder = File::open(dir)?;
    let socket = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?;
    socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
    socket.set_write_timeout(Some(ANSWER_DEADLINE))?;
    Ok(socket)
}

/// A shim's answer.
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) fds: Vec<OwnedFd>,
    /// For what follows.
    pub(super) socket: UnixStream,
}

/// Asks the shim. Blocks.
pub(super) fn ask(dir: &Path, request: &Request) -> Result<Answer, RuntimeError> {
    let asked = connect(dir).and_then(|socket| {
        protocol::send(&socket, request, &[])?;
        let (reply, fds) = protocol::receive(&socket)?;
        Ok(Answer { reply, fds, socket })
    });
    let answer = asked.map_err(|e| {
        if is_gone(&e) || hung_up(&e) && ends(dir) {
            return RuntimeError::NotRunning("the pod's shim".to_owned());
        }
        failed("ask the pod's shim", e)
    })?;
    match answer.reply {
        Reply::Failed(failure) => Err(failure.into()),
        _ => Ok(answer),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// Whether a shim that hung up is gone soon. One that lives and hangs up can't be understood, and its pod must not be taken for dead.
fn ends(dir: &Path) -> bool {
    let deadline = Instant::now() + LAST_BREATH;
    loop {
        match connect(dir) {
            Err(e) if is_gone(&e) => return true,
            _ if Instant::now() > deadline => return false,
            // Nothing tells of the end of a process that is not our child.
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Runs what blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| failed("run a blocking step", e))?
}

pub(super) fn failed(attempted: &'static str, reason: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Failed { attempted, reason: reason.to_string() }
}

pub(super) fn unexpected() -> RuntimeError {
    failed("ask the pod's shim", "it answered something else")
}

/// Frames that go on arriving.
pub(super) struct Replies {
    socket: tokio::net::UnixStream,
    inbox: Vec<u8>,
}

impl Replies {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: tokio::net::UnixStream::from_std(socket)?, inbox: Vec::new() })
    }

    /// The next one; none when the shim has hung up.
    pub(super) async fn next(&mut self) -> io::Result<Option<Reply>> {
        loop {
            if let Some(reply) = protocol::parse(&mut self.inbox)? {
                return Ok(Some(reply));
            }
            if self.socket.read_buf(&mut self.inbox).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// The live ends that came with [`Reply::Running`].
pub(super) fn streams(answer: Answer) -> Result<Streams, RuntimeError> {
    let Reply::Running(kinds) = answer.reply else { return Err(unexpected()) };
    let broken = |e: io::Error| failed("take over the streams", e);
    let mut fds = answer.fds.into_iter();
    let mut next = |wanted: bool| -> io::Result<Option<OwnedFd>> {
        if !wanted {
            return Ok(None);
        }
        fds.next().map(Some).ok_or_else(|| io::Error::other("a descriptor is missing"))
    };
    let stdin = next(kinds.stdin).map_err(broken)?;
    let stdout = next(kinds.stdout).map_err(broken)?;
    let stderr = next(kinds.stderr).map_err(broken)?;
    // The terminal of a command is one descriptor for both directions.
    let stdin = match (stdin, &stdout) {
        (None, Some(stdout)) if kinds.terminal => Some(stdout.try_clone().map_err(broken)?),
        (stdin, _) => stdin,
    };
    let (resize, sizes) = mpsc::channel(8);
    if let (true, Some(terminal)) = (kinds.terminal, &stdin) {
        follow_sizes(terminal.try_clone().map_err(broken)?, sizes);
    }
    let mut replies = Replies::new(answer.socket).map_err(broken)?;
    let exit = async move {
        match replies.next().await {
            Ok(Some(Reply::Ended(exit))) => Ok::<Exit, _>(exit),
            Ok(_) => Err(RuntimeError::NotRunning("the pod's shim".to_owned())),
            Err(e) => Err(failed("wait for the command", e)),
        }
    };
    Ok(Streams {
        stdin: stdin.map(Pipe::new).transpose().map_err(broken)?.map(|p| Box::new(p) as _),
        stdout: stdout.map(Pipe::new).transpose().map_err(broken)?.map(|p| Box::new(p) as _),
        stderr: stderr.map(Pipe::new).transpose().map_err(broken)?.map(|p| Box::new(p) as _),
        resize,
        exit: exit.boxed(),
    })
}

fn follow_sizes(terminal: OwnedFd, mut sizes: mpsc::Receiver<(u16, u16)>) {
    tokio::spawn(async move {
        while let Some((columns, rows)) = sizes.recv().await {
            let size = rustix::termios::Winsize {
                ws_col: columns,
                ws_row: rows,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            // The terminal is gone: so will its sizes be.
            if rustix::termios::tcsetwinsize(&terminal, size).is_err() {
                return;
            }
        }
    });
}

/// One end of a pipe or terminal, for tokio.
struct Pipe(AsyncFd<OwnedFd>);

impl Pipe {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        #[allow(unsafe_code, reason = "the call itself; the argument is below")]
        // SAFETY: the `AsyncFd` owns the descriptor, hands it out only by shared reference, and an `OwnedFd` stays open until
        // it is dropped.
        let watched = unsafe { AsyncFd::register_with_interest(fd, both)? };
        Ok(Self(watched))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            match rustix::io::read(self.fd(), room) {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                // A terminal whose other end is closed answers so.
                Err(rustix::io::Errno::IO) => return Poll::Ready(Ok(())),
                Err(e) => return Poll::Ready(Err(e.into())),
            }
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            match rustix::io::write(self.fd(), bytes) {
                Ok(length) => return Poll::Ready(Ok(length)),
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Poll::Ready(Err(e.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_shim_that_hangs_up_and_ends_is_not_running() {
        let folder = tempfile::tempdir().unwrap();
        let ending = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let shim = std::thread::spawn(move || ending.accept().map(drop));
        let asked = ask(folder.path(), &Request::State).map(|answer| answer.fds.len());
        assert!(matches!(asked, Err(RuntimeError::NotRunning(_))), "{asked:?}");
        shim.join().unwrap().unwrap();
    }
}
