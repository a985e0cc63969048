//! Why this family's objects are in the state they are in, from object to object.

use dialects::condition::{Condition, find};
use dialects::x_k8s::SandboxWarmPool;
use dialects::x_k8s::build::policy;
use engine::Key;
use engine::claim::{Answer, ClaimPlan, Source};
use jiff::Timestamp;

use super::{XK8s, claim_view, sandbox};
use crate::index::World;
use crate::kinds::Kind;
use crate::why::{Link, Standing, missing, pod, pool, said};

/// Explains one object.
pub(super) fn explain(world: &World<XK8s>, kind: Kind, name: &Key, now: Timestamp) -> Option<Link> {
    let chain = Chain { world, now };
    Some(match kind {
        Kind::Claim => chain.claim(name),
        Kind::Pool => chain.pool(name),
        Kind::Template => chain.template(name),
        Kind::Sandbox => chain.sandbox(name),
        _ => return None,
    })
}

struct Chain<'a> {
    world: &'a World<XK8s>,
    now: Timestamp,
}

impl Chain<'_> {
    fn claim(&self, name: &Key) -> Link {
        let Some(claim) = self.world.claims.get(name) else { return missing(Kind::Claim, name) };
        let view = claim_view::view(self.world, claim);
        let plan = engine::claim::plan(&view, self.now);
        let ready = find(&claim.status.conditions, "Ready");
        let mut depends_on = Vec::new();
        match (&plan.answer, plan.actions.is_empty()) {
            (Answer::Bound { sandbox, .. }, true) => depends_on.push(self.sandbox(sandbox)),
            _ => match &view.source {
                Source::PoolMissing { name } => depends_on.push(missing(Kind::Pool, name)),
                Source::TemplateMissing { name } => depends_on.push(missing(Kind::Template, name)),
                Source::Found { offers, .. } => {
                    depends_on.extend(offers.iter().map(|offer| self.pool(&offer.pool)))
                }
            },
        }
        Link {
            kind: Kind::Claim,
            name: name.clone(),
            standing: standing_of_claim(&plan, ready),
            summary: said(ready),
            reasons: plan.reasons,
            again_at: plan.wake_at,
            depends_on,
        }
    }

    fn pool(&self, name: &Key) -> Link {
        let template = |pool: &SandboxWarmPool| Some(self.template(&pool.template_key()));
        pool::explain(self.world, name, self.now, template, |member| self.sandbox(member))
    }

    fn template(&self, name: &Key) -> Link {
        let Some(template) = self.world.templates.get(name) else {
            return missing(Kind::Template, name);
        };
        let policy_key = name.sibling(dialects::x_k8s::template::policy_name(&name.name));
        let existing = self.world.own.policies.get(&policy_key);
        let options = &self.world.own.options;
        let view =
            template.view(existing.map(|p| policy::view(template, &p.metadata, &p.spec, options)));
        let plan = engine::template::plan(&view);
        let revision = self.world.revision_of(name).map(ToString::to_string).unwrap_or_default();
        Link {
            kind: Kind::Template,
            name: name.clone(),
            standing: Standing::Well,
            summary: format!("revision {revision}"),
            reasons: plan.reasons,
            again_at: None,
            depends_on: Vec::new(),
        }
    }

    fn sandbox(&self, name: &Key) -> Link {
        let Some(sandbox) = self.world.sandboxes.get(name) else {
            return missing(Kind::Sandbox, name);
        };
        let plan = engine::sandbox::plan(&sandbox::view(self.world, sandbox, None), self.now);
        let ready = sandbox.ready();
        let standing = match ready {
            Some(ready) if ready.is_true() => Standing::Well,
            Some(ready) if ready.reason == "SandboxSuspended" => Standing::Well,
            Some(ready) if ready.reason == "DependenciesNotReady" => Standing::Waiting,
            Some(_) => Standing::Stuck,
            None => Standing::Waiting,
        };
        let depends_on: Vec<Link> = self
            .world
            .pod_of(&sandbox.metadata.uid())
            .map(|pod| pod::explain(pod))
            .into_iter()
            .collect();
        // A sandbox that waits for a pod in trouble is in trouble.
        let standing =
            depends_on.iter().map(|link| link.standing).fold(standing, |all, pod| match all {
                Standing::Waiting => all.max(pod),
                _ => all,
            });
        Link {
            kind: Kind::Sandbox,
            name: name.clone(),
            standing,
            summary: format!("{}, {}", pool::holder(self.world, sandbox), said(ready)),
            reasons: plan.reasons,
            again_at: plan.wake_at,
            depends_on,
        }
    }
}

fn standing_of_claim(plan: &ClaimPlan, ready: Option<&Condition>) -> Standing {
    match &plan.answer {
        Answer::Bound { .. }
            if plan.actions.is_empty() && ready.is_some_and(Condition::is_true) =>
        {
            Standing::Well
        }
        Answer::Bound { .. } | Answer::Waiting(_) | Answer::Silent => Standing::Waiting,
        Answer::Refused(_) | Answer::Ended(_) => Standing::Stuck,
    }
}
