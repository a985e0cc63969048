//! What the agent and a shim say to each other, over a Unix socket that only its owner may open: frames of a 32-bit length and that much
//! JSON. File descriptors travel beside the first byte of a frame.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    net::IpAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    cgroup::Group,
    runtime::{
        ContainerSetup, ContainerState, ExecSetup, Exit, PodSetup, PodState, Resize, RuntimeError,
    },
};

/// A longer frame is a mistake or an attack. The largest honest one is the state of a pod with some hundred containers.
pub(crate) const FRAME_LIMIT: usize = 4 << 20;
/// Standard input, output and error: no frame carries more descriptors.
const FDS_LIMIT: usize = 3;

/// The name of the socket in a pod's runtime folder.
pub(crate) const SOCKET: &str = "shim.sock";

/// The first frame, on the shim's standard input. With it comes the network namespace.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Boot {
    pub(crate) setup: PodSetup,
    pub(crate) ips: Vec<IpAddr>,
    /// The pod's control group; made, with its limits.
    pub(crate) group: Group,
}

/// What an agent asks. One connection carries one request; `Watch`, `Exec` and `Attach` stay open.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Answered by `State`, then by an `Exited` for each container that ends.
    Watch,
    /// Answered by `State`.
    State,
    /// Answered by `Started`.
    Start(Box<ContainerSetup>),
    /// Answered by `Done`.
    Signal { name: String, signal: i32 },
    /// Answered by `Done`.
    Resize(Box<Resize>),
    /// Answered by `Running` with descriptors, then by `Ended`. Closing the connection ends the command.
    Exec { name: String, setup: ExecSetup },
    /// Answered by `Running` with descriptors, then by `Ended` when the container does.
    Attach { name: String, stdin: bool },
    /// Answered by `Done` when nothing of the pod runs any more. The shim is gone soon after.
    Remove,
}

/// What a shim answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Ready,
    Done,
    State(Box<PodState>),
    Started(Box<ContainerState>),
    Running(Streams),
    Ended(Exit),
    Exited { name: String, exit: Exit },
    Failed(Failure),
}

/// Which descriptors come with `Running`, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// Whether standard input and output are one terminal.
    pub(crate) terminal: bool,
}

/// A [`RuntimeError`] that can travel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    NotExecutable { program: String, reason: String },
    NotRunning(String),
    Unsupported(String),
    Failed(String),
}

impl Failure {
    pub(crate) fn new(attempted: &str, reason: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{attempted}: {reason}"))
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotExecutable { program, reason } => Self::NotExecutable { program, reason },
            Failure::NotRunning(what) => Self::NotRunning(what),
            Failure::Unsupported(what) => Self::Unsupported(what),
            Failure::Failed(reason) => Self::Failed { attempted: "pod shim", reason },
        }
    }
}

/// A message as it goes over the wire.
pub(crate) fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= FRAME_LIMIT)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the message is too long"))?;
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Takes a whole message off the front of `buffer`, if there is one.
pub(crate) fn parse<T: DeserializeOwned>(buffer: &mut Vec<u8>) -> io::Result<Option<T>> {
    let Some((header, body)) = buffer.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*header) as usize;
    if length > FRAME_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let Some(body) = body.get(..length) else { return Ok(None) };
    let message = serde_json::from_slice(body)?;
    buffer.drain(..4 + length);
    Ok(Some(message))
}

/// Sends a message with descriptors and waits until it is in the socket.
pub(crate) fn send(
    socket: &UnixStream,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let frame = frame(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_LIMIT))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let sent =
        rustix::net::sendmsg(socket, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL)?;
    (&mut &*socket).write_all(&frame[sent..])
}

/// Waits for a message and its descriptors.
pub(crate) fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut header = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_LIMIT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(&mut header)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    if got.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    let mut reader = socket;
    reader.read_exact(&mut header[got.bytes..])?;
    let length = u32::from_le_bytes(header) as usize;
    if length > FRAME_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((serde_json::from_slice(&body)?, fds))
}

/// The descriptor that comes with a message of any other protocol.
pub(crate) fn receive_fd(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut ignored = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_LIMIT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut into = [IoSliceMut::new(&mut ignored)];
    rustix::net::recvmsg(socket.as_fd(), &mut into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut received) => received.next(),
        _ => None,
    });
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_message_and_its_descriptors_arrive_together() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let null = File::open("/dev/null").expect("every machine has it");
        let said = Request::Signal { name: "main".to_owned(), signal: 15 };
        send(&ours, &said, &[null.as_fd(), null.as_fd()]).expect("room in the socket");
        let (heard, fds) = receive::<Request>(&theirs).expect("a message");
        assert!(matches!(heard, Request::Signal { name, signal: 15 } if name == "main"));
        assert_eq!(fds.len(), 2);
    }

    #[test]
    fn frames_are_taken_one_by_one_and_only_whole() {
        let mut buffer = frame(&Request::Watch).expect("small");
        buffer.extend(frame(&Request::Remove).expect("small"));
        let last = buffer.pop().expect("not empty");
        assert!(matches!(parse(&mut buffer), Ok(Some(Request::Watch))));
        assert!(matches!(parse::<Request>(&mut buffer), Ok(None)));
        buffer.push(last);
        assert!(matches!(parse(&mut buffer), Ok(Some(Request::Remove))));
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_frame_that_claims_to_be_huge_is_refused_before_it_is_read() {
        let mut buffer = u32::MAX.to_le_bytes().to_vec();
        assert!(parse::<Request>(&mut buffer).is_err());
    }
}
