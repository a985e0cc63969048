//! What the agent is told at its start, and why it may refuse to start.

use std::path::PathBuf;

use crate::image::ImageError;

/// What a node offers to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Thousandths of a processor.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Pods at once; above it pods stay Pending.
    pub pods: u32,
}

impl Capacity {
    /// The machine's own processors and memory, and the usual number of pods.
    pub fn of_machine() -> Self {
        super::machine_capacity()
    }
}

/// What is asked of [`crate::Node::start`].
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The name of the Node object; the machine's host name if absent.
    pub name: Option<String>,
    /// Where pods and images live: `pods/` and `images/` are made below it.
    pub data_dir: PathBuf,
    /// What to offer; the machine's own processors and memory, and 500 pods, if absent.
    pub capacity: Option<Capacity>,
    /// Files whose folders, like the data dir, never show in the `host` image although a folder above them does.
    pub private_paths: Vec<PathBuf>,
    /// The address that pods report as that of their host. Pods reach the machine by it if the pod network allows.
    pub address: std::net::IpAddr,
    /// Whether containers are started from prepared bundles (`oci`), or the runtime needs none (`fake`).
    pub bundles: Bundles,
}

/// Whether the runtime reads what the agent would prepare for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bundles {
    /// Images are resolved and volumes and `config.json` written before a container starts.
    Prepared,
    /// Nothing is written: any image name is good. For the fake runtime.
    Skipped,
}

impl NodeOptions {
    /// The usual: the machine's name and size, prepared bundles.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            name: None,
            data_dir: data_dir.into(),
            capacity: None,
            private_paths: Vec::new(),
            address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            bundles: Bundles::Prepared,
        }
    }
}

/// Why a node can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A folder of the node can't be made or read.
    #[error("{attempted} {path}: {source}")]
    Folder {
        /// What was attempted.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The image store can't be opened.
    #[error("opening the image store: {0}")]
    Images(#[from] ImageError),
    /// The API server refused or can't be reached.
    #[error("{attempted}: {source}")]
    Api {
        /// What was attempted.
        attempted: &'static str,
        /// The reason.
        source: Box<kube::Error>,
    },
    /// The runtime can't say which pods it holds.
    #[error("asking the runtime for its pods: {0}")]
    Runtime(#[from] crate::runtime::RuntimeError),
}
