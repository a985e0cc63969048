//! The controllers of sandbank: what makes the cluster follow the objects of the sandbox APIs.
//!
//! ```text
//! watches -> index -> queue -> reconcile (engine::plan) -> act -> API server
//!                                  |
//!                                  +-> events, metrics
//! ```
//!
//! - [`clock`]: the one source of time.
//! - [`queue`]: which object is looked at next.
//! - [`act`]: bounded, timed, conditional writes.
//! - [`lease`]: one writer at a time.
//! - [`events`], [`metrics`]: what people and dashboards see.

pub mod act;
pub mod clock;
pub mod events;
pub mod kinds;
pub mod lease;
pub mod metrics;
pub mod queue;
pub mod run;
