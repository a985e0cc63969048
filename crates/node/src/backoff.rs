//! How long to wait before trying again what failed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// 10 s, doubling to 5 minutes, forgotten after 10 minutes without need: the delays people know from CrashLoopBackOff.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
const FORGOTTEN: SignedDuration = SignedDuration::from_secs(600);

/// The delays of one container or image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    delay: Option<Duration>,
}

impl Backoff {
    /// Notes a failure at `now`; answers when to try again. What had run for long before it failed begins anew.
    pub(crate) fn failed(&mut self, now: Timestamp, ran_for: Duration) -> Timestamp {
        let recovered = SignedDuration::try_from(ran_for).is_ok_and(|ran| ran >= FORGOTTEN);
        let delay = match self.delay {
            Some(delay) if !recovered => (delay * 2).min(LONGEST),
            _ => FIRST,
        };
        self.delay = Some(delay);
        now + SignedDuration::try_from(delay).unwrap_or(SignedDuration::ZERO)
    }

    /// The current delay, for messages.
    pub(crate) fn delay(&self) -> Duration {
        self.delay.unwrap_or_default()
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_five_minutes() {
        let mut backoff = Backoff::default();
        let now = Timestamp::UNIX_EPOCH;
        let seconds: Vec<_> = (0..7)
            .map(|_| backoff.failed(now, Duration::ZERO).duration_since(now).as_secs())
            .collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_long_run_begins_again_with_the_short_delay() {
        let mut backoff = Backoff::default();
        let now = Timestamp::UNIX_EPOCH;
        backoff.failed(now, Duration::ZERO);
        backoff.failed(now, Duration::ZERO);
        backoff.failed(now, Duration::from_secs(601));
        assert_eq!(backoff.delay(), FIRST);
    }
}
