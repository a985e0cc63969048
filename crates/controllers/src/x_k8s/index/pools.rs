//! Pools: by what they are found, and whom they wake.

use dialects::x_k8s::{SandboxWarmPool, keys};
use engine::Key;

use super::claims::SourceName;
use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::{Indexed, World};
use crate::subject::Subject;
use crate::x_k8s::XK8s;

impl Indexed<XK8s> for SandboxWarmPool {
    fn table(world: &mut World<XK8s>) -> &mut Table<Self> {
        &mut world.pools
    }

    fn changed(world: &mut World<XK8s>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let label = |_: &SandboxWarmPool| (key.namespace.clone(), keys::hash(&key.name));
        world.own.pools_by_label.shift(key, old.map(label), new.map(label));
        world.own.pools_by_template.shift(
            key,
            old.map(SandboxWarmPool::template_key),
            new.map(SandboxWarmPool::template_key),
        );
        world.follow_pool(key, change, wakes);
        // A pool's status changes with every member; nothing is decided from it.
        let same = match (old, new) {
            (Some(old), Some(new)) => {
                old.metadata.generation == new.metadata.generation
                    && old.metadata.is_leaving() == new.metadata.is_leaving()
            }
            _ => false,
        };
        if !same {
            wakes.usual(Subject::Pool(key.clone()));
            world.wake_unbound(&SourceName::Pool(key.clone()), wakes);
            for pool in [old, new].into_iter().flatten() {
                world.wake_unbound(&SourceName::Template(pool.template_key()), wakes);
            }
        }
    }
}

impl World<XK8s> {
    /// A template changed its meaning, came or went: its pools follow.
    pub(in crate::x_k8s) fn follow_template(&mut self, template: &Key, wakes: &mut Wakes) {
        let pools: Vec<Key> = self.own.pools_by_template.of(template).cloned().collect();
        for key in pools {
            wakes.usual(Subject::Pool(key.clone()));
            self.retell_pool(&key, wakes);
            self.wake_unbound(&SourceName::Pool(key), wakes);
        }
        self.wake_unbound(&SourceName::Template(template.clone()), wakes);
    }
}
