//! Why this family's objects are in the state they are in, from object to object.

use dialects::condition::{Condition, find};
use dialects::kruise::sandbox::Running;
use dialects::kruise::{SandboxClaim, SandboxSet};
use engine::Key;
use engine::backoff::Backoff;
use engine::batch::{Content, HoldingState, Source};
use jiff::Timestamp;

use super::claim_view::{Overlay, Seen};
use super::{Kruise, claim_view, sandbox};
use crate::index::World;
use crate::kinds::Kind;
use crate::why::pool::SHOWN;
use crate::why::{Link, Standing, missing, pod, pool, said};

/// Explains one object.
pub(super) fn explain(
    world: &World<Kruise>,
    kind: Kind,
    name: &Key,
    now: Timestamp,
) -> Option<Link> {
    let chain = Chain { world, now };
    Some(match kind {
        Kind::KruiseClaim => chain.claim(name),
        Kind::SandboxSet => chain.set(name),
        Kind::KruiseTemplate => chain.template(name),
        Kind::KruiseSandbox => chain.sandbox(name),
        _ => return None,
    })
}

struct Chain<'a> {
    world: &'a World<Kruise>,
    now: Timestamp,
}

impl Chain<'_> {
    fn claim(&self, name: &Key) -> Link {
        // Failures in a row are memory of a running controller; they only make it pause.
        let seen = claim_view::view(self.world, name, &Overlay::default(), Backoff::default());
        let Some(Seen { claim, view, .. }) = seen else {
            return missing(Kind::KruiseClaim, name);
        };
        let plan = engine::batch::plan(&view, self.now);
        let over = claim.status.completion_time.is_some();
        let mut depends_on = Vec::new();
        // What it has is shown when it is over, and before that what is still being made ready for it.
        let held = view.held.iter().filter(|held| over || held.state != HoldingState::Done);
        depends_on.extend(held.take(SHOWN).map(|held| self.sandbox(&held.key)));
        if !over {
            match &view.source {
                Source::PoolMissing { name } => depends_on.push(missing(Kind::SandboxSet, name)),
                Source::Found { lot, .. } => depends_on.push(self.set(&lot.pool)),
            }
        }
        Link {
            kind: Kind::KruiseClaim,
            name: name.clone(),
            standing: standing_of_claim(&claim, &view.content),
            summary: told(&claim.status.phase, &claim.status.message),
            reasons: plan.reasons,
            again_at: plan.wake_at,
            depends_on,
        }
    }

    fn set(&self, name: &Key) -> Link {
        // A set that spells its template out is its own template.
        let template = |set: &SandboxSet| {
            let named = set.spec.block.template_ref.as_ref()?;
            Some(self.template(&name.sibling(&named.name)))
        };
        pool::explain(self.world, name, self.now, template, |member| self.sandbox(member))
    }

    fn template(&self, name: &Key) -> Link {
        let Some(template) = self.world.templates.get(name) else {
            return missing(Kind::KruiseTemplate, name);
        };
        let summary = match template.metadata.controller() {
            Some(set) => format!("what set {} made its sandboxes from", set.name),
            None => "written by people".to_owned(),
        };
        Link { standing: Standing::Well, summary, ..missing(Kind::KruiseTemplate, name) }
    }

    fn sandbox(&self, name: &Key) -> Link {
        let Some(object) = self.world.sandboxes.get(name) else {
            return missing(Kind::KruiseSandbox, name);
        };
        // What is under way is memory of a running controller.
        let view = sandbox::view(self.world, object, None, Running::default());
        let plan = engine::lifecycle::plan(&view, self.now);
        let status = &object.status;
        let ready = find(&status.conditions, "Ready");
        let standing = match status.phase.as_str() {
            "Running" if ready.is_some_and(Condition::is_true) => Standing::Well,
            "Paused" | "Succeeded" => Standing::Well,
            "Failed" => Standing::Stuck,
            _ => Standing::Waiting,
        };
        let pod = self.world.pods.get(name).map(|pod| pod::explain(pod));
        // A sandbox that waits for a pod in trouble is in trouble.
        let standing = match (&pod, standing) {
            (Some(pod), Standing::Waiting) => standing.max(pod.standing),
            _ => standing,
        };
        let holder = pool::holder(self.world, object);
        let phase = told(&status.phase, &status.message);
        let summary = match ready {
            Some(ready) => format!("{holder}, {phase}, {}", said(Some(ready))),
            None => format!("{holder}, {phase}"),
        };
        Link {
            kind: Kind::KruiseSandbox,
            name: name.clone(),
            standing,
            summary,
            reasons: plan.reasons,
            again_at: plan.wake_at,
            depends_on: pod.into_iter().collect(),
        }
    }
}

fn standing_of_claim(claim: &SandboxClaim, content: &Content) -> Standing {
    let status = &claim.status;
    match content {
        _ if status.claimed_replicas >= claim.spec.replicas => Standing::Well,
        // There is no failure in this family: a claim that got too few is over.
        _ if status.completion_time.is_some() => Standing::Stuck,
        Content::Refused(_) => Standing::Stuck,
        Content::Plain => Standing::Waiting,
    }
}

/// A phase and what was said beside it.
fn told(phase: &str, message: &str) -> String {
    match (phase, message) {
        ("", _) => "nothing was reported yet".to_owned(),
        (phase, "") => phase.to_owned(),
        (phase, message) => format!("{phase}: {message}"),
    }
}
