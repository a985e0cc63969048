//! Sandboxes and what they are made of.

use dialects::condition::{Condition, find, withdrawn};
use dialects::pod::Pod;
use dialects::x_k8s::{Sandbox, keys, revision};
use engine::{Holder, Key, Member, Stage, Uid};
use std::sync::Arc;

use super::child::{Service, Volume};
use super::table::{Change, Table};
use super::wakes::Wakes;
use super::world::Labelled;
use super::{Indexed, World};
use crate::metrics::SandboxLabels;
use crate::queue::Priority;
use crate::subject::Subject;

impl Indexed for Sandbox {
    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.sandboxes
    }

    fn changed(world: &mut World, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        world.sandboxes_by_holder.shift(key, old.and_then(holder_uid), new.and_then(holder_uid));
        world.sandboxes_by_label.shift(
            key,
            old.and_then(|s| pool_label(key, s)),
            new.and_then(|s| pool_label(key, s)),
        );
        if let Some(Holder::Pool(uid)) = old.map(Sandbox::holder)
            && new.map(Sandbox::holder) != Some(Holder::Pool(uid.clone()))
            && let Some(pool) = world.pool_of_uid.get(&uid)
            && let Some(shelf) = world.shelves.get_mut(pool)
        {
            shelf.remove(key);
        }
        world.follow_revision(key, old, new);
        if new.is_none() {
            world.first_seen.remove(key);
        } else if old.is_none() {
            world.first_seen.insert(key.clone(), world.clock.now());
        }
        if let Some(new) = new {
            world.observe_cold_start(key, new);
        }
        wake_itself(key, old, new, wakes);
        wake_claim(world, old, new, wakes);
        if new.is_none() {
            wake_namesake(world, key, wakes);
        }
        wake_pools(world, key, old, new, wakes);
        world.shelve(key, wakes);
        world.count(key, new);
    }
}

fn holder_uid(sandbox: &Sandbox) -> Option<Uid> {
    sandbox.metadata.controller().map(|owner| Uid::new(&owner.uid))
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

fn wake_claim(world: &World, old: Option<&Sandbox>, new: Option<&Sandbox>, wakes: &mut Wakes) {
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
fn wake_namesake(world: &World, key: &Key, wakes: &mut Wakes) {
    if world.claims.get(key).is_some_and(|claim| claim.status.sandbox.name.is_empty()) {
        wakes.usual(Subject::Claim(key.clone()));
    }
}

/// A pool counts its members by stage, revision and holder.
fn wake_pools(
    world: &mut World,
    key: &Key,
    old: Option<&Sandbox>,
    new: Option<&Sandbox>,
    wakes: &mut Wakes,
) {
    let counted = |sandbox: Option<&Sandbox>| {
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
    };
    if counted(old) == counted(new) {
        return;
    }
    for sandbox in [old, new].into_iter().flatten() {
        for pool in world.pools_of(key, sandbox) {
            wakes.usual(Subject::Pool(pool));
        }
    }
    // Seen under another owner: what was expected of it has come true.
    if let Some(new) = new
        && !matches!(new.holder(), Holder::Pool(_))
    {
        world.ledger.hand_out_settled(&new.metadata.uid());
    }
}

impl World {
    /// The pools that a sandbox belongs to: by owner, and by label.
    pub(super) fn pools_of(&self, key: &Key, sandbox: &Sandbox) -> Vec<Key> {
        let by_owner = match sandbox.holder() {
            Holder::Pool(uid) => self.pool_of_uid.get(&uid).cloned(),
            _ => None,
        };
        let by_label = pool_label(key, sandbox)
            .map(|label| self.pools_by_label.of(&label).cloned().collect::<Vec<_>>());
        let mut pools: Vec<Key> =
            by_owner.into_iter().chain(by_label.into_iter().flatten()).collect();
        pools.sort();
        pools.dedup();
        pools
    }

    /// When a sandbox that is not ready yet was first seen.
    pub fn first_seen(&self, sandbox: &Key) -> Option<jiff::Timestamp> {
        self.first_seen.get(sandbox).copied()
    }

    /// Keeps what a sandbox was made with. Its spec can only change with its generation.
    fn follow_revision(&mut self, key: &Key, old: Option<&Sandbox>, new: Option<&Sandbox>) {
        let Some(new) = new else {
            self.sandbox_revisions.remove(key);
            return;
        };
        let template =
            |sandbox: &Sandbox| sandbox.metadata.labels.get(keys::TEMPLATE_REF_HASH).cloned();
        let same = old.is_some_and(|old| {
            old.metadata.generation == new.metadata.generation && template(old) == template(new)
        });
        if !same || !self.sandbox_revisions.contains_key(key) {
            self.sandbox_revisions.insert(key.clone(), revision::of_sandbox(new));
        }
    }

    /// How long a sandbox that was started for a claim took to get ready.
    fn observe_cold_start(&mut self, key: &Key, sandbox: &Sandbox) {
        let cold =
            launch_type(sandbox) == "cold" && sandbox.ready().is_some_and(Condition::is_true);
        if let (true, Some(template)) = (cold, template_name(sandbox))
            && let Some(seen) = self.first_seen.remove(key)
        {
            let took = self.clock.now().duration_since(seen);
            self.cold_pace.entry(key.sibling(template)).or_default().observe(took);
        }
    }

    /// The pod of a sandbox, by ownership.
    pub fn pod_of(&self, uid: &Uid) -> Option<&Arc<Pod>> {
        self.pods_by_owner.of(uid).find_map(|key| self.pods.get(key))
    }

    /// A sandbox as its pool counts it.
    pub fn member(&self, key: &Key) -> Option<Member> {
        let sandbox = self.sandboxes.get(key)?;
        let trouble = self.pod_of(&sandbox.metadata.uid()).and_then(|pod| pod.trouble());
        let revision = self.sandbox_revisions.get(key)?.clone();
        Some(sandbox.member_of(revision, trouble))
    }

    /// A sandbox as claims see it: available only if its pod is ready at this moment, whatever its status said a moment ago, and placed by when it was first
    /// seen, which is finer than its creation time.
    pub fn shelf_member(&self, key: &Key) -> Option<Member> {
        let mut member = self.member(key)?;
        let pod_ready = self
            .pod_of(&member.uid)
            .is_some_and(|pod| pod.is_ready() && !pod.metadata.is_leaving());
        if member.is_available() && !pod_ready {
            member.stage = Stage::Creating(None);
        }
        if let Some(seen) = self.first_seen.get(key) {
            member.created = *seen;
        }
        Some(member)
    }

    /// Puts a sandbox where claims find it, if it is of a pool.
    pub(super) fn shelve(&mut self, key: &Key, wakes: &mut Wakes) {
        let Some(member) = self.shelf_member(key) else { return };
        let Holder::Pool(holder) = &member.holder else { return };
        let Some(pool) = self.pool_of_uid.get(holder).cloned() else { return };
        // A sandbox that is being given to a claim is off the shelf until it is known how that ended.
        if self.ledger.is_handing_out(&member.uid) {
            return;
        }
        let first_ready = if member.is_available() { self.first_seen.remove(key) } else { None };
        let Some(shelf) = self.shelves.get_mut(&pool) else { return };
        if let Some(seen) = first_ready {
            shelf.pace().observe(self.clock.now().duration_since(seen));
        }
        if shelf.observe(member) {
            for claim in shelf.served() {
                wakes.usual(Subject::Claim(claim.clone()));
            }
        }
    }

    /// Follows the gauge of sandboxes.
    fn count(&mut self, key: &Key, sandbox: Option<&Sandbox>) {
        let to = sandbox.map(|s| labels_of(key, s));
        let from = match &to {
            Some(to) => self.gauge.insert(key.clone(), to.clone()),
            None => self.gauge.remove(key),
        };
        if from != to {
            self.gauge_moves.push((from, to));
        }
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

impl Indexed for Pod {
    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.pods
    }

    fn changed(world: &mut World, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let owner = |pod: &Arc<Pod>| pod.metadata.controller().map(|owner| Uid::new(&owner.uid));
        world.pods_by_owner.shift(
            key,
            change.old.as_ref().and_then(owner),
            change.new.as_ref().and_then(owner),
        );
        if let (Some(old), Some(new)) = (&change.old, &change.new)
            && same_but_version(old, new)
        {
            return;
        }
        // The pod has the sandbox's name, unless an older controller gave it another one; then the owner says whose it is.
        let by_name = [key.clone()];
        let owners = [&change.old, &change.new].into_iter().flatten().filter_map(|pod| {
            let owner = pod.metadata.controller()?;
            Some(key.sibling(&owner.name))
        });
        let sandboxes: std::collections::BTreeSet<Key> =
            by_name.into_iter().chain(owners).collect();
        for sandbox in sandboxes {
            wake_owner(world, &sandbox, wakes);
            world.shelve(&sandbox, wakes);
            // A pool explains why its members don't get ready, which it reads from their pods.
            let trouble = |pod: &Option<Arc<Pod>>| pod.as_ref().and_then(|pod| pod.trouble());
            if trouble(&change.old) != trouble(&change.new)
                && let Some(object) = world.sandboxes.get(&sandbox).cloned()
            {
                for pool in world.pools_of(&sandbox, &object) {
                    wakes.usual(Subject::Pool(pool));
                }
            }
        }
    }
}

fn same_but_version(old: &Pod, new: &Pod) -> bool {
    let mut old = old.clone();
    old.metadata.resource_version.clone_from(&new.metadata.resource_version);
    old == *new
}

fn wake_owner(world: &World, sandbox: &Key, wakes: &mut Wakes) {
    if let Some(object) = world.sandboxes.get(sandbox) {
        wakes.add(Subject::Sandbox(sandbox.clone()), urgency_of(Some(object), object));
    }
}

macro_rules! child_of_sandbox {
    ($type:ty, $table:ident) => {
        impl Indexed for $type {
            fn table(world: &mut World) -> &mut Table<Self> {
                &mut world.$table
            }

            fn changed(world: &mut World, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
                let named = [&change.old, &change.new].into_iter().flatten().filter_map(|child| {
                    let owner = child.metadata.controller()?;
                    Some(key.sibling(&owner.name))
                });
                let owners: std::collections::BTreeSet<Key> = named.chain([key.clone()]).collect();
                for sandbox in owners {
                    wake_owner(world, &sandbox, wakes);
                }
            }
        }
    };
}

child_of_sandbox!(Service, services);
child_of_sandbox!(Volume, volumes);
