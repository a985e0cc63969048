//! Pools and their shelves.

use dialects::x_k8s::{SandboxWarmPool, keys};
use engine::Key;
use engine::shelf::{Pick, Shelf};

use super::claims::SourceName;
use super::table::{Change, Table};
use super::wakes::Wakes;
use super::{Indexed, World};
use crate::subject::Subject;

impl Indexed for SandboxWarmPool {
    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.pools
    }

    fn changed(world: &mut World, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let label = |_: &SandboxWarmPool| (key.namespace.clone(), keys::hash(&key.name));
        world.pools_by_label.shift(key, old.map(label), new.map(label));
        world.pools_by_template.shift(
            key,
            old.map(SandboxWarmPool::template_key),
            new.map(SandboxWarmPool::template_key),
        );
        if let Some(old) = old
            && new.is_none_or(|new| new.metadata.uid != old.metadata.uid)
        {
            world.pool_of_uid.remove(&old.metadata.uid());
            world.shelves.remove(key);
            world.ledger.forget(&Subject::Pool(key.clone()));
        }
        if let Some(new) = new {
            world.pool_of_uid.insert(new.metadata.uid(), key.clone());
            world.follow_pool(key, new, wakes);
        }
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

impl World {
    /// Gives a pool its shelf, or tells the shelf what the pool wants now.
    fn follow_pool(&mut self, key: &Key, pool: &SandboxWarmPool, wakes: &mut Wakes) {
        let revision = self.revisions.get(&pool.template_key()).cloned();
        if let Some(shelf) = self.shelves.get_mut(key) {
            shelf.follow(pool.strategy(), revision);
            for claim in shelf.served() {
                wakes.usual(Subject::Claim(claim.clone()));
            }
            return;
        }
        let uid = pool.metadata.uid();
        let mut shelf = Shelf::new(key.clone(), uid.clone(), pool.strategy(), Pick::SpreadNodes);
        shelf.follow(pool.strategy(), revision);
        self.shelves.insert(key.clone(), shelf);
        // Sandboxes may have been seen before their pool.
        let members: Vec<Key> = self.sandboxes_by_holder.of(&uid).cloned().collect();
        for member in members {
            self.shelve(&member, wakes);
        }
    }

    /// A template changed its meaning, came or went: its pools follow.
    pub(super) fn follow_template(&mut self, template: &Key, wakes: &mut Wakes) {
        let pools: Vec<Key> = self.pools_by_template.of(template).cloned().collect();
        for key in pools {
            wakes.usual(Subject::Pool(key.clone()));
            if let Some(pool) = self.pools.get(&key).cloned() {
                self.follow_pool(&key, &pool, wakes);
            }
            self.wake_unbound(&SourceName::Pool(key), wakes);
        }
        self.wake_unbound(&SourceName::Template(template.clone()), wakes);
    }
}
