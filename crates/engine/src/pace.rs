//! Pace: how long starts take here, as observed.

use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

/// So many of the latest starts are remembered: enough that one slow start does not move the median, few enough that a faster image shows within a minute.
const REMEMBERED: usize = 15;

/// How long a start may take before it is no longer believed to be nearly over, where nothing was observed yet. Longer than the usual start of a container whose
/// image is there; shorter than what a user takes for a hang.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// The longest a claim waits for warm sandboxes in all. Each single wait is bounded by the start it waits for; this bounds their sum when starts keep failing.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(30);

/// A start that takes longer than so many times the usual is not about to be over: it may as well never be.
const OVERDUE: i32 = 2;

/// Until when a start that began then is worth waiting for, instead of another one from cold; `None` if it is not.
///
/// A sandbox that is being created has the same work before it as a cold one and began earlier, so without any observation it is the better bet; with one, times
/// are compared. One that is overdue is not waited for.
pub fn worth_waiting(
    began: Timestamp,
    start: Option<SignedDuration>,
    cold_start: Option<SignedDuration>,
    now: Timestamp,
) -> Option<Timestamp> {
    if let (Some(start), Some(cold)) = (start, cold_start) {
        // Compared by when each would be ready: began + start < now + cold.
        if began.duration_since(now) + start >= cold {
            return None;
        }
    }
    let patience = start.or(cold_start).map_or(PATIENCE, |usual| usual * OVERDUE);
    began.checked_add(patience).ok().filter(|until| now < *until)
}

/// The latest start times of one pool, or of cold starts of one template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    latest: VecDeque<SignedDuration>,
}

impl Pace {
    /// One more start, from the creation of the sandbox to its being ready.
    pub fn observe(&mut self, took: SignedDuration) {
        if took.is_negative() {
            return;
        }
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(took);
    }

    /// The median; `None` before the first.
    pub fn typical(&self) -> Option<SignedDuration> {
        let mut sorted: Vec<SignedDuration> = self.latest.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}
