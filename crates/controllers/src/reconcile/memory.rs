//! What a reconcile remembers between two looks. All of it may be lost: a restart costs a look at the API, never a wrong decision.

use std::collections::BTreeMap;

use engine::Key;
use engine::backoff::Backoff;
use engine::sandbox::Setback;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::bind::Attempt;
use super::pool::Reports;
use super::setback::InvalidWrite;
use crate::act::WRITE_TIMEOUT;
use crate::family::Family;
use crate::kinds::Kind;
use crate::subject::Subject;

/// The letters of generated names, without vowels and look-alikes, so that no name spells a word.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How many letters follow a pool's name. 27^7 is ten billion: two of a pool's sandboxes never meet, and if they do the create is refused.
const SUFFIX: usize = 7;

/// The longest name that still is a DNS label, which a sandbox's name has to be for its Service.
const LONGEST_NAME: usize = 63;

/// Where the name of an object comes from, which decides what a create that arrives late can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// From its owner: the next attempt has the same name, so only one of the two can succeed.
    Given,
    /// We made it up: the next attempt has another name, and both succeed.
    Invented,
}

/// A create whose answer was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostCreate {
    pub name: Name,
    /// When it was looked for and not found.
    pub missed: Option<Instant>,
}

impl LostCreate {
    /// When to look for it. A request can outlive the patience of whoever made it, but hardly by more than that patience again.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.missed.map(|at| at + WRITE_TIMEOUT)
    }

    /// Whether not to find it now means that it will never come.
    pub(super) fn is_decided(&self) -> bool {
        self.name == Name::Given || self.missed.is_some()
    }
}

/// The lost creates of one subject.
type LostCreates = BTreeMap<(Kind, Key), LostCreate>;

/// What is remembered of a pool.
#[derive(Clone, Debug, Default)]
pub(super) struct PoolNotes {
    /// The engine's count of failing sandboxes.
    pub backoff: Backoff,
    /// Refused or failed writes in a row, and until when no new ones are made.
    pub refused: u32,
    /// What was said of the last refused create, while none has succeeded since.
    pub refusal: Option<String>,
    pub hold_until: Option<Instant>,
    /// Before this it is not planned again.
    pub planned: Option<Instant>,
    /// When the status was written.
    pub reports: Reports,
    /// Whether it was last said not to progress.
    pub stalled: bool,
}

pub(crate) struct Memory<F: Family> {
    lost_creates: Mutex<BTreeMap<Subject, LostCreates>>,
    lost_binds: Mutex<BTreeMap<Key, Vec<Attempt>>>,
    pools: Mutex<BTreeMap<Key, PoolNotes>>,
    /// What went wrong with the writes for a sandbox, for its status.
    errors: Mutex<BTreeMap<Key, Setback>>,
    invalid: Mutex<BTreeMap<Key, InvalidWrite>>,
    random: Mutex<fastrand::Rng>,
    /// What only this family remembers.
    pub(crate) own: F::Notes,
}

impl<F: Family> Memory<F> {
    pub(super) fn seeded(seed: u64) -> Self {
        Memory {
            lost_creates: Mutex::default(),
            lost_binds: Mutex::default(),
            pools: Mutex::default(),
            errors: Mutex::default(),
            invalid: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            own: F::Notes::default(),
        }
    }

    /// The answer to a create was lost. Its expectation stays until [`super::Reconciler::settle_lost_creates`] knows.
    pub(crate) fn create_lost(&self, subject: &Subject, kind: Kind, key: &Key, name: Name) {
        let lost = LostCreate { name, missed: None };
        let mut creates = self.lost_creates.lock();
        creates.entry(subject.clone()).or_default().insert((kind, key.clone()), lost);
    }

    pub(super) fn lost_creates(&self, subject: &Subject) -> Vec<(Kind, Key, LostCreate)> {
        let creates = self.lost_creates.lock();
        let lost = creates.get(subject).into_iter().flatten();
        lost.map(|((kind, key), lost)| (*kind, key.clone(), *lost)).collect()
    }

    pub(super) fn create_missed(&self, subject: &Subject, kind: Kind, key: &Key) {
        if let Some(lost) = self
            .lost_creates
            .lock()
            .get_mut(subject)
            .and_then(|lost| lost.get_mut(&(kind, key.clone())))
        {
            lost.missed = Some(Instant::now());
        }
    }

    pub(super) fn create_settled(&self, subject: &Subject, kind: Kind, key: &Key) {
        let mut creates = self.lost_creates.lock();
        if let Some(lost) = creates.get_mut(subject) {
            lost.remove(&(kind, key.clone()));
            if lost.is_empty() {
                creates.remove(subject);
            }
        }
    }

    pub(super) fn bind_lost(&self, attempt: Attempt) {
        self.lost_binds.lock().entry(attempt.claim.clone()).or_default().push(attempt);
    }

    pub(super) fn lost_binds(&self, claim: &Key) -> Vec<Attempt> {
        self.lost_binds.lock().get(claim).cloned().unwrap_or_default()
    }

    pub(super) fn bind_settled(&self, attempt: &Attempt) {
        let mut binds = self.lost_binds.lock();
        if let Some(lost) = binds.get_mut(&attempt.claim) {
            lost.retain(|other| other.candidate != attempt.candidate);
            if lost.is_empty() {
                binds.remove(&attempt.claim);
            }
        }
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

    pub(crate) fn error(&self, sandbox: &Key) -> Option<Setback> {
        self.errors.lock().get(sandbox).cloned()
    }

    pub(crate) fn note_error(&self, sandbox: &Key, error: Option<Setback>) {
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
    pub(crate) fn name_for(&self, pool: &Key) -> Key {
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::x_k8s::XK8s;

    #[test]
    fn names_are_repeatable_distinct_and_never_too_long() {
        let long = Key::new("ns", "a".repeat(80));
        let make = |seed| {
            let memory = Memory::<XK8s>::seeded(seed);
            (0..1000).map(|_| memory.name_for(&long)).collect::<BTreeSet<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_eq!(make(1).len(), 1000);
        assert!(make(1).iter().all(|key| key.name.len() == LONGEST_NAME));
        assert!(
            Memory::<XK8s>::seeded(1).name_for(&Key::new("ns", "pool")).name.starts_with("pool-")
        );
    }
}
