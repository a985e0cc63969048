//! The executor of tasks: runs one process inside a sandbox for a controller that can't reach into it.
//!
//! A controller hands a list of tasks to the executor in each pod, over HTTP; the executor makes it so, and says how each ended. It is a
//! drop-in for the `task-executor` of OpenSandbox: same port, routes, bodies, states, flags and variables. What is more is optional for both
//! sides.
//!
//! By default this crate is what a controller needs: [`protocol`] and [`Client`].

mod client;
pub mod protocol;

pub use client::{Client, ClientError, Listing, Output, Version};
