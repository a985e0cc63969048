//! Sandboxes: whom a change of one concerns.

use dialects::condition::{Condition, find, withdrawn};
use dialects::x_k8s::{Sandbox, keys, revision};
use engine::{Holder, Key};

use crate::index::child::Service;
use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::world::Labelled;
use crate::index::{Indexed, World};
use crate::metrics::SandboxLabels;
use crate::queue::Priority;
use crate::subject::Subject;
use crate::x_k8s::XK8s;

impl Indexed<XK8s> for Sandbox {
    fn table(world: &mut World<XK8s>) -> &mut Table<Self> {
        &mut world.sandboxes
    }

    fn changed(world: &mut World<XK8s>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        world.follow_sandbox(key, change);
        world.own.sandboxes_by_label.shift(
            key,
            old.and_then(|s| pool_label(key, s)),
            new.and_then(|s| pool_label(key, s)),
        );
        world.follow_revision(key, old, new);
        if let Some(new) = new {
            let cold = launch_type(new) == "cold" && new.ready().is_some_and(Condition::is_true);
            if let (true, Some(template)) = (cold, template_name(new)) {
                world.observe_cold_start(key, key.sibling(template));
            }
        }
        wake_itself(key, old, new, wakes);
        wake_claim(world, old, new, wakes);
        if new.is_none() {
            wake_namesake(world, key, wakes);
        }
        if counted(old) != counted(new) {
            world.wake_pools(change, wakes);
            if let Some(new) = new {
                world.settle_hand_out(new);
            }
        }
        world.shelve(key, wakes);
        world.count(key, new);
    }
}

fn pool_label(key: &Key, sandbox: &Sandbox) -> Option<Labelled> {
    sandbox.metadata.labels.get(keys::POOL).map(|hash| (key.namespace.clone(), hash.clone()))
}

/// A sandbox is looked at again when something changed that its pod, service or volumes depend on. Its own status is none of that: we wrote
/// it. Only a condition that is gone from it makes us say it again, because a client can overwrite the status too.
fn wake_itself(key: &Key, old: Option<&Sandbox>, new: Option<&Sandbox>, wakes: &mut Wakes) {
    let Some(new) = new else { return };
    let same = old.is_some_and(|old| {
        old.metadata.generation == new.metadata.generation
            && old.metadata.owner_references == new.metadata.owner_references
            && old.metadata.labels == new.metadata.labels
            && old.metadata.annotations == new.metadata.annotations
            && old.metadata.is_leaving() == new.metadata.is_leaving()
            && !withdrawn(&old.status.conditions, &new.status.conditions)
    });
    if !same {
        wakes.add(Subject::Sandbox(key.clone()), urgency_of(old, new));
    }
}

/// A sandbox that is started for a claim is somebody's wait. One that a claim just took runs already; what is left to do for it can wait.
pub fn urgency_of(old: Option<&Sandbox>, new: &Sandbox) -> Priority {
    match new.holder() {
        Holder::Claim(_) if old.is_none() || !new.ready().is_some_and(Condition::is_true) => {
            Priority::Urgent
        }
        _ => Priority::Background,
    }
}

/// What a claim's status says about its sandbox. Only a change of this concerns the claim. The generation that the Ready condition speaks of is not part of
/// it: a claim puts its own there, and binding a sandbox changes the sandbox's.
fn mirrored(sandbox: &Sandbox) -> (Option<Condition>, Option<&Condition>, &[String], bool) {
    let conditions = &sandbox.status.conditions;
    let ready =
        sandbox.ready().map(|ready| Condition { observed_generation: None, ..ready.clone() });
    (ready, find(conditions, "Finished"), &sandbox.status.pod_ips, sandbox.metadata.is_leaving())
}

fn wake_claim(
    world: &World<XK8s>,
    old: Option<&Sandbox>,
    new: Option<&Sandbox>,
    wakes: &mut Wakes,
) {
    let claim = |sandbox: Option<&Sandbox>| match sandbox.map(Sandbox::holder) {
        Some(Holder::Claim(uid)) => world.claim_of_uid.get(&uid).cloned(),
        _ => None,
    };
    let (before, after) = (claim(old), claim(new));
    match (&before, &after) {
        (Some(before), Some(after)) if before == after => {
            if old.map(mirrored) != new.map(mirrored) {
                wakes.usual(Subject::Claim(after.clone()));
            }
        }
        _ => {
            // A sandbox that we are giving to the claim right now comes back here before, or after, the answer to that write. Whoever writes knows; a second
            // look would only find that all is done.
            let handing_out =
                new.is_some_and(|new| world.ledger.is_handing_out(&new.metadata.uid()));
            if let Some(after) = after.filter(|_| !handing_out) {
                wakes.usual(Subject::Claim(after));
            }
            if let Some(before) = before {
                wakes.usual(Subject::Claim(before));
            }
        }
    }
}

/// A claim's cold sandbox has the claim's name. A claim that has nothing yet may have been refused because the name was taken, by the sandbox of an earlier claim
/// of that name or by a stranger's; now it is free, and nobody else would tell the claim.
fn wake_namesake(world: &World<XK8s>, key: &Key, wakes: &mut Wakes) {
    if world.claims.get(key).is_some_and(|claim| claim.status.sandbox.name.is_empty()) {
        wakes.usual(Subject::Claim(key.clone()));
    }
}

/// What a pool counts its members by.
fn counted(sandbox: Option<&Sandbox>) -> impl PartialEq + use<> {
    sandbox.map(|s| {
        let ready = s.ready().map(|c| (c.status.clone(), c.reason.clone()));
        (
            s.holder(),
            s.metadata.labels.get(keys::POOL).cloned(),
            s.metadata.generation,
            ready,
            s.metadata.is_leaving(),
        )
    })
}

impl World<XK8s> {
    /// The pools that a sandbox belongs to: by owner, and by label.
    pub(in crate::x_k8s) fn pools_of(&self, sandbox: &Sandbox) -> Vec<Key> {
        let by_owner = match sandbox.holder() {
            Holder::Pool(uid) => self.pool_of_uid.get(&uid).cloned(),
            _ => None,
        };
        let by_label = pool_label(&sandbox.metadata.key(), sandbox)
            .map(|label| self.own.pools_by_label.of(&label).cloned().collect::<Vec<_>>());
        let mut pools: Vec<Key> =
            by_owner.into_iter().chain(by_label.into_iter().flatten()).collect();
        pools.sort();
        pools.dedup();
        pools
    }

    /// Keeps what a sandbox was made with. Its spec can only change with its generation.
    fn follow_revision(&mut self, key: &Key, old: Option<&Sandbox>, new: Option<&Sandbox>) {
        let revisions = &mut self.own.sandbox_revisions;
        let Some(new) = new else {
            revisions.remove(key);
            return;
        };
        let template =
            |sandbox: &Sandbox| sandbox.metadata.labels.get(keys::TEMPLATE_REF_HASH).cloned();
        let same = old.is_some_and(|old| {
            old.metadata.generation == new.metadata.generation && template(old) == template(new)
        });
        if !same || !revisions.contains_key(key) {
            revisions.insert(key.clone(), revision::of_sandbox(new));
        }
    }

    /// Follows the gauge of sandboxes.
    fn count(&mut self, key: &Key, sandbox: Option<&Sandbox>) {
        let to = sandbox.map(|s| labels_of(key, s));
        let from = match &to {
            Some(to) => self.own.gauge.insert(key.clone(), to.clone()),
            None => self.own.gauge.remove(key),
        };
        self.metrics.sandbox_moved(from.as_ref(), to.as_ref());
    }
}

fn labels_of(key: &Key, sandbox: &Sandbox) -> SandboxLabels {
    let truth = |holds: bool| if holds { "true" } else { "false" };
    SandboxLabels {
        namespace: key.namespace.to_string(),
        ready_condition: truth(sandbox.ready().is_some_and(Condition::is_true)),
        expired: truth(sandbox.is_expired()),
        launch_type: launch_type(sandbox),
        sandbox_template: template_name(sandbox).unwrap_or("unknown").to_owned(),
        owned_by: match sandbox.holder() {
            Holder::Claim(_) => "SandboxClaim",
            Holder::Pool(_) => "SandboxWarmPool",
            Holder::Nobody | Holder::Other => "None",
        },
        created_by: created_by(sandbox.metadata.labels.get(keys::CREATED_BY)),
    }
}

/// The launch type as metrics name it.
#[must_use]
pub fn launch_type(sandbox: &Sandbox) -> &'static str {
    match sandbox.metadata.labels.get(keys::LAUNCH_TYPE).map(String::as_str) {
        Some("warm") => "warm",
        Some("cold") => "cold",
        _ => "unknown",
    }
}

/// The template a sandbox was made from, as it says.
#[must_use]
pub fn template_name(sandbox: &Sandbox) -> Option<&str> {
    sandbox.metadata.annotations.get(keys::TEMPLATE_REF).map(String::as_str)
}

/// The client as metrics name it.
#[must_use]
pub fn created_by(label: Option<&String>) -> &'static str {
    match label.map(|value| keys::normalise_created_by(value)) {
        Some("go-client") => "go-client",
        Some("python-client") => "python-client",
        Some("controller") => "controller",
        _ => "unknown",
    }
}

impl Indexed<XK8s> for Service {
    fn table(world: &mut World<XK8s>) -> &mut Table<Self> {
        &mut world.own.services
    }

    fn changed(world: &mut World<XK8s>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        world.wake_owners(key, change, wakes);
    }
}
