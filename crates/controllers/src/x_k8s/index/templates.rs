//! Templates, what they mean, and their network policies.

use dialects::x_k8s::SandboxTemplate;
use engine::Key;

use crate::index::child::NetworkPolicy;
use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::{Indexed, World};
use crate::subject::Subject;
use crate::x_k8s::XK8s;

impl Indexed<XK8s> for SandboxTemplate {
    fn table(world: &mut World<XK8s>) -> &mut Table<Self> {
        &mut world.templates
    }

    fn changed(world: &mut World<XK8s>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
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
        let revision = new.map(|template| template.revision(&world.own.options));
        let known = world.own.revisions.get(key).cloned();
        match &revision {
            Some(revision) => world.own.revisions.insert(key.clone(), revision.clone()),
            None => world.own.revisions.remove(key),
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

impl Indexed<XK8s> for NetworkPolicy {
    fn table(world: &mut World<XK8s>) -> &mut Table<Self> {
        &mut world.own.policies
    }

    fn changed(world: &mut World<XK8s>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
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

impl World<XK8s> {
    /// What a template means now, if it exists.
    pub fn revision_of(&self, template: &Key) -> Option<&engine::Revision> {
        self.own.revisions.get(template)
    }
}
