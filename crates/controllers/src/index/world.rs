//! Everything that is known, and the ways it is linked.
//!
//! ```text
//! Template <-- Pool <-- Claim
//!    |          |         |
//!    |        holds     holds      (by the uid in the controlling owner reference)
//!    v          +---+-----+
//! NetworkPolicy     v
//!                Sandbox --> Pod, Service, Volumes
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dialects::pod::Pod;
use dialects::x_k8s::options::Options;
use dialects::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, SandboxWarmPool};
use engine::pace::Pace;
use engine::shelf::Shelf;
use engine::{Key, Revision, Uid, Version};
use jiff::Timestamp;

use super::child::{NetworkPolicy, Service, Volume};
use super::ledger::Ledger;
use super::table::Table;
use super::wakes::Wakes;
use crate::clock::Clock;
use crate::kinds::Kind;
use crate::metrics::{Metrics, SandboxLabels};

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
pub struct World {
    /// Sandboxes.
    pub sandboxes: Table<Sandbox>,
    /// Templates.
    pub templates: Table<SandboxTemplate>,
    /// Pools.
    pub pools: Table<SandboxWarmPool>,
    /// Claims.
    pub claims: Table<SandboxClaim>,
    /// Pods that carry the hash of a sandbox's name.
    pub pods: Table<Pod>,
    /// Services that do.
    pub services: Table<Service>,
    /// Volume claims that do.
    pub volumes: Table<Volume>,
    /// Network policies.
    pub policies: Table<NetworkPolicy>,
    /// Sandboxes by the uid of their controller.
    pub sandboxes_by_holder: Groups<Uid>,
    /// Sandboxes by the pool label they carry.
    pub sandboxes_by_label: Groups<Labelled>,
    /// Pods by the uid of their controller.
    pub pods_by_owner: Groups<Uid>,
    /// Pools by the template they name.
    pub pools_by_template: Groups<Key>,
    /// Pools by the hash of their name.
    pub pools_by_label: Groups<Labelled>,
    /// Claims by the pool, or the template, that they name.
    pub claims_by_source: Groups<super::claims::SourceName>,
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
    /// How long cold starts of a template take, as observed.
    pub cold_pace: BTreeMap<Key, Pace>,
    /// What each template means now.
    pub(super) revisions: BTreeMap<Key, Revision>,
    /// What each sandbox was made with.
    pub(super) sandbox_revisions: BTreeMap<Key, Revision>,
    /// When a sandbox that is being started was first seen, to the nanosecond; the API's own creation times have whole seconds.
    pub(super) first_seen: BTreeMap<Key, Timestamp>,
    /// When a claim was first seen: its place in line, finer than its creation time.
    pub(super) claim_seen: BTreeMap<Key, Timestamp>,
    /// The choices of the installation.
    pub options: Options,
    pub(super) clock: Clock,
    pub(super) gauge: BTreeMap<Key, SandboxLabels>,
    pub(super) gauge_moves: Vec<(Option<SandboxLabels>, Option<SandboxLabels>)>,
}

impl World {
    /// A world in which nothing was seen yet.
    #[must_use]
    pub fn new(options: Options, clock: Clock) -> Self {
        World {
            sandboxes: Table::default(),
            templates: Table::default(),
            pools: Table::default(),
            claims: Table::default(),
            pods: Table::default(),
            services: Table::default(),
            volumes: Table::default(),
            policies: Table::default(),
            sandboxes_by_holder: Groups::default(),
            sandboxes_by_label: Groups::default(),
            pods_by_owner: Groups::default(),
            pools_by_template: Groups::default(),
            pools_by_label: Groups::default(),
            claims_by_source: Groups::default(),
            pool_of_uid: BTreeMap::new(),
            claim_of_uid: BTreeMap::new(),
            shelves: BTreeMap::new(),
            lines: BTreeMap::new(),
            ledger: Ledger::default(),
            cold_pace: BTreeMap::new(),
            revisions: BTreeMap::new(),
            sandbox_revisions: BTreeMap::new(),
            first_seen: BTreeMap::new(),
            claim_seen: BTreeMap::new(),
            options,
            clock,
            gauge: BTreeMap::new(),
            gauge_moves: Vec::new(),
        }
    }

    /// The version in which the index has an object, if it has it.
    #[must_use]
    pub fn seen_version(&self, kind: Kind, key: &Key) -> Option<Version> {
        match kind {
            Kind::Sandbox => self.sandboxes.get(key).map(|o| o.metadata.version()),
            Kind::Template => self.templates.get(key).map(|o| o.metadata.version()),
            Kind::Pool => self.pools.get(key).map(|o| o.metadata.version()),
            Kind::Claim => self.claims.get(key).map(|o| o.metadata.version()),
            Kind::Pod => self.pods.get(key).map(|o| o.metadata.version()),
            Kind::Service => self.services.get(key).map(|o| o.metadata.version()),
            Kind::Volume => self.volumes.get(key).map(|o| o.metadata.version()),
            Kind::NetworkPolicy => self.policies.get(key).map(|o| o.metadata.version()),
        }
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

    /// Hands the moves of the gauge over.
    pub(super) fn flush_metrics(&mut self, metrics: &Metrics) {
        for (from, to) in self.gauge_moves.drain(..) {
            metrics.sandbox_moved(from.as_ref(), to.as_ref());
        }
    }
}
