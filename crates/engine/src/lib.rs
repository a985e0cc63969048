//! The engine of sandbank: what should happen next, decided and explained, and nothing else.
//!
//! ```text
//!                 views (what was seen)                 now
//!                        |                               |
//!                        v                               v
//!   pool::plan   claim::plan   batch::plan   sandbox::plan   lifecycle::plan   template::plan
//!                        |
//!                        v
//!       Plan { actions, status, wake_at, reasons }
//! ```
//!
//! Everything here is a function from values to values. There is no async, no clock, no randomness and no logging: time is an argument, names of new objects are
//! chosen by whoever writes them, and what a log line would say is a [`Reason`] in the plan. The same input gives the same plan, whatever the order of its
//! lists.
//!
//! - [`ids`], [`world`]: names, versions and the small views of what was seen.
//! - [`pool`]: how many sandboxes to make or remove, which ones, and how a template change rolls through ([`rollout`]).
//! - [`claim`]: which sandbox a claim gets, or why it waits or is refused; its expiry.
//! - [`batch`]: claims of n sandboxes: what is taken, waited for and started, and what was delivered.
//! - [`sandbox`]: the pod, service and volumes of one sandbox; suspend, resume, expiry.
//! - [`lifecycle`]: one sandbox that lives in phases: start, pause, resume, changes in place, upgrades with hooks, and its ends.
//! - [`template`]: the network policy that belongs to a template.
//! - [`shelf`]: the ready queue of a pool, from which claims take in O(log n), and the line of waiting claims.
//! - [`expect`]: what was written and is not seen yet, so that a late cache never causes a second write.
//! - [`backoff`], [`pace`]: repeated failure and observed start times.
//! - [`check`]: the laws, as functions on a world; the simulator and the tests call them after every step.
//!
//! Views may be stale when they are planned from. No decision relies on them being current: each destructive action carries a [`Precondition`], and a refused
//! precondition means "look again and plan again".

pub mod backoff;
pub mod batch;
pub mod check;
pub mod claim;
pub mod expect;
pub mod ids;
pub mod lifecycle;
pub mod pace;
pub mod pool;
pub mod reason;
pub mod rollout;
pub mod sandbox;
pub mod shelf;
pub mod template;
pub mod world;

pub use ids::{Key, NodeName, Precondition, Revision, Uid, Version};
pub use reason::{Code, Condition, ConditionKind, Reason, Verdict, WaitsFor};
pub use rollout::{Amount, Budget, Freshness, Rounding, Strategy};
pub use world::{Holder, Lock, Member, Stage, Trouble, TroubleKind};
