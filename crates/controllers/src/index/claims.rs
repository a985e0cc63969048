//! What every family's claims have in common: their lives, their ages and the lines they stand in.

use std::collections::BTreeSet;

use engine::Key;
use jiff::{SignedDuration, Timestamp};

use super::World;
use super::table::{Change, Object};
use crate::family::Family;
use crate::subject::Subject;

/// A claim first seen this soon after its creation was created while we watched.
const FRESH: SignedDuration = SignedDuration::from_secs(2);

impl<F: Family> World<F> {
    /// Follows a change of a claim: what belonged to a life that ended goes, and a new one gets its age.
    pub fn follow_claim(&mut self, key: &Key, change: &Change<F::Claim>) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        if let Some(old) = old
            && new.is_none_or(|new| new.meta().uid != old.meta().uid)
        {
            self.claim_of_uid.remove(&old.meta().uid());
            self.leave_lines(key);
            self.claim_seen.remove(key);
            self.ledger.forget(&Subject::Claim(key.clone()));
        }
        let Some(new) = new else { return };
        self.claim_of_uid.insert(new.meta().uid(), key.clone());
        if !self.claim_seen.contains_key(key) {
            let (now, created) = (self.clock.now(), new.meta().created());
            // Creation times have whole seconds. A claim that was just created is placed by when we saw it, an older one, after a restart, by its creation.
            let fresh = now.duration_since(created).abs() <= FRESH;
            self.claim_seen.insert(key.clone(), if fresh { now } else { created });
        }
    }

    /// Puts a claim into the lines of these pools and takes it out of all others. What it stood in already keeps its place, which is its age.
    pub fn stand_in_lines(&mut self, claim: &Key, created: Timestamp, pools: BTreeSet<Key>) {
        for left in self.lines.remove(claim).unwrap_or_default().difference(&pools) {
            if let Some(shelf) = self.shelves.get_mut(left) {
                shelf.leave(claim);
            }
        }
        for pool in &pools {
            if let Some(shelf) = self.shelves.get_mut(pool) {
                shelf.wait(claim, created);
            }
        }
        if !pools.is_empty() {
            self.lines.insert(claim.clone(), pools);
        }
    }

    /// Puts a claim into the line of one pool for so many sandboxes, and takes it out of all others; out of every line if it waits for none.
    pub fn stand_in_line(&mut self, claim: &Key, created: Timestamp, pool: &Key, want: u32) {
        let pools = if want == 0 { BTreeSet::new() } else { BTreeSet::from([pool.clone()]) };
        self.stand_in_lines(claim, created, pools);
        if let Some(shelf) = self.shelves.get_mut(pool) {
            shelf.wait_for(claim, created, want);
        }
    }

    /// Takes a claim out of every line it stands in.
    pub fn leave_lines(&mut self, claim: &Key) {
        self.stand_in_lines(claim, Timestamp::UNIX_EPOCH, BTreeSet::new());
    }

    /// When the claim was first seen: its place in line.
    pub fn claim_seen(&self, claim: &Key) -> Option<Timestamp> {
        self.claim_seen.get(claim).copied()
    }
}
