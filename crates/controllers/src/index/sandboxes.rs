//! What every family's sandboxes have in common: who holds them, when they were first seen, and where claims find them.

use std::sync::Arc;

use dialects::pod::Pod;
use engine::{Holder, Key, Member, Stage, Uid};
use jiff::Timestamp;

use super::World;
use super::table::{Change, Object};
use super::wakes::Wakes;
use crate::family::{Family, Sandbox};
use crate::subject::Subject;

/// The pool or claim that holds a sandbox.
fn holder_uid<F: Family>(sandbox: &F::Sandbox) -> Option<Uid> {
    match F::Sandbox::holder(sandbox) {
        Holder::Pool(uid) | Holder::Claim(uid) => Some(uid),
        Holder::Other | Holder::Nobody => None,
    }
}

impl<F: Family> World<F> {
    /// Follows a change of a sandbox, before anybody is woken by it: who holds it, and off the shelf it left. [`World::shelve`] puts it where it belongs now.
    pub fn follow_sandbox(&mut self, key: &Key, change: &Change<F::Sandbox>) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        self.sandboxes_by_holder.shift(
            key,
            old.and_then(holder_uid::<F>),
            new.and_then(holder_uid::<F>),
        );
        let held_now = new.map(F::Sandbox::holder);
        if let Some(Holder::Pool(uid)) = old.map(F::Sandbox::holder)
            && held_now != Some(Holder::Pool(uid.clone()))
            && let Some(pool) = self.pool_of_uid.get(&uid)
            && let Some(shelf) = self.shelves.get_mut(pool)
        {
            shelf.remove(key);
        }
        if new.is_none() {
            self.first_seen.remove(key);
        } else if old.is_none() {
            self.first_seen.insert(key.clone(), self.clock.now());
        }
    }

    /// It is seen under another owner than a pool: what was expected of it has come true. Called when the change has woken whom it wakes.
    pub fn settle_hand_out(&mut self, sandbox: &F::Sandbox) {
        if !matches!(F::Sandbox::holder(sandbox), Holder::Pool(_)) {
            self.ledger.hand_out_settled(&sandbox.meta().uid());
        }
    }

    /// Wakes the pools that count this sandbox, as it was and as it is.
    pub fn wake_pools(&self, change: &Change<F::Sandbox>, wakes: &mut Wakes) {
        for sandbox in [&change.old, &change.new].into_iter().flatten() {
            for pool in F::Sandbox::pools(self, sandbox) {
                wakes.usual(Subject::Pool(pool));
            }
        }
    }

    /// When a sandbox that is not ready yet was first seen.
    pub fn first_seen(&self, sandbox: &Key) -> Option<Timestamp> {
        self.first_seen.get(sandbox).copied()
    }

    /// A sandbox that was started for a claim got ready: how long such a start took, for whoever waits for the next one from the same source.
    pub fn observe_cold_start(&mut self, sandbox: &Key, source: Key) {
        if let Some(seen) = self.first_seen.remove(sandbox) {
            let took = self.clock.now().duration_since(seen);
            self.cold_pace.entry(source).or_default().observe(took);
        }
    }

    /// The pod of a sandbox, by ownership.
    pub fn pod_of(&self, uid: &Uid) -> Option<&Arc<Pod>> {
        self.pods_by_owner.of(uid).find_map(|key| self.pods.get(key))
    }

    /// A sandbox as its pool counts it.
    pub fn member(&self, key: &Key) -> Option<Member> {
        F::Sandbox::member(self, self.sandboxes.get(key)?)
    }

    /// A sandbox as claims see it: available only if its pod is ready at this moment, whatever its status said a moment ago, and placed by when it was first
    /// seen, which is finer than its creation time.
    pub fn shelf_member(&self, key: &Key) -> Option<Member> {
        let mut member = self.member(key)?;
        let pod_ready = self
            .pod_of(&member.uid)
            .is_some_and(|pod| pod.is_ready() && !pod.metadata.is_leaving());
        if member.is_available() && !pod_ready {
            member.stage = Stage::Creating(None);
        }
        if let Some(seen) = self.first_seen.get(key) {
            member.created = *seen;
        }
        Some(member)
    }

    /// Puts a sandbox where claims find it, if it is of a pool.
    pub fn shelve(&mut self, key: &Key, wakes: &mut Wakes) {
        let Some(member) = self.shelf_member(key) else { return };
        let Holder::Pool(holder) = &member.holder else { return };
        let Some(pool) = self.pool_of_uid.get(holder).cloned() else { return };
        // A sandbox that is being given to a claim is off the shelf until it is known how that ended.
        if self.ledger.is_handing_out(&member.uid) {
            return;
        }
        let first_ready = if member.is_available() { self.first_seen.remove(key) } else { None };
        let Some(shelf) = self.shelves.get_mut(&pool) else { return };
        if let Some(seen) = first_ready {
            shelf.pace().observe(self.clock.now().duration_since(seen));
        }
        if shelf.observe(member) {
            for claim in shelf.served() {
                wakes.usual(Subject::Claim(claim.clone()));
            }
        }
    }
}
