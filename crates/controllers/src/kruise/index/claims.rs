//! Claims: whom a change of one wakes, and which changes of others wake them.

use dialects::condition::{Condition, find, withdrawn};
use dialects::kruise::claim::URGENT;
use dialects::kruise::types::SandboxClaimStatus;
use dialects::kruise::{Sandbox, SandboxClaim, keys, runtime};
use engine::{Holder, Key};

use crate::family;
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
        world.own.claims.by_set.shift(
            key,
            old.map(SandboxClaim::set_key),
            new.map(SandboxClaim::set_key),
        );
        world.follow_claim(key, change);
        let Some(new) = new else { return };
        // Its status is written by us; what a user changes bumps the generation. What was said and is taken back is said again: a client can overwrite it too.
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

/// Whether a status says less than before, which none of ours ever does.
fn is_taken_back(old: &SandboxClaimStatus, new: &SandboxClaimStatus) -> bool {
    let over = |status: &SandboxClaimStatus| status.phase == "Completed";
    new.claimed_replicas < old.claimed_replicas
        || new.sandboxes.len() < old.sandboxes.len()
        || (over(old) && !over(new))
        || (old.claim_start_time.is_some() && new.claim_start_time.is_none())
        || (!over(new) && withdrawn(&old.conditions, &new.conditions))
}

impl World<Kruise> {
    /// Wakes the claims of a set that are not over: the set appeared, or it means something else now.
    pub(super) fn wake_unserved(&self, set: &Key, wakes: &mut Wakes) {
        for key in self.own.claims.by_set.of(set) {
            if self.claims.get(key).is_some_and(|claim| claim.status.phase != "Completed") {
                wakes.usual(Subject::Claim(key.clone()));
            }
        }
    }

    /// A sandbox changed: wakes the claim that has it, or had it, if it is not over. One that is over counts nothing any more.
    pub(super) fn wake_claim_of(&mut self, key: &Key, change: &Change<Sandbox>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        if let Some(new) = new {
            self.observe_start_for_claim(key, new);
        }
        let claim = |sandbox: Option<&Sandbox>| {
            let holder = sandbox.map(<Sandbox as family::Sandbox<Kruise>>::holder);
            let Some(Holder::Claim(uid)) = holder else { return None };
            let key = self.claim_of_uid.get(&uid)?;
            self.claims.get(key).is_some_and(|it| it.status.phase != "Completed").then_some(key)
        };
        let (before, after) = (claim(old), claim(new));
        if before == after && old.map(concerns) == new.map(concerns) {
            return;
        }
        // A sandbox that we are giving to the claim right now comes back here before, or after, the answer to that write. Whoever writes knows.
        let handing_out = new.is_some_and(|new| self.ledger.is_handing_out(&new.metadata.uid()));
        let after = after.filter(|after| !(handing_out && before != Some(*after)));
        for claim in [before, after].into_iter().flatten() {
            wakes.usual(Subject::Claim(claim.clone()));
        }
    }

    fn observe_start_for_claim(&mut self, key: &Key, sandbox: &Sandbox) {
        let metadata = &sandbox.metadata;
        let urgent = metadata.annotations.get(keys::PRIORITY).is_some_and(|it| it == URGENT);
        let ready = find(&sandbox.status.conditions, "Ready").is_some_and(Condition::is_true);
        if let (true, true, Some(set)) = (urgent, ready, metadata.labels.get(keys::POOL)) {
            self.observe_cold_start(key, key.sibling(set));
        }
    }
}

/// What a claim looks at in a sandbox of its own.
fn concerns(sandbox: &Sandbox) -> impl PartialEq {
    let status = &sandbox.status;
    let condition = |kind: &str| {
        find(&status.conditions, kind)
            .map(|it| (it.status.clone(), it.reason.clone(), it.message.clone()))
    };
    (
        sandbox.metadata.is_leaving(),
        sandbox.metadata.generation,
        sandbox.metadata.labels.get(keys::RESERVED_FAILED).cloned(),
        status.phase.clone(),
        status.observed_generation,
        [condition("Ready"), condition("InplaceUpdate"), condition(runtime::CONDITION)],
    )
}
