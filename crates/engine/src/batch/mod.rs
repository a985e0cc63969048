//! Batches: claims of n sandboxes, delivered as one object.
//!
//! ```text
//!                 named in the status, or live and finished        asked for - these = missing
//!   delivered --------------------------------------------+              |
//!   in work   (started, changed or told for this claim) --+              v
//!                                     from the shelf (fresh first) -> wait for what is nearly ready -> start the rest, or wait
//! ```
//!
//! What was delivered is counted once and for all, as jobs count: a sandbox that its user deletes is not replaced. What is in work has a place of its own until it
//! is delivered, discarded or put aside, so a batch never holds more than it asked for, not even for a moment between two writes. Everything needed to go on after
//! a crash is on the sandboxes (whose they are) and in the status (what was delivered).

mod finish;
mod outlook;
mod plan;
mod tally;
mod view;

pub use plan::plan;
pub use view::*;

#[cfg(test)]
mod tests;
