//! How long a failing key waits.

use std::time::Duration;

/// The first retry comes soon, because the usual failure is a conflict with a write that the index is about to show.
const FIRST: Duration = Duration::from_millis(10);

/// The slowest retry. An object that can't be reconciled costs two calls a minute, and one that is repaired outside is noticed within half a minute
/// even if nothing in the index changes.
const SLOWEST: Duration = Duration::from_secs(30);

/// Exponential delays with jitter. The jitter is drawn from a seeded sequence, so that a simulation repeats exactly.
#[derive(Debug, Clone)]
pub struct Backoff {
    random: fastrand::Rng,
}

impl Backoff {
    /// Delays that depend on `seed` and on the order of the failures, and on nothing else.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Backoff { random: fastrand::Rng::with_seed(seed) }
    }

    /// The delay after the given number of failures in a row, between three quarters and five quarters of the exponential value.
    pub fn delay(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = FIRST.saturating_mul(1 << doublings).min(SLOWEST);
        full.mul_f64(0.75 + self.random.f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_stay_in_their_band_and_stop_growing() {
        let mut backoff = Backoff::seeded(7);
        for failures in 1..40 {
            let full = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(SLOWEST);
            let delay = backoff.delay(failures);
            assert!(
                delay >= full.mul_f64(0.75) && delay <= full.mul_f64(1.25),
                "{failures}: {delay:?}"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let sequence = |seed| {
            let mut b = Backoff::seeded(seed);
            (1..10).map(|n| b.delay(n)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(1), sequence(1));
        assert_ne!(sequence(1), sequence(2));
    }
}
