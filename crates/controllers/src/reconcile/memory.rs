//! What a reconcile remembers between two looks. All of it may be lost: a restart costs a look at the API, never a wrong decision.

use std::collections::{BTreeMap, BTreeSet};

use engine::backoff::Backoff;
use engine::claim::Candidate;
use engine::sandbox::Setback;
use engine::{Key, Uid};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::Instant;

use crate::kinds::Kind;
use crate::subject::Subject;

/// The letters of generated names, without vowels and look-alikes, so that no name spells a word.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How many letters follow a pool's name. 27^7 is ten billion: two of a pool's sandboxes never meet, and if they do the create is refused.
const SUFFIX: usize = 7;

/// The longest name that still is a DNS label, which a sandbox's name has to be for its Service.
const LONGEST_NAME: usize = 63;

/// A write that gives a sandbox to a claim, and whose answer was lost.
#[derive(Clone, Debug)]
pub(super) struct LostBind {
    /// The life of the claim it was for.
    pub claim: Uid,
    pub candidate: Candidate,
    pub pool: Key,
    pub patch: Value,
}

/// A write for a sandbox that was found invalid. It is not made again as long as the sandbox asks for the same.
#[derive(Clone, Debug)]
pub(super) struct InvalidWrite {
    pub life: Uid,
    pub generation: i64,
    pub verb: &'static str,
    pub kind: Kind,
    pub key: Key,
    pub message: String,
    /// When it is made again all the same.
    pub until: Instant,
}

/// What is remembered of a pool.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolNotes {
    /// The engine's count of failing sandboxes.
    pub backoff: Backoff,
    /// Refused or failed writes in a row, and until when no new ones are made.
    pub refused: u32,
    pub hold_until: Option<Instant>,
    /// Before this it is not planned again.
    pub planned: Option<Instant>,
    /// When the status was last written.
    pub reported: Option<Instant>,
    /// Whether it was last said not to progress.
    pub stalled: bool,
}

pub(super) struct Memory {
    lost_creates: Mutex<BTreeMap<Subject, BTreeSet<(Kind, Key)>>>,
    lost_binds: Mutex<BTreeMap<Key, LostBind>>,
    pools: Mutex<BTreeMap<Key, PoolNotes>>,
    /// What went wrong with the writes for a sandbox, for its status.
    errors: Mutex<BTreeMap<Key, Setback>>,
    invalid: Mutex<BTreeMap<Key, InvalidWrite>>,
    random: Mutex<fastrand::Rng>,
}

impl Memory {
    pub(super) fn seeded(seed: u64) -> Self {
        Memory {
            lost_creates: Mutex::default(),
            lost_binds: Mutex::default(),
            pools: Mutex::default(),
            errors: Mutex::default(),
            invalid: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    pub(super) fn create_lost(&self, subject: &Subject, kind: Kind, key: &Key) {
        self.lost_creates.lock().entry(subject.clone()).or_default().insert((kind, key.clone()));
    }

    pub(super) fn lost_creates(&self, subject: &Subject) -> Vec<(Kind, Key)> {
        self.lost_creates.lock().get(subject).into_iter().flatten().cloned().collect()
    }

    pub(super) fn create_settled(&self, subject: &Subject, kind: Kind, key: &Key) {
        let mut lost = self.lost_creates.lock();
        if let Some(set) = lost.get_mut(subject) {
            set.remove(&(kind, key.clone()));
            if set.is_empty() {
                lost.remove(subject);
            }
        }
    }

    pub(super) fn bind_lost(&self, claim: &Key, bind: LostBind) {
        self.lost_binds.lock().insert(claim.clone(), bind);
    }

    pub(super) fn lost_bind(&self, claim: &Key) -> Option<LostBind> {
        self.lost_binds.lock().get(claim).cloned()
    }

    pub(super) fn bind_settled(&self, claim: &Key) {
        self.lost_binds.lock().remove(claim);
    }

    pub(super) fn pool(&self, key: &Key) -> PoolNotes {
        self.pools.lock().get(key).cloned().unwrap_or_default()
    }

    pub(super) fn note_pool(&self, key: &Key, note: impl FnOnce(&mut PoolNotes)) {
        note(self.pools.lock().entry(key.clone()).or_default());
    }

    pub(super) fn forget_pool(&self, key: &Key) {
        self.pools.lock().remove(key);
    }

    pub(super) fn error(&self, sandbox: &Key) -> Option<Setback> {
        self.errors.lock().get(sandbox).cloned()
    }

    pub(super) fn note_error(&self, sandbox: &Key, error: Option<Setback>) {
        if !matches!(error, Some(Setback::Invalid(_))) {
            self.invalid.lock().remove(sandbox);
        }
        match error {
            Some(error) => self.errors.lock().insert(sandbox.clone(), error),
            None => self.errors.lock().remove(sandbox),
        };
    }

    pub(super) fn invalid(&self, sandbox: &Key) -> Option<InvalidWrite> {
        self.invalid.lock().get(sandbox).cloned()
    }

    pub(super) fn note_invalid(&self, sandbox: &Key, write: InvalidWrite) {
        self.invalid.lock().insert(sandbox.clone(), write);
    }

    /// A name for a new sandbox of a pool.
    pub(super) fn name_for(&self, pool: &Key) -> Key {
        let mut random = self.random.lock();
        let suffix: String =
            (0..SUFFIX).map(|_| char::from(LETTERS[random.usize(..LETTERS.len())])).collect();
        let mut stem: &str = &pool.name;
        while stem.len() + 1 + SUFFIX > LONGEST_NAME {
            let mut shorter = stem.chars();
            shorter.next_back();
            stem = shorter.as_str();
        }
        pool.sibling(format!("{}-{suffix}", stem.trim_end_matches(['-', '.'])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_repeatable_distinct_and_never_too_long() {
        let long = Key::new("ns", "a".repeat(80));
        let make = |seed| {
            let memory = Memory::seeded(seed);
            (0..1000).map(|_| memory.name_for(&long)).collect::<BTreeSet<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_eq!(make(1).len(), 1000);
        assert!(make(1).iter().all(|key| key.name.len() == LONGEST_NAME));
        assert!(Memory::seeded(1).name_for(&Key::new("ns", "pool")).name.starts_with("pool-"));
    }
}
