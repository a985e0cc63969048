//! The executor of tasks: runs one process inside a sandbox for a controller that can't reach into it.
//!
//! A controller hands a list of tasks to the executor in each pod, over HTTP; the executor makes it so, and says how each ended. It is a
//! drop-in for the `task-executor` of OpenSandbox: same port, routes, bodies, states, flags and variables. What is more is optional for both
//! sides.
//!
//! By default this crate is what a controller needs: [`protocol`] and [`Client`].

mod client;
#[cfg(feature = "server")]
mod namespaces;
#[cfg(feature = "server")]
mod output;
#[cfg(feature = "server")]
mod processes;
pub mod protocol;
#[cfg(feature = "server")]
mod records;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod target;
#[cfg(feature = "server")]
mod waiter;

pub use client::{Client, ClientError, Listing, Output, Version};
#[cfg(feature = "server")]
pub use server::main as server_main;
#[cfg(feature = "server")]
pub use waiter::main as waiter_main;

/// The variable that all processes of a task carry, so that they are found wherever they went.
#[cfg(feature = "server")]
const TASK_VARIABLE: &str = "SANDBANK_TASK_ID";
