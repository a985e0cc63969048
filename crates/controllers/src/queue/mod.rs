//! Which object is looked at next.
//!
//! A queue holds keys, never work: however often an object changes while it waits, it is looked at once. A key that is being worked on is never handed
//! to a second worker; if it changes meanwhile it is queued again when the first is done. Two priorities keep people who wait for a claim ahead of pools
//! that refill, with a small share for the latter so that a steady stream of claims can't starve the refill it lives on.
//!
//! Nothing polls: a key comes back by an index change, by the `wake_at` of its last plan, or by its own backoff after a failure.

mod backoff;
mod lanes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use backoff::Backoff;
use lanes::Lanes;

/// A key that failed this often is looked at again at once when its object changes, because a change is what cures a conflict. After more failures in a
/// row only the backoff brings it back: an object that changes constantly must not turn its failures into a hot loop.
const EAGER_FAILURES: u32 = 3;

/// Who is served first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for this: claims and claimed sandboxes.
    Urgent,
    /// Nobody waits for this yet: pools, warm sandboxes, templates.
    Background,
}

/// Which keys a worker accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Every key, urgent ones first.
    Any,
    /// Urgent keys only. A few workers of this kind mean that a slow refill never holds every worker while a claim waits.
    UrgentOnly,
}

/// What became of a key that was worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Done; look again at the given time, if any.
    Done(Option<Instant>),
    /// Failed: look again after this key's own backoff.
    Failed,
}

/// A key handed to a worker, which must give it back with [`Queue::finish`].
#[derive(Debug)]
pub struct Taken<K> {
    /// What to look at.
    pub key: K,
    /// How long the key waited since it became due.
    pub waited: Duration,
}

/// The queue. Shared by the index, which fills it, and the workers, which empty it.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    any: Notify,
    urgent: Notify,
}

#[derive(Debug)]
struct State<K> {
    lanes: Lanes<K>,
    entries: BTreeMap<K, Entry>,
    timers: BTreeSet<(Instant, K)>,
    backoff: Backoff,
}

#[derive(Debug, Default)]
struct Entry {
    place: Place,
    failures: u32,
    timer: Option<(Instant, Priority)>,
    /// The lane this key was last seen in, so that a retry does not change it.
    last: Option<Priority>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Place {
    #[default]
    Nowhere,
    Waiting(Priority),
    /// A worker has it; `again` is set when it changed meanwhile.
    Working {
        again: Option<Priority>,
    },
}

impl<K: Ord + Clone> Queue<K> {
    /// An empty queue whose retries are spread by `backoff`.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Queue {
            state: Mutex::new(State {
                lanes: Lanes::default(),
                entries: BTreeMap::new(),
                timers: BTreeSet::new(),
                backoff,
            }),
            any: Notify::new(),
            urgent: Notify::new(),
        }
    }

    /// Asks for `key` to be looked at. Coalesces with a request that is still waiting, and raises its priority if this one's is higher.
    pub fn enqueue(&self, key: K, priority: Priority) {
        let due = self.state.lock().enqueue(key, priority, Instant::now());
        if due {
            self.wake(priority);
        }
    }

    /// Waits for the next key.
    pub async fn take(&self, lane: Lane) -> Taken<K> {
        let bell = match lane {
            Lane::Any => &self.any,
            Lane::UrgentOnly => &self.urgent,
        };
        loop {
            let next_timer = {
                let mut state = self.state.lock();
                let now = Instant::now();
                for priority in state.move_due(now) {
                    self.wake(priority);
                }
                if let Some(taken) = state.pop(lane, now) {
                    // One bell may stand for several keys: pass it on.
                    if let Some(priority) = state.lanes.first() {
                        self.wake(priority);
                    }
                    return taken;
                }
                state.timers.first().map(|(at, _)| *at)
            };
            match next_timer {
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = bell.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => bell.notified().await,
            }
        }
    }

    /// Gives a key back after work.
    pub fn finish(&self, key: &K, finish: Finish) {
        let due = self.state.lock().finish(key, finish, Instant::now());
        match due {
            Some(priority) => self.wake(priority),
            // A timer that was armed may be earlier than the one the sleepers wait for.
            None => self.any.notify_one(),
        }
    }

    /// How many keys are waiting for a worker.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.state.lock().lanes.len()
    }

    /// True if nothing waits, nothing is worked on, and no timer is due before `horizon`. A test's way to ask "is it quiet?".
    #[must_use]
    pub fn is_quiet(&self, horizon: Instant) -> bool {
        let state = self.state.lock();
        state.lanes.len() == 0
            && !state.entries.values().any(|e| matches!(e.place, Place::Working { .. }))
            && state.timers.first().is_none_or(|(at, _)| *at > horizon)
    }

    fn wake(&self, priority: Priority) {
        if priority == Priority::Urgent {
            self.urgent.notify_one();
        }
        self.any.notify_one();
    }
}

impl<K: Ord + Clone> State<K> {
    /// Returns true if the key became due now, so that a worker should be woken.
    fn enqueue(&mut self, key: K, priority: Priority, now: Instant) -> bool {
        let entry = self.entries.entry(key.clone()).or_default();
        match entry.place {
            Place::Nowhere if entry.failures > EAGER_FAILURES && entry.timer.is_some() => false,
            Place::Nowhere => {
                entry.place = Place::Waiting(priority);
                self.lanes.push(priority, key, now);
                true
            }
            Place::Waiting(before) if priority < before => {
                entry.place = Place::Waiting(priority);
                self.lanes.promote(key, before, priority, now);
                true
            }
            Place::Waiting(_) => false,
            Place::Working { again } => {
                let again = Some(again.map_or(priority, |before| before.min(priority)));
                entry.place = Place::Working { again };
                false
            }
        }
    }

    fn move_due(&mut self, now: Instant) -> Vec<Priority> {
        let mut woken = Vec::new();
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.timers.pop_first() else { break };
            let priority = self
                .entries
                .get_mut(&key)
                .and_then(|e| e.timer.take())
                .map_or(Priority::Background, |(_, priority)| priority);
            if self.enqueue(key, priority, now) {
                woken.push(priority);
            }
        }
        woken
    }

    fn pop(&mut self, lane: Lane, now: Instant) -> Option<Taken<K>> {
        let (priority, key, since) = self.lanes.pop(lane)?;
        let entry = self.entries.entry(key.clone()).or_default();
        entry.place = Place::Working { again: None };
        entry.last = Some(priority);
        Some(Taken { key, waited: now.saturating_duration_since(since) })
    }

    fn finish(&mut self, key: &K, finish: Finish, now: Instant) -> Option<Priority> {
        let entry = self.entries.get_mut(key)?;
        let again = match entry.place {
            Place::Working { again } => again,
            Place::Nowhere | Place::Waiting(_) => None,
        };
        let lane = entry.last.unwrap_or(Priority::Background);
        if let Some((at, _)) = entry.timer.take() {
            self.timers.remove(&(at, key.clone()));
        }
        entry.place = Place::Nowhere;
        let at = match finish {
            Finish::Done(at) => {
                entry.failures = 0;
                at
            }
            Finish::Failed => {
                entry.failures = entry.failures.saturating_add(1);
                Some(now + self.backoff.delay(entry.failures))
            }
        };
        if let Some(at) = at {
            entry.timer = Some((at, lane));
            self.timers.insert((at, key.clone()));
        }
        let due = if entry.failures > EAGER_FAILURES { None } else { again };
        match due {
            Some(priority) => {
                self.enqueue(key.clone(), priority, now);
                Some(priority)
            }
            None if at.is_none() => {
                self.entries.remove(key);
                None
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests;
