//! What is known of the cluster, and whom a change concerns.
//!
//! ```text
//! watch (one per kind) -> Table -> Change { old, new } -> wakes: which subjects have to be looked at
//!                                      |
//!                                      +-> shelves: what each pool can hand out
//!                                      +-> ledger: our own writes, seen again
//! ```
//!
//! One watch per kind fills the tables; everything else is derived from the difference between how an object was and how it is. A change wakes a subject only
//! if it touches something that the subject's plan is made from: the status of a pool, which changes all the time, wakes nobody, and a claim is looked at about
//! once. All of it happens in one short critical section, so a reconcile sees a consistent picture.
//!
//! Every family has an index of its own. What is here does the bookkeeping that all of them need; what a change *means*, so whom it wakes, each family says in
//! its implementations of [`Indexed`].
//!
//! Nothing here is a source of truth. Whatever is decided from it is written under a precondition, and a restart builds all of it again from the API.

pub mod child;
mod claims;
pub mod decode;
pub mod ledger;
mod pods;
mod pools;
mod relist;
mod sandboxes;
pub mod table;
pub mod wakes;
pub mod watch;
pub mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Key, Version};
use parking_lot::{Mutex, MutexGuard};

use crate::family::Family;
use crate::queue::{Priority, Queue};
use crate::subject::Subject;
use decode::Watched;
use table::{Change, Table};
use wakes::Wakes;
pub use world::World;

/// A kind that is kept in the world of a family.
pub trait Indexed<F: Family>: Watched {
    /// Its table.
    fn table(world: &mut World<F>) -> &mut Table<Self>
    where
        Self: Sized;

    /// Follows a change: other indexes, shelves, and whom to wake.
    fn changed(world: &mut World<F>, key: &Key, change: &Change<Self>, wakes: &mut Wakes)
    where
        Self: Sized;
}

/// The world of a family behind its lock, and the queue it fills.
#[derive(Debug)]
pub struct Index<F: Family> {
    world: Mutex<World<F>>,
    queue: Arc<Queue<Subject>>,
}

impl<F: Family> Index<F> {
    /// An empty index that wakes subjects through `queue`.
    #[must_use]
    pub fn new(world: World<F>, queue: Arc<Queue<Subject>>) -> Self {
        Index { world: Mutex::new(world), queue }
    }

    /// The world. Hold it for a look or a note, never across an await.
    pub fn world(&self) -> MutexGuard<'_, World<F>> {
        self.world.lock()
    }

    /// Asks for a subject to be looked at.
    pub fn wake(&self, subject: Subject, priority: Priority) {
        self.queue.enqueue(subject, priority);
    }

    /// Takes an observation.
    pub fn apply<T: Indexed<F>>(&self, object: T) {
        let key = object.meta().key();
        let mut wakes = Wakes::default();
        {
            let mut world = self.world.lock();
            let (uid, version, leaving) =
                (object.meta().uid(), object.meta().version(), object.meta().is_leaving());
            let Some(change) = T::table(&mut world).apply(object) else { return };
            // A new life under the same name ends the old one.
            if let Some(old) = &change.old
                && old.meta().uid != uid.as_str()
            {
                let gone = Change { old: Some(old.clone()), new: None };
                world.note_gone(T::KIND, &key, &old.meta().uid(), &mut wakes);
                T::changed(&mut world, &key, &gone, &mut wakes);
                let born = Change { old: None, new: change.new.clone() };
                T::changed(&mut world, &key, &born, &mut wakes);
            } else {
                T::changed(&mut world, &key, &change, &mut wakes);
            }
            world.note_seen(T::KIND, &key, &uid, version, leaving, &mut wakes);
        }
        self.send(wakes);
    }

    /// The object is gone, as of this version: a replay of an older end does not concern what was seen since.
    pub fn gone<T: Indexed<F>>(&self, key: &Key, version: Version) {
        let mut wakes = Wakes::default();
        {
            let mut world = self.world.lock();
            let Some(change) = T::table(&mut world).delete(key, version) else { return };
            if let Some(old) = &change.old {
                world.note_gone(T::KIND, key, &old.meta().uid(), &mut wakes);
            }
            T::changed(&mut world, key, &change, &mut wakes);
        }
        self.send(wakes);
    }

    /// What is known and was not listed, and in which version it is known.
    pub fn missing<T: Indexed<F>>(&self, listed: &BTreeSet<Key>) -> Vec<(Key, Version)> {
        T::table(&mut self.world.lock()).missing_from(listed)
    }

    fn send(&self, wakes: Wakes) {
        for (subject, priority) in wakes.into_inner() {
            self.queue.enqueue(subject, priority);
        }
    }
}
