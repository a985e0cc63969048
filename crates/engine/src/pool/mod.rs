//! Pools: how many sandboxes are kept warm, which are made and which removed.
//!
//! [`plan`] reads from top to bottom as the policy; each step is a file of its own.

mod census;
mod failures;
pub mod history;
mod locks;
mod orphans;
mod plan;
mod size;
mod status;
mod target;
mod view;

pub(crate) use census::{Census, count};
pub use plan::plan;
pub(crate) use size::startup;
pub use view::*;
