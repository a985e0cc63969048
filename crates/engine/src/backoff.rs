//! Backoff: how long to wait after failures that repeat.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The first failure is answered at once, because most failures do not repeat; the second waits this long.
/// Shorter, and a broken image is started so often that the node is busy with it; longer, and a blip of the registry costs a visible pause.
pub const FIRST: SignedDuration = SignedDuration::from_secs(5);

/// The longest pause, the same five minutes as the kubelet's: longer, and a repaired image is noticed too late.
pub const LONGEST: SignedDuration = SignedDuration::from_mins(5);

/// Failures in a row. A value, not a timer: whoever keeps it may lose it, and only the pause is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// How many failures in a row.
    pub failures: u32,
    /// When the last one was.
    pub last: Option<Timestamp>,
}

impl Backoff {
    /// The state after one more failure.
    pub fn failed(self, now: Timestamp) -> Self {
        Self { failures: self.failures.saturating_add(1), last: Some(now) }
    }

    /// Until when to wait; `None` if nothing holds back.
    pub fn until(self) -> Option<Timestamp> {
        let last = self.last?;
        let doublings = self.failures.checked_sub(2)?.min(10);
        let pause = (FIRST * (1 << doublings)).min(LONGEST);
        last.checked_add(pause).ok()
    }

    /// Whether to wait at this moment.
    pub fn holds(self, now: Timestamp) -> bool {
        self.until().is_some_and(|until| now < until)
    }
}
