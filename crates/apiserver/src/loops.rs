//! What the server's own loops over the store have in common: they end with the server, begin again when they fell behind, and
//! try again what failed, each time after a longer pause.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::server::Api;

/// Why a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The store has closed: there is nothing more to do.
    StoreClosed,
    /// More happened than the store remembers: everything has to be looked at again.
    FellBehind,
}

/// Runs `turn` until the server stops, anew each time that it falls behind.
pub(crate) async fn run(api: Api, what: &str, turn: impl AsyncFn(&Api) -> Ended) {
    let running = async {
        while turn(&api).await == Ended::FellBehind {
            tracing::warn!("{what} fell behind and looks at everything again");
        }
    };
    tokio::select! {
        biased;
        () = api.stopping.cancelled() => {}
        () = running => {}
    }
}

/// The first pause: what failed for want of space or under a shutdown is often possible a moment later.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause: what fails for good costs next to nothing, and still comes true within a minute of becoming possible.
const LONGEST: Duration = Duration::from_secs(64);

/// What failed, and when each is to be tried again.
#[derive(Debug)]
pub(crate) struct Retries<K> {
    failed: BTreeMap<K, Failed>,
}

#[derive(Debug)]
struct Failed {
    pause: Duration,
    /// None while it is being tried.
    due: Option<Instant>,
}

impl<K: Ord + Clone> Retries<K> {
    pub(crate) fn new() -> Self {
        Self { failed: BTreeMap::new() }
    }

    /// It failed, for the first time or again.
    pub(crate) fn failed(&mut self, key: K, now: Instant) {
        let known = self.failed.get(&key);
        let pause = known.map_or(FIRST, |known| (known.pause * 2).min(LONGEST));
        self.failed.insert(key, Failed { pause, due: Some(now + pause) });
    }

    /// It worked.
    pub(crate) fn worked(&mut self, key: &K) {
        self.failed.remove(key);
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.failed.values().filter_map(|failed| failed.due).min()
    }

    /// What is due; the caller tries it and says what came of it.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<K> {
        let mut due = Vec::new();
        for (key, failed) in &mut self.failed {
            if failed.due.is_some_and(|at| at <= now) {
                failed.due = None;
                due.push(key.clone());
            }
        }
        due
    }

    /// Waits until something is due; for ever if nothing has failed.
    pub(crate) async fn wait(&self) {
        match self.next() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_waited_for_twice_as_long_up_to_a_bound() {
        let mut now = Instant::now();
        let mut retries = Retries::new();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            retries.failed("a", now);
            let next = retries.next().unwrap();
            assert!(retries.due(next - Duration::from_millis(1)).is_empty());
            pauses.push((next - now).as_secs());
            now = next;
            assert_eq!(retries.due(now), ["a"]);
            assert_eq!(retries.next(), None, "it is being tried");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        retries.worked(&"a");
        retries.failed("a", now);
        assert_eq!(retries.next(), Some(now + FIRST));
    }
}
