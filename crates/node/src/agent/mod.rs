//! The agent: watches pods, binds those that fit, and carries each through its life.

mod options;

pub use options::{Bundles, Capacity, NodeError, NodeOptions};
