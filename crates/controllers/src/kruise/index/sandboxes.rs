//! Sandboxes: whom a change of one concerns.

use dialects::kruise::Sandbox;
use engine::{Holder, Key};

use crate::family;
use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::{Indexed, World};
use crate::kruise::Kruise;
use crate::subject::Subject;

impl Indexed<Kruise> for Sandbox {
    fn table(world: &mut World<Kruise>) -> &mut Table<Self> {
        &mut world.sandboxes
    }

    fn changed(world: &mut World<Kruise>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        world.follow_sandbox(key, change);
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

/// A sandbox is looked at again when something changed that its pod or volumes depend on. Its own status is none of that: we wrote it.
fn wake_itself(key: &Key, old: Option<&Sandbox>, new: Option<&Sandbox>, wakes: &mut Wakes) {
    let Some(new) = new else { return };
    let same = old.is_some_and(|old| {
        old.metadata.generation == new.metadata.generation
            && old.metadata.owner_references == new.metadata.owner_references
            && old.metadata.labels == new.metadata.labels
            && old.metadata.annotations == new.metadata.annotations
            && old.metadata.is_leaving() == new.metadata.is_leaving()
    });
    if !same {
        let urgency = <Sandbox as family::Sandbox<Kruise>>::urgency(old, new);
        wakes.add(Subject::Sandbox(key.clone()), urgency);
    }
}

/// What pools count a sandbox by.
fn counted(sandbox: Option<&Sandbox>) -> impl PartialEq + use<> {
    sandbox.map(|s| {
        let ready = s.status.conditions.iter().find(|c| c.kind == "Ready");
        (
            holder(s),
            s.metadata.labels.clone(),
            s.metadata.annotations.clone(),
            s.metadata.generation,
            s.status.phase.clone(),
            ready.map(|c| (c.status.clone(), c.reason.clone())),
            s.metadata.is_leaving(),
        )
    })
}

fn holder(sandbox: &Sandbox) -> Holder {
    <Sandbox as family::Sandbox<Kruise>>::holder(sandbox)
}
