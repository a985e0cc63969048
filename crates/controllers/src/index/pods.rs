//! Pods and volume claims: what they tell of the sandboxes that own them.

use std::collections::BTreeSet;
use std::sync::Arc;

use dialects::pod::Pod;
use engine::{Key, Uid};

use super::child::Volume;
use super::table::{Change, Object, Table};
use super::wakes::Wakes;
use super::{Indexed, World};
use crate::family::{Family, Sandbox};
use crate::subject::Subject;

impl<F: Family> Indexed<F> for Pod {
    fn table(world: &mut World<F>) -> &mut Table<Self> {
        &mut world.pods
    }

    fn changed(world: &mut World<F>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let owner = |pod: &Arc<Pod>| pod.metadata.controller().map(|owner| Uid::new(&owner.uid));
        world.pods_by_owner.shift(
            key,
            change.old.as_ref().and_then(owner),
            change.new.as_ref().and_then(owner),
        );
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && same_but_version(old, new)
        {
            return;
        }
        for sandbox in owners(key, change) {
            world.wake_owner(&sandbox, wakes);
            world.shelve(&sandbox, wakes);
            // A pool explains why its members don't get ready, which it reads from their pods.
            let trouble = |pod: &Option<Arc<Pod>>| pod.as_ref().and_then(|pod| pod.trouble());
            if trouble(&change.old) != trouble(&change.new)
                && let Some(object) = world.sandboxes.get(&sandbox).cloned()
            {
                for pool in F::Sandbox::pools(world, &object) {
                    wakes.usual(Subject::Pool(pool));
                }
            }
        }
    }
}

fn same_but_version(old: &Pod, new: &Pod) -> bool {
    let mut old = old.clone();
    old.metadata.resource_version.clone_from(&new.metadata.resource_version);
    old == *new
}

impl<F: Family> Indexed<F> for Volume {
    fn table(world: &mut World<F>) -> &mut Table<Self> {
        &mut world.volumes
    }

    fn changed(world: &mut World<F>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        world.wake_owners(key, change, wakes);
    }
}

/// The sandboxes that a child may be of: the one of the same name, and, where an older controller gave it another name, the one that owns it.
fn owners<T: Object>(key: &Key, change: &Change<T>) -> BTreeSet<Key> {
    let named = [&change.old, &change.new].into_iter().flatten().filter_map(|child| {
        let owner = child.meta().controller()?;
        Some(key.sibling(&owner.name))
    });
    named.chain([key.clone()]).collect()
}

impl<F: Family> World<F> {
    /// Wakes the sandboxes that a child may be of.
    pub fn wake_owners<T: Object>(&self, key: &Key, change: &Change<T>, wakes: &mut Wakes) {
        for sandbox in owners(key, change) {
            self.wake_owner(&sandbox, wakes);
        }
    }

    fn wake_owner(&self, sandbox: &Key, wakes: &mut Wakes) {
        if let Some(object) = self.sandboxes.get(sandbox) {
            let urgency = F::Sandbox::urgency(Some(object), object);
            wakes.add(Subject::Sandbox(sandbox.clone()), urgency);
        }
    }
}
