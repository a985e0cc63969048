//! Templates, what they mean, and their network policies.

use dialects::x_k8s::SandboxTemplate;
use engine::Key;

use super::child::NetworkPolicy;
use super::table::{Change, Table};
use super::wakes::Wakes;
use super::{Indexed, World};
use crate::subject::Subject;

impl Indexed for SandboxTemplate {
    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.templates
    }

    fn changed(world: &mut World, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let same = match (old, new) {
            (Some(old), Some(new)) => {
                old.metadata.generation == new.metadata.generation
                    && old.metadata.labels == new.metadata.labels
                    && old.metadata.is_leaving() == new.metadata.is_leaving()
            }
            _ => false,
        };
        if same {
            return;
        }
        if new.is_some() {
            wakes.usual(Subject::Template(key.clone()));
        } else {
            world.ledger.forget(&Subject::Template(key.clone()));
            world.cold_pace.remove(key);
        }
        let revision = new.map(|template| template.revision(&world.options));
        let known = world.revisions.get(key).cloned();
        match &revision {
            Some(revision) => world.revisions.insert(key.clone(), revision.clone()),
            None => world.revisions.remove(key),
        };
        // Only what a template means concerns its pools; claims also look at what it lets them change.
        if known != revision || old.map(policies) != new.map(policies) {
            world.follow_template(key, wakes);
        }
    }
}

fn policies(template: &SandboxTemplate) -> impl PartialEq + use<> {
    let spec = &template.spec;
    (
        spec.env_vars_injection_policy,
        spec.volume_claim_templates_policy,
        spec.blueprint.pod_template.metadata.clone(),
    )
}

impl Indexed for NetworkPolicy {
    fn table(world: &mut World) -> &mut Table<Self> {
        &mut world.policies
    }

    fn changed(world: &mut World, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let owners = [&change.old, &change.new].into_iter().flatten().filter_map(|policy| {
            let owner = policy.metadata.controller()?;
            Some(key.sibling(&owner.name))
        });
        let named = key.name.strip_suffix("-network-policy").map(|template| key.sibling(template));
        for template in owners.chain(named) {
            if world.templates.get(&template).is_some() {
                wakes.usual(Subject::Template(template));
            }
        }
    }
}

impl World {
    /// What a template means now, if it exists.
    pub fn revision_of(&self, template: &Key) -> Option<&engine::Revision> {
        self.revisions.get(template)
    }
}
