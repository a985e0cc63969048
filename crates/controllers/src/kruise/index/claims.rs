//! Claims: which set they name, and whom they wake.

use dialects::kruise::SandboxClaim;
use engine::Key;

use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::world::Groups;
use crate::index::{Indexed, World};
use crate::kruise::Kruise;
use crate::subject::Subject;

/// How claims are linked.
#[derive(Debug, Default)]
pub struct Claims {
    /// Claims by the set that they name.
    pub by_set: Groups<Key>,
}

impl Indexed<Kruise> for SandboxClaim {
    fn table(world: &mut World<Kruise>) -> &mut Table<Self> {
        &mut world.claims
    }

    fn changed(world: &mut World<Kruise>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let set = |claim: &SandboxClaim| key.sibling(&claim.spec.template_name);
        world.own.claims.by_set.shift(key, old.map(set), new.map(set));
        world.follow_claim(key, change);
        let Some(new) = new else { return };
        // Its status is written by us; what a user changes bumps the generation.
        let same = old.is_some_and(|old| {
            old.metadata.generation == new.metadata.generation
                && old.metadata.is_leaving() == new.metadata.is_leaving()
        });
        if !same {
            wakes.usual(Subject::Claim(key.clone()));
        }
    }
}

impl World<Kruise> {
    /// Wakes the claims that name this set and have not all they asked for.
    pub(super) fn wake_unserved(&self, set: &Key, wakes: &mut Wakes) {
        for key in self.own.claims.by_set.of(set) {
            if self.claims.get(key).is_some_and(|claim| claim.status.completion_time.is_none()) {
                wakes.usual(Subject::Claim(key.clone()));
            }
        }
    }
}
