//! Sets: by what they are found, and whom they wake.

use dialects::kruise::SandboxSet;
use engine::Key;

use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::world::Groups;
use crate::index::{Indexed, World};
use crate::kruise::Kruise;
use crate::subject::Subject;

/// How sets and templates are linked.
#[derive(Debug, Default)]
pub struct Sets {
    /// Sets by the template they name.
    pub by_template: Groups<Key>,
}

impl Indexed<Kruise> for SandboxSet {
    fn table(world: &mut World<Kruise>) -> &mut Table<Self> {
        &mut world.pools
    }

    fn changed(world: &mut World<Kruise>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let named = |set: &SandboxSet| {
            set.spec.block.template_ref.as_ref().map(|named| key.sibling(&named.name))
        };
        world.own.sets.by_template.shift(key, old.and_then(named), new.and_then(named));
        world.follow_pool(key, change, wakes);
        // A set's status changes with every member; nothing is decided from it.
        let same = match (old, new) {
            (Some(old), Some(new)) => {
                old.metadata.generation == new.metadata.generation
                    && old.metadata.is_leaving() == new.metadata.is_leaving()
            }
            _ => false,
        };
        if !same {
            wakes.usual(Subject::Pool(key.clone()));
            world.wake_unserved(key, wakes);
        }
    }
}
