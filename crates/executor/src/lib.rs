//! The executor of tasks: runs one process inside a sandbox for a controller that can't reach into it.
//!
//! A controller hands a list of tasks to the executor in each pod, over HTTP; the executor makes it so, and says how each ended. It is a
//! drop-in for the `task-executor` of OpenSandbox: same port, routes, bodies, states, flags and variables. What is more is optional for both
//! sides.
//!
//! By default this crate is what a controller needs: [`protocol`] and [`Client`]. The feature `server` is the executor:
//!
//! ```text
//!   server/   listens, keeps the list, follows each task; one thread, no process of a task is its child
//!     |         follow.rs starts a waiter or finds the one that an executor before has started
//!   waiter/   one process for each task: starts it, adopts what it detaches, takes its output, writes how it ended
//!     |
//!   target    which container is the sandbox's          namespaces   how a process gets into it (the one place with `unsafe`)
//!   records   what is on disk of a task                 processes    who is who in /proc, and signals that can't hit a stranger
//! ```
//!
//! Two promises shape it. A task is started at most once, whoever is killed when: what is about to happen is on disk before it happens. And
//! a stop ends everything that a task started, while the end of a task by itself ends nothing else. The README says what callers see.

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
