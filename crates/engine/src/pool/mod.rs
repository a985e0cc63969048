//! Pools: how many sandboxes are kept warm, which are made and which removed.
//!
//! [`plan`] reads from top to bottom as the policy; each step is a file of its own.

mod census;
mod failures;
mod orphans;
mod plan;
mod size;
mod status;
mod target;
mod view;

pub(crate) use census::Census;
pub use plan::plan;
pub use view::*;
