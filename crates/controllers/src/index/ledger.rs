//! What we wrote and have not seen again yet, for every subject.
//!
//! A plan made from a view that lacks its own latest writes makes them twice. So a subject that has written waits until the watches have shown what it
//! wrote. Pools are the exception: they count what is on its way ([`engine::pool::Pending`]) and go on planning, or a refill of three hundred would
//! stop at each member.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use engine::expect::Expectations;
use engine::pool::Pending;
use engine::{Key, Uid, Version};
use jiff::Timestamp;

use crate::kinds::Kind;
use crate::subject::Subject;

/// What a deferred subject waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// All of its writes are seen.
    AllSeen,
    /// Its writes to objects of this kind are seen.
    Seen(Kind),
}

/// The writes of all subjects of a family.
#[derive(Debug)]
pub struct Ledger {
    /// The kind of the family's sandboxes, which pools make and hand out.
    sandboxes: Kind,
    /// By subject and kind: a sandbox and its pod have one name, and seeing one must not pass for seeing the other.
    open: BTreeMap<(Subject, Kind), Expectations>,
    /// Who waits for an object.
    waiting: BTreeMap<(Kind, Key), BTreeSet<Subject>>,
    /// Sandboxes that are being given to claims, until they are seen under their claim.
    hands: BTreeMap<Uid, Subject>,
    /// Subjects that were looked at while they had unseen writes.
    deferred: BTreeMap<Subject, Until>,
}

impl Ledger {
    /// Nothing was written yet. Pools are counted by their sandboxes, which are of this kind.
    #[must_use]
    pub fn of(sandboxes: Kind) -> Self {
        Ledger {
            sandboxes,
            open: BTreeMap::new(),
            waiting: BTreeMap::new(),
            hands: BTreeMap::new(),
            deferred: BTreeMap::new(),
        }
    }

    fn entry(&mut self, subject: &Subject, kind: Kind, key: &Key) -> &mut Expectations {
        self.waiting.entry((kind, key.clone())).or_default().insert(subject.clone());
        self.open.entry((subject.clone(), kind)).or_default()
    }

    /// A creation is about to be asked for.
    pub fn creating(&mut self, subject: &Subject, kind: Kind, key: &Key, now: Timestamp) {
        self.entry(subject, kind, key).create(key.clone(), now);
    }

    /// A creation was refused: nothing will come.
    pub fn create_refused(&mut self, subject: &Subject, kind: Kind, key: &Key) {
        self.settle(subject, kind, |open| open.create_refused(key));
    }

    /// A deletion was asked for.
    pub fn deleting(
        &mut self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        uid: &Uid,
        now: Timestamp,
    ) {
        self.entry(subject, kind, key).delete(uid.clone(), now);
    }

    /// A deletion was refused, or the object is seen to be leaving.
    pub fn delete_settled(&mut self, subject: &Subject, kind: Kind, uid: &Uid) {
        self.settle(subject, kind, |open| open.delete_settled(uid));
    }

    /// A sandbox of this pool is being given to a claim.
    pub fn handing_out(&mut self, pool: &Subject, sandbox: &Key, uid: &Uid, now: Timestamp) {
        self.hands.insert(uid.clone(), pool.clone());
        self.entry(pool, self.sandboxes, sandbox).hand_out(uid.clone(), now);
    }

    /// The claim has it, by the server's word.
    pub fn handed_out(&mut self, uid: &Uid) {
        if let Some(pool) = self.hands.get(uid).cloned() {
            self.settle(&pool, self.sandboxes, |open| open.hand_out_done(uid));
        }
    }

    /// The hand-out was refused, or the sandbox is seen under another owner.
    pub fn hand_out_settled(&mut self, uid: &Uid) {
        if let Some(pool) = self.hands.remove(uid) {
            self.settle(&pool, self.sandboxes, |open| open.hand_out_settled(uid));
        }
    }

    /// Whether this sandbox is being given to a claim right now.
    pub fn is_handing_out(&self, uid: &Uid) -> bool {
        self.hands.contains_key(uid)
    }

    /// A write made this version. `seen` is the version that the index has; a watch may be faster than the answer.
    pub fn wrote(
        &mut self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        version: Version,
        seen: Option<Version>,
        now: Timestamp,
    ) {
        // A version of zero can't be compared: then nothing can be waited for.
        if version == Version(0) {
            return;
        }
        if seen.is_some_and(|seen| seen >= version) {
            self.settle(subject, kind, |open| open.create_refused(key));
            return;
        }
        self.entry(subject, kind, key).wrote(key.clone(), version, now);
    }

    /// The object was seen. Returns the subjects that were waiting for nothing else and want to be looked at.
    pub fn seen(
        &mut self,
        kind: Kind,
        key: &Key,
        uid: &Uid,
        version: Version,
        leaving: bool,
    ) -> Vec<Subject> {
        let Some(subjects) = self.waiting.get(&(kind, key.clone())).cloned() else {
            return Vec::new();
        };
        for subject in &subjects {
            self.settle(subject, kind, |open| {
                open.seen(key, version);
                if leaving {
                    open.delete_settled(uid);
                }
            });
        }
        self.forget_waiting(kind, key, &subjects);
        self.released(subjects)
    }

    /// The object is gone. Returns the subjects that want to be looked at.
    pub fn gone(&mut self, kind: Kind, key: &Key, uid: &Uid) -> Vec<Subject> {
        self.hands.remove(uid);
        let Some(subjects) = self.waiting.remove(&(kind, key.clone())) else { return Vec::new() };
        for subject in &subjects {
            self.settle(subject, kind, |open| open.gone(key, uid));
        }
        self.released(subjects)
    }

    /// Whether the subject may be planned. If not, it is remembered and returned by the observation that releases it.
    pub fn may_plan(&mut self, subject: &Subject) -> bool {
        if self.is_settled(subject) {
            return true;
        }
        self.deferred.insert(subject.clone(), Until::AllSeen);
        false
    }

    /// Whether nothing of this kind is unseen. If something is, the subject is remembered and returned by the observation that releases it.
    pub fn is_seen(&mut self, subject: &Subject, kind: Kind) -> bool {
        let seen = !self.open.contains_key(&(subject.clone(), kind));
        if !seen {
            self.deferred.insert(subject.clone(), Until::Seen(kind));
        }
        seen
    }

    /// What counts for a pool although it is not seen yet.
    pub fn pending(&self, pool: &Subject) -> Pending {
        self.open
            .get(&(pool.clone(), self.sandboxes))
            .map(Expectations::pending)
            .unwrap_or_default()
    }

    /// Gives up on what a subject has waited for too long. Returns how many.
    pub fn expire(&mut self, subject: &Subject, now: Timestamp) -> usize {
        let mut expired = 0;
        let kinds: Vec<Kind> =
            self.open.range(all_of(subject)).map(|((_, kind), _)| *kind).collect();
        for kind in kinds {
            self.settle(subject, kind, |open| expired += open.expire(now));
        }
        expired
    }

    /// The subject is gone for good.
    pub fn forget(&mut self, subject: &Subject) {
        for kind in Kind::ALL {
            self.open.remove(&(subject.clone(), kind));
        }
        self.deferred.remove(subject);
    }

    /// How many subjects wait for something; a test's way to ask whether all is quiet.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.open.len()
    }

    fn is_settled(&self, subject: &Subject) -> bool {
        self.open.range(all_of(subject)).next().is_none()
    }

    fn settle(&mut self, subject: &Subject, kind: Kind, with: impl FnOnce(&mut Expectations)) {
        let id = (subject.clone(), kind);
        if let Some(open) = self.open.get_mut(&id) {
            with(open);
            if open.settled() {
                self.open.remove(&id);
            }
        }
    }

    /// Drops subjects that have nothing of this kind open any more.
    fn forget_waiting(&mut self, kind: Kind, key: &Key, subjects: &BTreeSet<Subject>) {
        let id = (kind, key.clone());
        if let Some(waiting) = self.waiting.get_mut(&id) {
            for subject in subjects {
                if !self.open.contains_key(&(subject.clone(), kind)) {
                    waiting.remove(subject);
                }
            }
            if waiting.is_empty() {
                self.waiting.remove(&id);
            }
        }
    }

    fn released(&mut self, subjects: BTreeSet<Subject>) -> Vec<Subject> {
        let free = |ledger: &Ledger, subject: &Subject| match ledger.deferred.get(subject) {
            Some(Until::AllSeen) => ledger.is_settled(subject),
            Some(Until::Seen(kind)) => !ledger.open.contains_key(&(subject.clone(), *kind)),
            None => false,
        };
        let released: Vec<Subject> =
            subjects.into_iter().filter(|subject| free(self, subject)).collect();
        for subject in &released {
            self.deferred.remove(subject);
        }
        released
    }
}

/// The entries of a subject, of whatever kind.
fn all_of(subject: &Subject) -> RangeInclusive<(Subject, Kind)> {
    let [first, .., last] = Kind::ALL;
    (subject.clone(), first)..=(subject.clone(), last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn key() -> Key {
        Key::new("ns", "a")
    }

    #[test]
    fn a_subject_waits_until_its_own_write_is_seen_and_is_then_released_once() {
        let mut ledger = Ledger::of(Kind::Sandbox);
        let subject = Subject::Sandbox(key());
        ledger.wrote(&subject, Kind::Sandbox, &key(), Version(10), Some(Version(9)), NOW);
        assert!(!ledger.may_plan(&subject));
        assert!(ledger.seen(Kind::Sandbox, &key(), &Uid::new("u"), Version(9), false).is_empty());
        assert_eq!(
            ledger.seen(Kind::Sandbox, &key(), &Uid::new("u"), Version(10), false),
            vec![subject.clone()]
        );
        assert!(ledger.may_plan(&subject));
        assert!(ledger.seen(Kind::Sandbox, &key(), &Uid::new("u"), Version(11), false).is_empty());
        assert_eq!(ledger.unsettled(), 0);
    }

    #[test]
    fn a_write_that_the_watch_showed_before_its_answer_is_not_waited_for() {
        let mut ledger = Ledger::of(Kind::Sandbox);
        let subject = Subject::Sandbox(key());
        ledger.wrote(&subject, Kind::Sandbox, &key(), Version(10), Some(Version(10)), NOW);
        assert!(ledger.may_plan(&subject));
    }

    #[test]
    fn seeing_the_sandbox_is_not_seeing_its_pod_of_the_same_name() {
        let mut ledger = Ledger::of(Kind::Sandbox);
        let subject = Subject::Sandbox(key());
        ledger.creating(&subject, Kind::Pod, &key(), NOW);
        ledger.seen(Kind::Sandbox, &key(), &Uid::new("u"), Version(1), false);
        assert!(!ledger.may_plan(&subject));
        assert_eq!(ledger.seen(Kind::Pod, &key(), &Uid::new("p"), Version(2), false), [subject]);
    }

    #[test]
    fn a_pool_counts_what_is_on_its_way_and_forgets_what_was_refused() {
        let mut ledger = Ledger::of(Kind::Sandbox);
        let pool = Subject::Pool(Key::new("ns", "pool"));
        let uid = Uid::new("u");
        ledger.creating(&pool, Kind::Sandbox, &key(), NOW);
        ledger.deleting(&pool, Kind::Sandbox, &Key::new("ns", "b"), &uid, NOW);
        assert_eq!(ledger.pending(&pool).creating.len(), 1);
        assert_eq!(ledger.pending(&pool).deleting.len(), 1);
        ledger.create_refused(&pool, Kind::Sandbox, &key());
        ledger.seen(Kind::Sandbox, &Key::new("ns", "b"), &uid, Version(3), true);
        assert_eq!(ledger.pending(&pool), Pending::default());
        assert_eq!(ledger.unsettled(), 0);
    }

    #[test]
    fn what_never_comes_back_is_given_up_after_a_while() {
        let mut ledger = Ledger::of(Kind::Sandbox);
        let subject = Subject::Pool(key());
        ledger.creating(&subject, Kind::Sandbox, &key(), NOW);
        assert_eq!(ledger.expire(&subject, NOW), 0);
        assert_eq!(ledger.expire(&subject, NOW + engine::expect::GIVE_UP), 1);
        assert!(ledger.may_plan(&subject));
    }

    #[test]
    fn a_pool_counts_the_sandboxes_of_its_own_family() {
        for kind in [Kind::Sandbox, Kind::KruiseSandbox] {
            let mut ledger = Ledger::of(kind);
            let pool = Subject::Pool(Key::new("ns", "pool"));
            let uid = Uid::new("u");
            ledger.creating(&pool, kind, &key(), NOW);
            ledger.handing_out(&pool, &Key::new("ns", "b"), &uid, NOW);
            assert_eq!(ledger.pending(&pool).creating.len(), 1, "{kind}");
            assert_eq!(ledger.pending(&pool).handing_out.len(), 1, "{kind}");
            ledger.handed_out(&uid);
            assert_eq!(ledger.pending(&pool).handed_out.len(), 1, "{kind}");
            ledger.hand_out_settled(&uid);
            ledger.seen(kind, &key(), &Uid::new("v"), Version(1), false);
            assert_eq!(ledger.unsettled(), 0, "{kind}");
        }
    }
}
