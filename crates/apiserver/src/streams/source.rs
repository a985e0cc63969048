//! The border to whoever runs the pods.

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};

/// A container of a pod that exists as an object. Whether it runs is for [`PodStreams`] to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// This life of the pod.
    pub uid: String,
    /// The node it is bound to.
    pub node: String,
    /// The container's name.
    pub container: String,
}

/// Which streams a client wants, and whether there is a terminal between it and the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamNeeds {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error; never with a terminal, which has only one output.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

/// A command to run in a running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// Where.
    pub target: ContainerRef,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// Which streams.
    pub needs: StreamNeeds,
}

/// A connection to a container's own streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// Where.
    pub target: ContainerRef,
    /// Which streams.
    pub needs: StreamNeeds,
}

/// What part of a container's log to send.
///
/// The number of bytes (`limitBytes`) is not here: the server counts what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// Whose log.
    pub target: ContainerRef,
    /// Whether to go on as the container writes, until it ends.
    pub follow: bool,
    /// Whether the log is that of the run before the current one.
    pub previous: bool,
    /// Whether each line begins with its time, in RFC 3339 with nanoseconds, and a blank.
    pub timestamps: bool,
    /// Only the last so many lines of what is there.
    pub tail_lines: Option<u64>,
    /// Only lines written at this time or later.
    pub since: Option<Timestamp>,
}

/// The live ends of a command or an attachment.
pub struct Session {
    /// Standard input, if asked for; dropping it is end of file.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Standard output, if asked for.
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Standard error, if asked for; absent with a terminal.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Terminal sizes (columns, rows); sending on it without a terminal does nothing.
    pub resize: mpsc::Sender<(u16, u16)>,
    /// Resolves when the command ends. Dropping it ends the command.
    pub exit: BoxFuture<'static, Result<Exit, StreamError>>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + signal for a signal, as shells have it.
    pub code: i32,
}

/// Log text, in pieces of any size.
pub type LogStream = BoxStream<'static, Result<Bytes, StreamError>>;

/// Why there are no streams.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The container has not been started; the text says which, and what it waits for.
    #[error("{0}")]
    Waiting(String),
    /// The container is not running any more, or not on this node.
    #[error("{0}")]
    NotRunning(String),
    /// The command can't be executed.
    #[error("{0}")]
    NotExecutable(String),
    /// The node does not do this.
    #[error("{0}")]
    Unsupported(String),
    /// Anything else, with what was attempted.
    #[error("{0}")]
    Failed(String),
}

/// Reaches into running containers. Implemented by whoever runs the pods, and by fakes in tests.
pub trait PodStreams: Send + Sync + 'static {
    /// Runs a command in a running container.
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session, StreamError>>;

    /// Connects to a running container's own streams.
    fn attach(&self, request: AttachRequest) -> BoxFuture<'_, Result<Session, StreamError>>;

    /// Opens a container's log. Fails before the first byte or inside the stream.
    fn logs(&self, request: LogRequest) -> BoxFuture<'_, Result<LogStream, StreamError>>;
}
