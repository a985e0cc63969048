//! The node agent of `sandbank up`: pods of a Kubernetes API as real OCI containers on this machine.

pub mod agent;
pub mod cgroup;
pub mod image;
pub mod log;
pub mod net;
pub mod runtime;
pub mod shim;

pub use agent::{Bundles, Capacity, NodeError, NodeOptions};
pub use image::{ImageError, ImageStore};
