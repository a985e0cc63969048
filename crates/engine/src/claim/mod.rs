//! Claims: what a claim asks for, and what it gets.

mod view;

pub use view::*;

use jiff::Timestamp;

/// What should be done about a claim.
pub fn plan(view: &ClaimView, now: Timestamp) -> ClaimPlan {
    let _ = (view, now);
    ClaimPlan { actions: Vec::new(), answer: Answer::Silent, wake_at: None, reasons: Vec::new() }
}
