//! The node agent of `sandbank up`: pods of a Kubernetes API as real OCI containers on this machine.
//!
//! ```text
//!   Kubernetes API <──watch, status──> agent/dispatch ──> agent/pod: one task for each pod
//!                                                           │  schedule.rs   does it fit?
//!                                                           │  supported.rs  is everything it asks for done here?
//!                                                           │  image/        layers to mount
//!                                                           │  volume/       folders to bind
//!                                                           │  oci_config/   config.json
//!                                                           v
//!                                  the border: runtime/ ── fake (ready after a delay)
//!                                                       └─ oci ── shim/ (a process for each pod) ── cgroup/, net/
//! ```
//!
//! Above the border nothing knows how a container is started; below it nothing knows what a pod object is. What a pod asks
//! for and this node does not do is refused by name.

pub mod agent;
mod backoff;
pub mod cgroup;
mod downward;
pub mod image;
pub mod log;
mod logs;
pub mod net;
mod oci_config;
mod private;
mod probe;
mod quantity;
pub mod runtime;
mod schedule;
pub mod shim;
mod status;
mod sub_path;
mod supported;
mod volume;

pub use agent::{
    Bundles, Capacity, LogStream, Node, NodeError, NodeOptions, PodAccess, StreamError,
};
pub use image::{ImageError, ImageStore};
pub use logs::LogOptions;
