//! Claims: where they may be served from, and who waits.

use dialects::condition::withdrawn;
use dialects::x_k8s::SandboxClaim;
use dialects::x_k8s::claim::Choice;
use dialects::x_k8s::types::SandboxClaimStatus;
use engine::Key;

use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::{Indexed, World};
use crate::subject::Subject;
use crate::x_k8s::XK8s;

/// What a claim names as its source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceName {
    /// A pool.
    Pool(Key),
    /// A template, and with it any pool of it.
    Template(Key),
}

impl SourceName {
    /// What this claim names.
    #[must_use]
    pub fn of(claim: &SandboxClaim) -> Self {
        match claim.choice() {
            Choice::Pool(pool) => SourceName::Pool(pool),
            Choice::PoolOfTemplate { template, .. }
            | Choice::AnyOfTemplate(template)
            | Choice::Cold(template) => SourceName::Template(template),
        }
    }
}

impl Indexed<XK8s> for SandboxClaim {
    fn table(world: &mut World<XK8s>) -> &mut Table<Self> {
        &mut world.claims
    }

    fn changed(world: &mut World<XK8s>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        world.own.claims_by_source.shift(key, old.map(SourceName::of), new.map(SourceName::of));
        world.follow_claim(key, change);
        let Some(new) = new else { return };
        // Its status and its annotations are written by us; what a user changes bumps the generation. What was said and is taken back is said again: a client
        // can overwrite the status too.
        let same = old.is_some_and(|old| {
            old.metadata.generation == new.metadata.generation
                && !is_taken_back(&old.status, &new.status)
                && old.metadata.is_leaving() == new.metadata.is_leaving()
        });
        if !same {
            wakes.usual(Subject::Claim(key.clone()));
        }
    }
}

/// Whether the status lost its sandbox or a condition. An answer that replaces another is not one: our own writes do that, and would wake us each time.
fn is_taken_back(old: &SandboxClaimStatus, new: &SandboxClaimStatus) -> bool {
    let named = !old.sandbox.name.is_empty();
    (named && old.sandbox.name != new.sandbox.name) || withdrawn(&old.conditions, &new.conditions)
}

impl World<XK8s> {
    /// Wakes the claims that name this source and have nothing yet. What a claim has it keeps, whatever becomes of the source.
    pub(super) fn wake_unbound(&self, source: &SourceName, wakes: &mut Wakes) {
        for key in self.own.claims_by_source.of(source) {
            if self.claims.get(key).is_some_and(|claim| claim.status.sandbox.name.is_empty()) {
                wakes.usual(Subject::Claim(key.clone()));
            }
        }
    }
}
