//! A sandbox that lives in phases.
//!
//! ```text
//!             +--------- lost, and to come back ---------+
//!             v                                          |
//!   (new) -> Pending ---- pod runs ---------------> Running <---- pod runs ---- Resuming
//!             |                                      | |  ^                        ^
//!             |                    paused is asked   | |  | done                   | running is asked
//!             +--------------------------------------+ |  |                        |
//!             |                                      v |  |                        |
//!             |                                   Paused  |  ----------------------+
//!             |                                        v  |
//!             |                                     Upgrading
//!             v
//!   Succeeded, Failed: for good                Terminating: it is being deleted
//! ```
//!
//! Unlike [`crate::sandbox`], where each report is computed from what is, here the phase that was reported last is part of the input: clients wait for phases in
//! their order, and a phase says what may follow. Nothing else is remembered, so a restart goes on where the last report stands.
//!
//! - [`LifeView`], [`LifePlan`]: what goes in and what comes out.
//! - `start`: Pending. `run`: Running, and a pod that is lost. `pause`: Paused and Resuming. `finish`: the three ends. `timers`: what happens at a set time.
//! - `update`: changes that a running pod can take. `upgrade`: changes that need another pod, with the hooks around it.
//! - `inside`: the program in the pod that is told for whom it runs, and told again when its pod is another one.
//!
//! What is an option here: what becomes of a sandbox whose pod is lost ([`OnLost`]), and how a change of the template reaches the pod ([`ChangePolicy`]).

mod finish;
mod inside;
mod outcome;
mod pause;
mod plan;
mod pods;
mod run;
mod start;
mod timers;
mod update;
mod upgrade;
mod view;

pub use outcome::*;
pub use plan::plan;
pub use view::*;

#[cfg(test)]
mod tests;
