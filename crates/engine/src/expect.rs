//! Expectations: what was written and has not come back through the watch yet.
//!
//! A plan made from a view that lacks its own latest writes makes them twice. So each owner keeps an [`Expectations`]; its [`Pending`] goes into the pool's view,
//! where it counts, and [`Expectations::settled`] says whether an owner that does not count can be planned at all.

use crate::ids::{Key, Uid, Version};
use crate::pool::Pending;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// After this long an expectation is given up. It is a net for a watch event that never comes (an object made and removed between two lists): shorter, and a
/// slow server makes us write twice; longer, and one lost event idles a pool.
pub const GIVE_UP: SignedDuration = SignedDuration::from_mins(5);

/// What one owner wrote and has not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectations {
    creating: BTreeMap<Key, Timestamp>,
    deleting: BTreeMap<Uid, Timestamp>,
    handing_out: BTreeMap<Uid, Timestamp>,
    handed_out: BTreeMap<Uid, Timestamp>,
    writing: BTreeMap<Key, (Version, Timestamp)>,
}

impl Expectations {
    /// A creation is about to be asked for. Call [`Expectations::seen`] at once if it is refused.
    pub fn create(&mut self, key: Key, now: Timestamp) {
        self.creating.insert(key, now);
    }

    /// A deletion was asked for.
    pub fn delete(&mut self, uid: Uid, now: Timestamp) {
        self.deleting.insert(uid, now);
    }

    /// A sandbox is about to be given to a claim.
    pub fn hand_out(&mut self, uid: Uid, now: Timestamp) {
        self.handing_out.insert(uid, now);
    }

    /// The claim has it. Nothing to note if it was already seen under the claim.
    pub fn hand_out_done(&mut self, uid: &Uid) {
        if let Some((uid, since)) = self.handing_out.remove_entry(uid) {
            self.handed_out.insert(uid, since);
        }
    }

    /// A write returned this version; nothing older tells the truth about the object.
    pub fn wrote(&mut self, key: Key, version: Version, now: Timestamp) {
        let entry = self.writing.entry(key).or_insert((version, now));
        if entry.0 < version {
            *entry = (version, now);
        }
    }

    /// The object was seen at this version.
    pub fn seen(&mut self, key: &Key, version: Version) {
        self.creating.remove(key);
        if self.writing.get(key).is_some_and(|(expected, _)| *expected <= version) {
            self.writing.remove(key);
        }
    }

    /// The object is seen to be leaving, or the deletion was refused: it need not be counted as leaving on our word any more.
    pub fn delete_settled(&mut self, uid: &Uid) {
        self.deleting.remove(uid);
    }

    /// The object is seen under another owner, or the hand-out was refused.
    pub fn hand_out_settled(&mut self, uid: &Uid) {
        self.handing_out.remove(uid);
        self.handed_out.remove(uid);
    }

    /// The creation was refused, so nothing will come.
    pub fn create_refused(&mut self, key: &Key) {
        self.creating.remove(key);
    }

    /// The object is gone.
    pub fn gone(&mut self, key: &Key, uid: &Uid) {
        self.creating.remove(key);
        self.writing.remove(key);
        self.deleting.remove(uid);
        self.hand_out_settled(uid);
    }

    /// Gives up on what never came back. Returns how many, which is worth a metric: it should be zero.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let before = self.len();
        let keep = |since: &Timestamp| now.duration_since(*since) < GIVE_UP;
        self.creating.retain(|_, since| keep(since));
        self.deleting.retain(|_, since| keep(since));
        self.handing_out.retain(|_, since| keep(since));
        self.handed_out.retain(|_, since| keep(since));
        self.writing.retain(|_, (_, since)| keep(since));
        before - self.len()
    }

    /// Whether everything written was seen.
    pub fn settled(&self) -> bool {
        self.len() == 0
    }

    /// For the view of a pool.
    pub fn pending(&self) -> Pending {
        Pending {
            creating: self.creating.keys().cloned().collect(),
            deleting: self.deleting.keys().cloned().collect(),
            handing_out: self.handing_out.keys().cloned().collect(),
            handed_out: self.handed_out.keys().cloned().collect(),
        }
    }

    fn len(&self) -> usize {
        self.creating.len()
            + self.deleting.len()
            + self.handing_out.len()
            + self.handed_out.len()
            + self.writing.len()
    }
}
