//! Pace: how long starts take here, as observed.

use jiff::SignedDuration;
use std::collections::VecDeque;

/// So many of the latest starts are remembered: enough that one slow start does not move the median, few enough that a faster image shows within a minute.
const REMEMBERED: usize = 15;

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
