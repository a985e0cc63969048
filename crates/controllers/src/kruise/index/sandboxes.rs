//! Sandboxes: what they were made with, who has a lock on them, and whom a change of one concerns.

use std::collections::BTreeMap;

use dialects::condition::withdrawn;
use dialects::kruise::types::Sandbox;
use dialects::kruise::{keys, revision};
use engine::{Key, Revision};
use jiff::Timestamp;

use crate::family;
use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::world::Groups;
use crate::index::{Indexed, World};
use crate::kruise::Kruise;
use crate::subject::Subject;

/// What is kept of sandboxes beside them.
#[derive(Debug, Default)]
pub struct Sandboxes {
    /// What each was made with: a hash over its template, which most changes of a sandbox don't touch.
    revisions: BTreeMap<Key, Revision>,
    /// The lock that each carries, and when it was first seen.
    locks: BTreeMap<Key, (String, Timestamp)>,
    /// Sandboxes by the template they refer to.
    pub by_template: Groups<Key>,
}

impl Sandboxes {
    /// What a sandbox was made with.
    pub fn revision(&self, sandbox: &Key) -> Option<&Revision> {
        self.revisions.get(sandbox)
    }

    /// Since when a sandbox carries the lock that it carries.
    pub fn locked_since(&self, sandbox: &Key) -> Option<Timestamp> {
        self.locks.get(sandbox).map(|(_, since)| *since)
    }

    fn follow(&mut self, key: &Key, old: Option<&Sandbox>, new: Option<&Sandbox>, now: Timestamp) {
        let named = |sandbox: &Sandbox| {
            sandbox.spec.block.template_ref.as_ref().map(|named| key.sibling(&named.name))
        };
        self.by_template.shift(key, old.and_then(named), new.and_then(named));
        let Some(new) = new else {
            self.revisions.remove(key);
            self.locks.remove(key);
            return;
        };
        let notes = |sandbox: &Sandbox| {
            (
                sandbox.metadata.generation,
                sandbox.metadata.labels.get(keys::TEMPLATE_HASH).cloned(),
                sandbox.metadata.annotations.get(keys::TEMPLATE_DIGEST).cloned(),
            )
        };
        if old.map(notes) != Some(notes(new)) || !self.revisions.contains_key(key) {
            let revision = revision::of_sandbox(&new.metadata, &new.spec.block);
            self.revisions.insert(key.clone(), revision);
        }
        match new.metadata.annotations.get(keys::LOCK).filter(|_| new.is_locked()) {
            None => drop(self.locks.remove(key)),
            Some(lock) if self.locks.get(key).is_some_and(|(known, _)| known == lock) => {}
            Some(lock) => drop(self.locks.insert(key.clone(), (lock.clone(), now))),
        }
    }
}

impl Indexed<Kruise> for Sandbox {
    fn table(world: &mut World<Kruise>) -> &mut Table<Self> {
        &mut world.sandboxes
    }

    fn changed(world: &mut World<Kruise>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let now = world.clock.now();
        world.own.sandboxes.follow(key, old, new, now);
        world.follow_sandbox(key, change);
        world.follow_making(key, change, wakes);
        wake_itself(key, old, new, wakes);
        world.wake_claim_of(key, change, wakes);
        if counted(old) != counted(new) {
            world.wake_pools(change, wakes);
            if let Some(new) = new {
                world.settle_hand_out(new);
            }
        }
        world.shelve(key, wakes);
    }
}

/// A sandbox is looked at again when something changed that its pod or volumes depend on. Its own status is none of that: we wrote it. Only a condition that is gone
/// from it makes us say it again, because a client can overwrite the status too.
fn wake_itself(key: &Key, old: Option<&Sandbox>, new: Option<&Sandbox>, wakes: &mut Wakes) {
    let Some(new) = new else { return };
    let same = old.is_some_and(|old| {
        old.metadata.generation == new.metadata.generation
            && old.metadata.owner_references == new.metadata.owner_references
            && old.metadata.labels == new.metadata.labels
            && old.metadata.annotations == new.metadata.annotations
            && old.metadata.is_leaving() == new.metadata.is_leaving()
            && !withdrawn(&old.status.conditions, &new.status.conditions)
    });
    if !same {
        let urgency = <Sandbox as family::Sandbox<Kruise>>::urgency(old, new);
        wakes.add(Subject::Sandbox(key.clone()), urgency);
    }
}

/// What pools count a sandbox by.
fn counted(sandbox: Option<&Sandbox>) -> impl PartialEq + use<> {
    sandbox.map(|s| {
        let note = |key: &str| s.metadata.annotations.get(key).cloned();
        (
            s.holder(),
            s.metadata.labels.get(keys::TEMPLATE_HASH).cloned(),
            [note(keys::LOCK), note(keys::OWNER), note(keys::TEMPLATE_DIGEST)],
            s.metadata.generation,
            s.status.phase.clone(),
            s.is_ready(),
            s.ready().map(|ready| (ready.status.clone(), ready.reason.clone())),
            s.metadata.is_leaving(),
        )
    })
}
