//! One task for each pod carries it from binding to removal.
//!
//! ```text
//! object changes ─┐
//! container ends ─┤                    ┌─> set up, start, stop: tasks of their own, which answer by a message
//! probe reports ──┼─> mailbox ─> Life ─┼─> one status write for each visible change
//! timers ─────────┘                    └─> events
//! ```
//!
//! All decisions are made in [`Life`], one message after the other; what takes time runs beside it.

mod board;
mod hook;
mod life;
mod pull_secret;
mod record;
mod set_up;
mod slot;
mod start;
mod stop;
mod write;

pub(crate) use board::Board;
pub(crate) use life::{Life, Message};
pub(crate) use slot::{Ended, Outcome, Role, Slot, State};
