//! Everything that is known of one family, and the ways it is linked.
//!
//! ```text
//! Template <-- Pool <-- Claim
//!               |         |
//!             holds     holds      (by uid)
//!               +---+-----+
//!                   v
//!                Sandbox --> Pod, Volumes, and what only this family has
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dialects::pod::Pod;
use engine::pace::Pace;
use engine::shelf::Shelf;
use engine::{Key, Uid, Version};
use jiff::Timestamp;

use super::child::Volume;
use super::ledger::Ledger;
use super::table::{Object, Table};
use super::wakes::Wakes;
use crate::clock::Clock;
use crate::family::Family;
use crate::kinds::Kind;
use crate::metrics::Metrics;

/// Names grouped by something they have in common.
#[derive(Debug)]
pub struct Groups<G>(BTreeMap<G, BTreeSet<Key>>);

impl<G> Default for Groups<G> {
    fn default() -> Self {
        Groups(BTreeMap::new())
    }
}

impl<G: Ord + Clone> Groups<G> {
    /// Moves a name from one group to another.
    pub fn shift(&mut self, key: &Key, from: Option<G>, to: Option<G>) {
        if from == to {
            return;
        }
        if let Some(from) = from
            && let Some(set) = self.0.get_mut(&from)
        {
            set.remove(key);
            if set.is_empty() {
                self.0.remove(&from);
            }
        }
        if let Some(to) = to {
            self.0.entry(to).or_default().insert(key.clone());
        }
    }

    /// The names of a group, in order.
    pub fn of(&self, group: &G) -> impl Iterator<Item = &Key> {
        self.0.get(group).into_iter().flatten()
    }
}

/// A label's value in a namespace.
pub type Labelled = (Arc<str>, String);

/// The world as last seen. Late by nature: whatever is decided from it is written under a precondition.
#[derive(Debug)]
pub struct World<F: Family> {
    /// Sandboxes.
    pub sandboxes: Table<F::Sandbox>,
    /// Templates.
    pub templates: Table<F::Template>,
    /// Pools.
    pub pools: Table<F::Pool>,
    /// Claims.
    pub claims: Table<F::Claim>,
    /// The pods of sandboxes, as far as the family's label selects them.
    pub pods: Table<Pod>,
    /// Volume claims that it selects.
    pub volumes: Table<Volume>,
    /// Sandboxes by the uid of the pool or claim that holds them.
    pub sandboxes_by_holder: Groups<Uid>,
    /// Pods by the uid of their controller.
    pub pods_by_owner: Groups<Uid>,
    /// Pools by uid.
    pub pool_of_uid: BTreeMap<Uid, Key>,
    /// Claims by uid.
    pub claim_of_uid: BTreeMap<Uid, Key>,
    /// What each pool can hand out, and who waits for it. A claim takes from here under the same lock that a watch fills it under, so no two claims are ever
    /// offered one sandbox.
    pub shelves: BTreeMap<Key, Shelf>,
    /// The pools in whose lines each waiting claim stands.
    pub(super) lines: BTreeMap<Key, BTreeSet<Key>>,
    /// Our own writes that were not seen again yet.
    pub ledger: Ledger,
    /// How long cold starts of a template, or of a pool that is its own template, take, as observed.
    pub cold_pace: BTreeMap<Key, Pace>,
    /// When a sandbox that is being started was first seen, to the nanosecond; the API's own creation times have whole seconds.
    pub(super) first_seen: BTreeMap<Key, Timestamp>,
    /// When a claim was first seen: its place in line, finer than its creation time.
    pub(super) claim_seen: BTreeMap<Key, Timestamp>,
    /// What only this family keeps.
    pub own: F::Own,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

impl<F: Family> World<F> {
    /// A world in which nothing was seen yet.
    #[must_use]
    pub fn new(own: F::Own, clock: Clock, metrics: Metrics) -> Self {
        World {
            sandboxes: Table::default(),
            templates: Table::default(),
            pools: Table::default(),
            claims: Table::default(),
            pods: Table::default(),
            volumes: Table::default(),
            sandboxes_by_holder: Groups::default(),
            pods_by_owner: Groups::default(),
            pool_of_uid: BTreeMap::new(),
            claim_of_uid: BTreeMap::new(),
            shelves: BTreeMap::new(),
            lines: BTreeMap::new(),
            ledger: Ledger::of(F::SANDBOX),
            cold_pace: BTreeMap::new(),
            first_seen: BTreeMap::new(),
            claim_seen: BTreeMap::new(),
            own,
            clock,
            metrics,
        }
    }

    /// The version in which the index has an object, if it has it.
    #[must_use]
    pub fn seen_version(&self, kind: Kind, key: &Key) -> Option<Version> {
        fn of<T: Object>(table: &Table<T>, key: &Key) -> Option<Version> {
            table.get(key).map(|object| object.meta().version())
        }
        match kind {
            Kind::Pod => of(&self.pods, key),
            Kind::Volume => of(&self.volumes, key),
            kind if kind == F::SANDBOX => of(&self.sandboxes, key),
            kind if kind == F::POOL => of(&self.pools, key),
            kind if kind == F::CLAIM => of(&self.claims, key),
            kind if kind == F::TEMPLATE => of(&self.templates, key),
            kind => F::seen_version(&self.own, kind, key),
        }
    }

    /// How many claims wait in the line of a pool.
    #[must_use]
    pub fn waiting(&self, pool: &Key) -> u32 {
        self.shelves.get(pool).map_or(0, |shelf| u32::try_from(shelf.waiting()).unwrap_or(u32::MAX))
    }

    /// The object was seen; whoever waited for just that is woken.
    pub(super) fn note_seen(
        &mut self,
        kind: Kind,
        key: &Key,
        uid: &Uid,
        version: Version,
        leaving: bool,
        wakes: &mut Wakes,
    ) {
        for subject in self.ledger.seen(kind, key, uid, version, leaving) {
            wakes.usual(subject);
        }
    }

    /// The object is gone; whoever waited for just that is woken.
    pub(super) fn note_gone(&mut self, kind: Kind, key: &Key, uid: &Uid, wakes: &mut Wakes) {
        for subject in self.ledger.gone(kind, key, uid) {
            wakes.usual(subject);
        }
    }
}
