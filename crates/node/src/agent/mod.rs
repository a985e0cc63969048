//! The agent: watches pods, binds those that fit, and carries each through its life.

mod access;
mod context;
mod dispatch;
mod machine;
mod node;
mod options;
pub(crate) mod pod;
mod recorder;
mod register;
mod room;

pub use access::{LogStream, PodAccess, StreamError};
pub(crate) use machine::machine_capacity;
pub use node::Node;
pub use options::{Bundles, Capacity, NodeError, NodeOptions};
