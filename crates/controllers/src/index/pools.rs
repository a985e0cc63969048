//! What every family's pools have in common: their lives and their shelves.

use engine::Key;
use engine::shelf::Shelf;

use super::World;
use super::table::{Change, Object};
use super::wakes::Wakes;
use crate::family::{Family, Pool, Terms};
use crate::subject::Subject;

impl<F: Family> World<F> {
    /// Follows a change of a pool: what belonged to a life that ended goes, and the shelf learns what the pool wants now.
    pub fn follow_pool(&mut self, key: &Key, change: &Change<F::Pool>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        if let Some(old) = old
            && new.is_none_or(|new| new.meta().uid != old.meta().uid)
        {
            self.pool_of_uid.remove(&old.meta().uid());
            self.shelves.remove(key);
            self.ledger.forget(&Subject::Pool(key.clone()));
        }
        if let Some(new) = new {
            self.pool_of_uid.insert(new.meta().uid(), key.clone());
            self.retell_pool(key, wakes);
        }
    }

    /// Gives a pool its shelf, or tells the shelf what the pool wants now: the pool changed, or the template it names.
    pub fn retell_pool(&mut self, key: &Key, wakes: &mut Wakes) {
        let Some(pool) = self.pools.get(key).cloned() else { return };
        let Terms { strategy, revision } = F::Pool::terms(self, &pool);
        if let Some(shelf) = self.shelves.get_mut(key) {
            shelf.follow(strategy, revision);
            for claim in shelf.served() {
                wakes.usual(Subject::Claim(claim.clone()));
            }
            return;
        }
        let uid = pool.meta().uid();
        let mut shelf = Shelf::new(key.clone(), uid.clone(), strategy, F::Pool::PICK);
        shelf.follow(strategy, revision);
        self.shelves.insert(key.clone(), shelf);
        // Sandboxes may have been seen before their pool.
        let members: Vec<Key> = self.sandboxes_by_holder.of(&uid).cloned().collect();
        for member in members {
            self.shelve(&member, wakes);
        }
    }
}
