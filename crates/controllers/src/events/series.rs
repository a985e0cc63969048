//! Notes about the same object and reason, as one event with a count.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{Key, Uid};
use jiff::Timestamp;
use tokio::time::Instant;

use super::Note;

/// Series that are remembered. Forgetting one only means that its next note begins a new event.
const REMEMBERED: usize = 1024;

/// A repeated note updates its event at most this often: often enough for somebody who watches, rare enough that a failing object costs six writes a minute.
const UPDATE_EVERY: Duration = Duration::from_secs(10);

/// What to write about a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make the event.
    Post(Entry),
    /// Raise the count of an event that was made.
    Update(Entry),
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: Key,
    pub note: Note,
    pub count: u32,
    pub first: Timestamp,
    pub last: Timestamp,
    written: Instant,
    dirty: bool,
}

#[derive(Debug)]
pub(super) struct Series {
    entries: BTreeMap<(Uid, &'static str), Entry>,
    random: fastrand::Rng,
}

impl Series {
    pub(super) fn seeded(seed: u64) -> Self {
        Series { entries: BTreeMap::new(), random: fastrand::Rng::with_seed(seed) }
    }

    /// Takes a note. Returns what to write now, if anything.
    pub(super) fn take(&mut self, note: Note, wall: Timestamp, now: Instant) -> Option<Step> {
        let id = (note.uid.clone(), note.reason);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.count = entry.count.saturating_add(1);
            entry.last = wall;
            entry.note = note;
            entry.dirty = true;
            return entry.due(now).then(|| entry.flush(now));
        }
        if self.entries.len() >= REMEMBERED {
            let oldest = self
                .entries
                .iter()
                .min_by_key(|(id, e)| (e.written, (*id).clone()))
                .map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        let name = note.key.sibling(format!("{}.{:016x}", note.key.name, self.random.u64(..)));
        let entry =
            Entry { name, note, count: 1, first: wall, last: wall, written: now, dirty: false };
        self.entries.insert(id, entry.clone());
        Some(Step::Post(entry))
    }

    /// Updates that are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Step> {
        self.entries.values_mut().filter(|e| e.dirty && e.due(now)).map(|e| e.flush(now)).collect()
    }

    /// When [`Series::due`] will have something.
    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.values().filter(|e| e.dirty).map(|e| e.written + UPDATE_EVERY).min()
    }
}

impl Entry {
    fn due(&self, now: Instant) -> bool {
        now >= self.written + UPDATE_EVERY
    }

    fn flush(&mut self, now: Instant) -> Step {
        self.written = now;
        self.dirty = false;
        Step::Update(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Severity;
    use crate::kinds::Kind;

    fn note(name: &str) -> Note {
        Note {
            kind: Kind::Pool,
            key: Key::new("ns", name),
            uid: Uid::new(name),
            severity: Severity::Warning,
            reason: "WarmPoolNotProgressing",
            message: "no room".into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_become_a_count_that_is_written_at_most_every_ten_seconds() {
        let mut series = Series::seeded(1);
        let wall = Timestamp::UNIX_EPOCH;
        assert!(
            matches!(series.take(note("p"), wall, Instant::now()), Some(Step::Post(e)) if e.count == 1)
        );
        assert_eq!(series.next(), None);
        for _ in 0..50 {
            assert_eq!(series.take(note("p"), wall, Instant::now()), None);
        }
        let due = series.next().unwrap();
        assert_eq!(due, Instant::now() + UPDATE_EVERY);
        tokio::time::advance(UPDATE_EVERY).await;
        let steps = series.due(Instant::now());
        assert!(matches!(&steps[..], [Step::Update(e)] if e.count == 51), "{steps:?}");
        assert!(series.due(Instant::now()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_oldest_series_is_forgotten() {
        let mut series = Series::seeded(1);
        for n in 0..REMEMBERED + 10 {
            series.take(note(&format!("p{n}")), Timestamp::UNIX_EPOCH, Instant::now());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(series.entries.len(), REMEMBERED);
        assert!(matches!(
            series.take(note("p0"), Timestamp::UNIX_EPOCH, Instant::now()),
            Some(Step::Post(_))
        ));
    }
}
