//! `agents.kruise.io`: SandboxSet, Sandbox, SandboxClaim and SandboxTemplate.
//!
//! ```text
//! Template <--named by, or made from-- SandboxSet <--names-- Claim
//!                                          |                   |
//!                         holds (owner reference)          holds (owner annotation)
//!                                          +---------+---------+
//!                                                    v
//!                                                 Sandbox --> Pod, Volumes
//! ```
//!
//! `index/` says whom a change wakes. [`pool`], [`claim`], [`sandbox`] and [`template`] are what a look at a subject does, each around a plan of the engine.
//! [`runtime`] is what runs in a sandbox, as far as it has to be told for whom.

mod announce;
mod claim;
mod claim_acts;
mod claim_answer;
mod claim_view;
mod hooks;
mod index;
mod pool;
mod runtime;
mod sandbox;
mod template;
mod why;

use dialects::kruise::{Sandbox, SandboxClaim, SandboxSet, SandboxTemplate, keys};
use dialects::pod::Pod;
use engine::{Key, Version};
use jiff::Timestamp;

use crate::family::{Family, Watches};
use crate::index::World;
use crate::index::child::Volume;
use crate::index::decode::watched;
use crate::kinds::Kind;
use crate::why::Link;

watched! {
    SandboxSet => Kind::SandboxSet,
    Sandbox => Kind::KruiseSandbox,
    SandboxClaim => Kind::KruiseClaim,
    SandboxTemplate => Kind::KruiseTemplate,
}

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct Kruise;

/// What its world has beyond what every family has.
#[derive(Debug, Default)]
pub struct Own {
    /// How sets and templates are linked, and what they mean.
    pub sets: index::pools::Sets,
    /// What is kept of sandboxes beside them.
    pub sandboxes: index::sandboxes::Sandboxes,
    /// What sandboxes were made with.
    pub making: index::making::Making,
    /// How claims are linked.
    pub claims: index::claims::Claims,
}

/// What only its reconciles remember.
#[derive(Debug, Default)]
pub struct Notes {
    /// Of the hooks of upgrades.
    pub hooks: hooks::Hooks,
    /// Of looks at claims.
    pub claims: claim::ClaimNotes,
}

impl Family for Kruise {
    const NAME: &'static str = "kruise";
    type Sandbox = Sandbox;
    type Pool = SandboxSet;
    type Claim = SandboxClaim;
    type Template = SandboxTemplate;
    type Own = Own;
    type Notes = Notes;

    fn watch(watches: &mut impl Watches<Self>) {
        watches.kind::<SandboxTemplate>(None);
        watches.kind::<SandboxSet>(None);
        watches.kind::<Sandbox>(None);
        watches.kind::<SandboxClaim>(None);
        // Pods and volumes of other programs of the family carry these labels too; whose they are, their owner references say.
        watches.kind::<Pod>(Some(keys::CREATED_BY));
        watches.kind::<Volume>(Some(keys::SANDBOX_NAME));
    }

    fn seen_version(_: &Own, _: Kind, _: &Key) -> Option<Version> {
        None
    }

    fn explain(world: &World<Self>, kind: Kind, name: &Key, now: Timestamp) -> Option<Link> {
        why::explain(world, kind, name, now)
    }
}
