//! `agents.x-k8s.io` and `extensions.agents.x-k8s.io`: Sandbox, SandboxTemplate, SandboxWarmPool and SandboxClaim.
//!
//! ```text
//! Template <-- Pool <-- Claim
//!    |          |         |
//!    |        holds     holds      (by the uid in the controlling owner reference)
//!    v          +---+-----+
//! NetworkPolicy     v
//!                Sandbox --> Pod, Service, Volumes
//! ```
//!
//! `index/` says whom a change wakes. [`pool`], [`claim`], [`sandbox`] and [`template`] are what a look at a subject does, each around a plan of the engine;
//! [`why`] tells the same plans to people.

mod claim;
mod claim_answer;
mod claim_view;
mod index;
mod pool;
mod sandbox;
mod template;
mod why;

use std::collections::BTreeMap;

use dialects::pod::Pod;
use dialects::x_k8s::options::Options;
use dialects::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, SandboxWarmPool, keys};
use engine::{Key, Revision, Version};
use jiff::Timestamp;

use crate::family::{Family, Watches};
use crate::index::World;
use crate::index::child::{NetworkPolicy, Service, Volume};
use crate::index::decode::watched;
use crate::index::table::Table;
use crate::index::world::{Groups, Labelled};
use crate::kinds::Kind;
use crate::metrics::SandboxLabels;
use crate::why::Link;
use index::claims::SourceName;

watched! {
    Sandbox => Kind::Sandbox,
    SandboxTemplate => Kind::Template,
    SandboxWarmPool => Kind::Pool,
    SandboxClaim => Kind::Claim,
}

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct XK8s;

/// What its world has beyond what every family has.
#[derive(Debug)]
pub struct Own {
    /// Services that carry the hash of a sandbox's name.
    pub services: Table<Service>,
    /// Network policies.
    pub policies: Table<NetworkPolicy>,
    /// Sandboxes by the pool label they carry.
    pub sandboxes_by_label: Groups<Labelled>,
    /// Pools by the template they name.
    pub pools_by_template: Groups<Key>,
    /// Pools by the hash of their name.
    pub pools_by_label: Groups<Labelled>,
    /// Claims by the pool, or the template, that they name.
    pub claims_by_source: Groups<SourceName>,
    /// What each template means now.
    revisions: BTreeMap<Key, Revision>,
    /// What each sandbox was made with.
    sandbox_revisions: BTreeMap<Key, Revision>,
    /// How each sandbox is counted.
    gauge: BTreeMap<Key, SandboxLabels>,
    /// The choices of the installation.
    pub options: Options,
}

impl Own {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Own {
            services: Table::default(),
            policies: Table::default(),
            sandboxes_by_label: Groups::default(),
            pools_by_template: Groups::default(),
            pools_by_label: Groups::default(),
            claims_by_source: Groups::default(),
            revisions: BTreeMap::new(),
            sandbox_revisions: BTreeMap::new(),
            gauge: BTreeMap::new(),
            options,
        }
    }
}

impl Family for XK8s {
    const NAME: &'static str = "x-k8s";
    type Sandbox = Sandbox;
    type Pool = SandboxWarmPool;
    type Claim = SandboxClaim;
    type Template = SandboxTemplate;
    type Own = Own;
    type Notes = ();

    fn watch(watches: &mut impl Watches<Self>) {
        watches.kind::<SandboxTemplate>(None);
        watches.kind::<SandboxWarmPool>(None);
        watches.kind::<Sandbox>(None);
        watches.kind::<SandboxClaim>(None);
        // Everything else in a cluster has pods, services and volumes too; what is ours carries this label. A stranger's that is in the way is looked up when
        // it is.
        watches.kind::<Pod>(Some(keys::NAME_HASH));
        watches.kind::<Service>(Some(keys::NAME_HASH));
        watches.kind::<Volume>(Some(keys::NAME_HASH));
        watches.kind::<NetworkPolicy>(None);
    }

    fn seen_version(own: &Own, kind: Kind, key: &Key) -> Option<Version> {
        match kind {
            Kind::Service => own.services.get(key).map(|o| o.metadata.version()),
            Kind::NetworkPolicy => own.policies.get(key).map(|o| o.metadata.version()),
            _ => None,
        }
    }

    fn explain(world: &World<Self>, kind: Kind, name: &Key, now: Timestamp) -> Option<Link> {
        why::explain(world, kind, name, now)
    }
}
