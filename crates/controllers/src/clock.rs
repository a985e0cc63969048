//! The one source of time.
//!
//! Deadlines in the API are wall-clock timestamps, timers in the process are [`Instant`]s. Both come from here, so that a simulation
//! that pauses tokio's clock also pauses every deadline the controllers compute.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// What time it is, for everything the controllers decide.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Wall time is derived from tokio's clock, which tests may pause.
    Tokio {
        origin: Timestamp,
        started: Instant,
    },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Clock(Source::System)
    }

    /// A clock that shows `origin` now and from then on follows tokio's time.
    #[must_use]
    pub fn starting_at(origin: Timestamp) -> Self {
        Clock(Source::Tokio { origin, started: Instant::now() })
    }

    /// The current wall-clock time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Tokio { origin, started } => {
                let passed =
                    SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::ZERO);
                origin.checked_add(passed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// The instant at which this clock will show `at`; now, if that has passed.
    #[must_use]
    pub fn instant_of(&self, at: Timestamp) -> Instant {
        Instant::now() + Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_followed_clock_moves_only_with_tokio_time() {
        let origin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(origin);
        assert_eq!(clock.now(), origin);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), "2026-01-01T00:01:30Z".parse().unwrap());
        let in_a_minute = clock.now() + SignedDuration::from_secs(60);
        assert_eq!(clock.instant_of(in_a_minute), Instant::now() + Duration::from_secs(60));
        assert_eq!(clock.instant_of(origin), Instant::now());
    }
}
