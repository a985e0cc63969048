//! The controllers of sandbank: what makes the cluster follow the objects of the sandbox APIs.
//!
//! ```text
//!  API server --watch--> index --wakes--> queue --subject--> reconcile --view--> engine::plan
//!      ^                   ^                                     |                    |
//!      |                   +---- ledger: our own writes ----+    +<------ plan -------+
//!      |                                                    |    |
//!      +------------------------- act <---------------------+----+--> events, metrics
//! ```
//!
//! [`run::run`] starts all of it against any API server, over HTTPS or in process; there is one path through the code.
//!
//! - [`family`]: what an API family brings. [`x_k8s`] and [`kruise`] are the two there are.
//! - [`index`]: one watch per kind; what is known, how it is linked, and whom a change concerns.
//! - [`queue`]: which subject is looked at next. [`subject`]: what a subject is.
//! - [`reconcile`]: from the index to a view, through the engine, to writes.
//! - [`act`]: bounded, timed, conditional writes, and what may be concluded from a failed one.
//! - [`lease`]: one writer at a time.
//! - [`events`], [`metrics`]: what people and dashboards see.
//! - [`why`]: the reasons for an object's state, from the API alone.
//! - [`clock`]: the one source of time. A simulation pauses it.
//!
//! Memory is only a cache. Whatever is in it can be lost at any moment: ownership, by uid, is in the objects, every write that matters carries a precondition,
//! and a restart lists everything once before it decides anything.

pub mod act;
pub mod clock;
pub mod events;
pub mod family;
pub mod index;
pub mod kinds;
pub mod kruise;
pub mod lease;
pub mod metrics;
pub mod queue;
pub mod reconcile;
pub mod run;
pub mod subject;
pub mod why;
mod work;
pub mod x_k8s;

pub use clock::Clock;
pub use run::{Options, RunError, Running, run, start};
