//! The pod's own process: our binary, re-executed once for each pod.
//!
//! Starting a container means cloning a process that goes on running ordinary code, which only a single-threaded process may do. So the
//! agent never does it: it starts a shim, hands it the pod's setup and network namespace, and from then on talks to its socket.
//! The shim has one thread and no async runtime. It owns the pod's processes (it is their reaper), their output, log
//! files and exit codes, and its mount, IPC, UTS and network namespaces are the pod's. It belongs to no session of the
//! agent and outlives it; the next agent finds its socket and goes on.
//!
//! ```text
//!   agent --- shim.sock --- __shim ---+--- __pause       (first process of a shared process namespace)
//!                                     +--- container     (output through pipes into its log)
//!                                     +--- command       (its streams are the client's own, passed as descriptors)
//! ```

mod boot;
mod connection;
mod container;
mod exec;
mod handler;
mod identity;
mod launch;
mod mounts;
mod output;
mod pause;
mod pod;
pub(crate) mod protocol;
mod serve;
mod signals;
mod spec;
mod working_folder;

use std::{ffi::OsStr, process::ExitCode};

/// The first argument that makes our binary a pod's shim.
pub(crate) const SHIM: &str = "__shim";
/// The first argument that makes our binary the first process of a shared process namespace.
pub(crate) const PAUSE: &str = "__pause";

/// The group of all containers, below the pod's: the pod's limits are on it, so that they don't hit the shim.
pub(crate) const CONTAINERS: &str = "_containers";

/// Runs the shim if that is what this process was started as. The binary calls it before anything else: before a thread, a signal
/// handler or an async runtime exists.
#[must_use]
pub fn main() -> Option<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().take(2).collect();
    match arguments.get(1).map(|argument| argument.as_os_str()) {
        Some(name) if name == OsStr::new(SHIM) => Some(serve::main()),
        Some(name) if name == OsStr::new(PAUSE) => Some(pause::main()),
        _ => None,
    }
}
