//! Time and chance, the two things a test must hold in its hand.
//!
//! Nothing else in the crate reads a clock or draws a random number. With [`Clock::paused`] and [`Ids::seeded`] a run of
//! the whole server is a function of its inputs, which is what makes a simulator's seed worth printing.

use jiff::Timestamp;
use parking_lot::Mutex;

/// Where the server reads the time of day.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// `start` plus what has passed on tokio's clock since `origin`; stands still while tokio's time is paused.
    Tokio {
        /// The time of day at `origin`.
        start: Timestamp,
        /// The moment on tokio's clock that `start` names.
        origin: tokio::time::Instant,
    },
}

impl Clock {
    /// A clock that follows tokio's (usually paused) time from `start`. Needs a tokio runtime.
    pub fn tokio(start: Timestamp) -> Self {
        Self::Tokio { start, origin: tokio::time::Instant::now() }
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Tokio { start, origin } => {
                start.checked_add(origin.elapsed()).unwrap_or(Timestamp::MAX)
            }
        }
    }
}

/// `metav1.Time`: whole seconds, UTC, with `Z`.
pub fn rfc3339_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: exactly six fractional digits. Clients refuse any other number of them.
pub fn rfc3339_micros(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Letters of generated names: no vowels and no look-alikes, so that chance spells no words.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Length of a generated suffix. 27^5 is 14 million: collisions are rare and retried.
const SUFFIX_LENGTH: usize = 5;

/// Where uids and generated names come from.
#[derive(Debug)]
pub struct Ids {
    source: Mutex<fastrand::Rng>,
    origin: Origin,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    System,
    Seed,
}

impl Ids {
    /// Uids from the operating system's randomness.
    pub fn random() -> Self {
        Self { source: Mutex::new(fastrand::Rng::new()), origin: Origin::System }
    }

    /// The same sequence for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self { source: Mutex::new(fastrand::Rng::with_seed(seed)), origin: Origin::Seed }
    }

    /// A new version 4 UUID.
    pub fn uid(&self) -> String {
        let uuid = match self.origin {
            Origin::System => uuid::Uuid::new_v4(),
            Origin::Seed => {
                let bits = self.source.lock().u128(..);
                uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
            }
        };
        uuid.hyphenated().to_string()
    }

    /// The five letters that make a `generateName` unique.
    pub fn suffix(&self) -> String {
        let mut source = self.source.lock();
        (0..SUFFIX_LENGTH)
            .map(|_| char::from(SUFFIX_LETTERS[source.usize(..SUFFIX_LETTERS.len())]))
            .collect()
    }

    /// A number below `bound`, for jitter.
    pub fn below(&self, bound: u64) -> u64 {
        self.source.lock().u64(..bound.max(1))
    }
}
