//! The border between the node agent and whatever starts containers.
//!
//! The agent prepares a bundle (a root file system and an OCI `config.json`); a [`Runtime`] starts it. Two implementations:
//! `oci` (a shim process for each pod, which outlives the agent) and `fake` (pods become ready after a set delay).

mod call;
mod fake;
mod holdings;
mod oci;
mod program;
mod spawn;

pub use fake::FakeRuntime;
pub use holdings::Holdings;
pub use oci::{OciConfig, OciRuntime};

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
};

/// The uid of a pod object: what names its folder, cgroup, network namespace and shim.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct PodId(pub String);

/// A container of a pod, by name.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct ContainerId {
    /// The pod.
    pub pod: PodId,
    /// The container's name in the pod spec (init containers share the name space).
    pub name: String,
}

/// What a pod needs before its first container: namespaces, an address, a cgroup.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PodSetup {
    /// Which pod.
    pub id: PodId,
    /// Its namespace and name, for people who look at process lists and logs.
    pub namespace: String,
    /// See `namespace`.
    pub name: String,
    /// The host name inside.
    pub hostname: String,
    /// The pod's private folder on the node; the runtime may keep its own files in `runtime/` below it.
    pub dir: PathBuf,
    /// Whether the pod has an address of its own or uses the machine's.
    pub network: PodNetwork,
    /// Whether containers see each other's processes.
    pub share_processes: bool,
    /// Limits of the pod as a whole.
    pub limits: Limits,
    /// Mounts that the pod's containers share, such as an emptyDir in memory; made before the first container.
    pub mounts: Vec<PodMount>,
    /// The OCI runtime of the pod's RuntimeClass (a program on the machine); absent: the built-in one.
    pub handler: Option<String>,
}

/// A mount in the mount namespace of the pod's shim: containers see it, the machine does not, and it vanishes with the pod
/// whatever happens to the agent. The target folder must exist on the machine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PodMount {
    /// A writable view of read-only layers; the usual root file system of a container.
    Overlay {
        /// Where.
        target: PathBuf,
        /// The layers, topmost first.
        lower: Vec<PathBuf>,
        /// Receives what is written; on the same file system as `work`. Both must exist and be empty at the first mount.
        upper: PathBuf,
        /// Scratch space of the overlay.
        work: PathBuf,
    },
    /// Memory.
    Tmpfs {
        /// Where.
        target: PathBuf,
        /// Upper bound; half the machine's memory if absent.
        size_bytes: Option<u64>,
    },
    /// A folder or file below a folder that containers write to. The target is made as whichever it is.
    Beneath {
        /// Where.
        target: PathBuf,
        /// The folder that must not be left.
        volume: PathBuf,
        /// The path below it; made as a folder if it is not there.
        sub_path: String,
    },
    /// A folder or file, with what is mounted below it.
    Bind {
        /// Where.
        target: PathBuf,
        /// What.
        source: PathBuf,
        /// Whether writing is refused.
        read_only: bool,
    },
}

/// Where a pod's network lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PodNetwork {
    /// A namespace and an address of its own.
    Own,
    /// The machine's.
    Host,
}

/// Enforced limits; an absent one is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// Relative weight under contention, from the cpu request (thousandths of a processor).
    pub cpu_request_millis: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Limits {
    /// Limits under which both fit.
    #[must_use]
    pub fn roomier(&self, other: &Self) -> Self {
        let larger = |of: fn(&Self) -> Option<u64>| Some(of(self)?.max(of(other)?));
        Self {
            cpu_millis: larger(|limits| limits.cpu_millis),
            memory_bytes: larger(|limits| limits.memory_bytes),
            pids: larger(|limits| limits.pids),
            // A weight holds nobody back.
            cpu_request_millis: other.cpu_request_millis,
        }
    }
}

/// One container, ready to start: `bundle/config.json` names a prepared root file system.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ContainerSetup {
    /// Which container.
    pub id: ContainerId,
    /// How often it was started before; part of the log file's name.
    pub attempt: u32,
    /// The folder with `config.json`. Namespace paths and the cgroup path are filled in by the runtime.
    pub bundle: PathBuf,
    /// Mounts of this container alone, made in order before it is created: usually the overlay that `root.path` names.
    pub mounts: Vec<PodMount>,
    /// Where standard output and error go, in the CRI log format.
    pub log: PathBuf,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input stays open for `attach`.
    pub stdin: bool,
    /// Limits of this container.
    pub limits: Limits,
    /// What whoever asks for the container wants to find again when it has forgotten; the runtime keeps it and does not read it.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// New limits for a pod that runs, and for some of its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Resize {
    /// Of the pod as a whole.
    pub limits: Limits,
    /// Of running containers, by name; the others keep theirs.
    pub containers: BTreeMap<String, ContainerResize>,
}

/// New limits for a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContainerResize {
    /// What it may use from now on.
    pub limits: Limits,
    /// Replaces [`ContainerSetup::annotations`].
    pub annotations: BTreeMap<String, String>,
}

/// A command to run inside a running container.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ExecSetup {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Extra environment, on top of the container's.
    pub env: BTreeMap<String, String>,
    /// Whether it gets a terminal (then there is no separate standard error).
    pub tty: bool,
    /// Whether standard input is connected.
    pub stdin: bool,
}

/// The live ends of a command or an attachment.
pub struct Streams {
    /// Standard input, if asked for; dropping it is end of file.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Standard output.
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Standard error; absent with a terminal.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Terminal sizes (columns, rows). Nobody receives them without a terminal; a failed send is to be ignored.
    pub resize: mpsc::Sender<(u16, u16)>,
    /// Resolves when the command ends. Dropping it ends the command.
    pub exit: futures::future::BoxFuture<'static, Result<Exit, RuntimeError>>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Exit {
    /// The exit code; 128 + signal for a signal, as shells have it.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Whether the kernel ended it for want of memory.
    pub oom: bool,
    /// When.
    pub at: Timestamp,
}

/// What is known of a pod that the runtime holds, for adoption after a restart of the agent.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct PodState {
    /// What was asked for.
    pub setup: PodSetup,
    /// Its addresses; empty with the machine's network.
    pub ips: Vec<IpAddr>,
    /// Its containers by name, running or ended.
    pub containers: BTreeMap<String, ContainerState>,
}

/// A container as the runtime sees it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ContainerState {
    /// What was asked for.
    pub setup: ContainerSetup,
    /// The process, on the machine.
    pub pid: i32,
    /// When it was started.
    pub started_at: Timestamp,
    /// How it ended, once it has.
    pub exit: Option<Exit>,
}

/// What happens without being asked.
#[derive(Clone, Debug)]
pub enum RuntimeEvent {
    /// A container's main process ended.
    Exited(ContainerId, Exit),
    /// The pod's shim is gone: everything in it was ended by the kernel or is unreachable.
    PodLost(PodId),
}

/// What can go wrong below the border. Messages end up in pod conditions and events.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The command or entry point is not in the image, or can't be executed.
    #[error("exec {program:?}: {reason}")]
    NotExecutable {
        /// What was to be run.
        program: String,
        /// The kernel's word.
        reason: String,
    },
    /// No such pod or container, or it isn't running.
    #[error("{0} is not running")]
    NotRunning(String),
    /// The runtime can't do what the setup asks for.
    #[error("{0}")]
    Unsupported(String),
    /// Anything else, with what was attempted.
    #[error("{attempted}: {reason}")]
    Failed {
        /// What was attempted.
        attempted: &'static str,
        /// The reason.
        reason: String,
    },
}

/// Starts and ends pods and containers. Methods are idempotent where that makes sense: ending what has ended is no error.
pub trait Runtime: Send + Sync + 'static {
    /// Makes the pod's namespaces, network and cgroup and starts its shim. Answers its addresses.
    fn start_pod(
        &self,
        setup: PodSetup,
    ) -> impl Future<Output = Result<Vec<IpAddr>, RuntimeError>> + Send;
    /// Starts a container in a started pod. A container of that name that has ended is replaced.
    fn start_container(
        &self,
        setup: ContainerSetup,
    ) -> impl Future<Output = Result<ContainerState, RuntimeError>> + Send;
    /// Sends a signal to the container's main process.
    fn signal(
        &self,
        id: &ContainerId,
        signal: i32,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;
    /// Changes limits without touching a process. If a part fails, what was done stays, and the same may be asked again.
    fn resize(
        &self,
        id: &PodId,
        resize: Resize,
    ) -> impl Future<Output = Result<(), RuntimeError>> + Send;
    /// Ends every process of the pod at once and frees all it held: cgroups, mounts, namespaces, addresses, shim.
    fn remove_pod(&self, id: &PodId) -> impl Future<Output = Result<(), RuntimeError>> + Send;
    /// Runs a command in a running container.
    fn exec(
        &self,
        id: &ContainerId,
        setup: ExecSetup,
    ) -> impl Future<Output = Result<Streams, RuntimeError>> + Send;
    /// Connects to a running container's own streams.
    fn attach(
        &self,
        id: &ContainerId,
        stdin: bool,
    ) -> impl Future<Output = Result<Streams, RuntimeError>> + Send;
    /// Opens a TCP connection as the machine would (for probes and port forwarding): the pod network may live in a network
    /// namespace that this process is not in.
    fn connect(
        &self,
        to: SocketAddr,
    ) -> impl Future<Output = Result<TcpStream, RuntimeError>> + Send;
    /// Every pod that is still held, for adoption at start. Exits that happened while nobody watched are in the containers' states;
    /// one that happens just now may be there and come as an event as well.
    fn pods(&self) -> impl Future<Output = Result<Vec<PodState>, RuntimeError>> + Send;
    /// What happens without being asked. May be taken once.
    fn events(&self) -> mpsc::UnboundedReceiver<RuntimeEvent>;
}
