//! The node agent of `sandbank up`: pods of a Kubernetes API as real OCI containers on this machine.

pub mod agent;
pub mod image;
pub mod runtime;

pub use agent::{Bundles, Capacity, NodeError, NodeOptions};
pub use image::{ImageError, ImageStore};
