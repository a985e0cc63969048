//! Claims: where they may be served from, and who waits.

use std::collections::BTreeSet;

use dialects::condition::withdrawn;
use dialects::x_k8s::SandboxClaim;
use dialects::x_k8s::claim::Choice;
use dialects::x_k8s::types::SandboxClaimStatus;
use engine::Key;
use jiff::{SignedDuration, Timestamp};

use super::table::{Change, Table};
use super::wakes::Wakes;
use super::{Indexed, World};
use crate::subject::Subject;

/// A claim first seen this soon after its creation was created while we watched.
const FRESH: SignedDuration = SignedDuration::from_secs(2);

/// What a claim names as its source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceName {
    /// A pool.
    Pool(Key),
    /// A template, and with it any pool of it.
    Template(Key),
}

impl SourceName {
    /// What this claim names.
    #[must_use]
    pub fn of(claim: &SandboxClaim) -> Self {
        match claim.choice() {
            Choice::Pool(pool) => SourceName::Pool(pool),
            Choice::PoolOfTemplate { template, .. }
            | Choice::AnyOfTemplate(template)
            | Choice::Cold(template) => SourceName::Template(template),
        }
    }
}

impl Indexed for SandboxClaim {
    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.claims
    }

    fn changed(world: &mut World, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        world.claims_by_source.shift(key, old.map(SourceName::of), new.map(SourceName::of));
        if let Some(old) = old
            && new.is_none_or(|new| new.metadata.uid != old.metadata.uid)
        {
            world.claim_of_uid.remove(&old.metadata.uid());
            world.leave_lines(key);
            world.claim_seen.remove(key);
            world.ledger.forget(&Subject::Claim(key.clone()));
        }
        let Some(new) = new else { return };
        world.claim_of_uid.insert(new.metadata.uid(), key.clone());
        if !world.claim_seen.contains_key(key) {
            let (now, created) = (world.clock.now(), new.metadata.created());
            // Creation times have whole seconds. A claim that was just created is placed by when we saw it, an older one, after a restart, by its creation.
            let fresh = now.duration_since(created).abs() <= FRESH;
            world.claim_seen.insert(key.clone(), if fresh { now } else { created });
        }
        // Its status and its annotations are written by us; what a user changes bumps the generation. What was said and is taken back is said again: a client
        // can overwrite the status too.
        let same = old.is_some_and(|old| {
            old.metadata.generation == new.metadata.generation
                && !is_taken_back(&old.status, &new.status)
                && old.metadata.is_leaving() == new.metadata.is_leaving()
        });
        if !same {
            wakes.usual(Subject::Claim(key.clone()));
        }
    }
}

/// Whether the status lost its sandbox or a condition. An answer that replaces another is not one: our own writes do that, and would wake us each time.
fn is_taken_back(old: &SandboxClaimStatus, new: &SandboxClaimStatus) -> bool {
    let named = !old.sandbox.name.is_empty();
    (named && old.sandbox.name != new.sandbox.name) || withdrawn(&old.conditions, &new.conditions)
}

impl World {
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

    /// Takes a claim out of every line it stands in.
    pub fn leave_lines(&mut self, claim: &Key) {
        self.stand_in_lines(claim, Timestamp::UNIX_EPOCH, BTreeSet::new());
    }

    /// When the claim was first seen: its place in line.
    pub fn claim_seen(&self, claim: &Key) -> Option<Timestamp> {
        self.claim_seen.get(claim).copied()
    }

    /// Wakes the claims that name this source and have nothing yet. What a claim has it keeps, whatever becomes of the source.
    pub(super) fn wake_unbound(&self, source: &SourceName, wakes: &mut Wakes) {
        for key in self.claims_by_source.of(source) {
            if self.claims.get(key).is_some_and(|claim| claim.status.sandbox.name.is_empty()) {
                wakes.usual(Subject::Claim(key.clone()));
            }
        }
    }
}
