//! From object to object.

use std::sync::Arc;

use dialects::condition::{Condition, find};
use dialects::pod::Pod;
use dialects::x_k8s::Sandbox;
use dialects::x_k8s::build::policy;
use engine::backoff::Backoff;
use engine::claim::{Answer, ClaimPlan, Source};
use engine::pool::Settings;
use engine::sandbox::PodPhase;
use engine::{Code, ConditionKind, Holder, Key, Reason, Verdict, WaitsFor};
use jiff::Timestamp;

use super::{Link, Snapshot, Standing, WhyError};
use crate::index::World;
use crate::kinds::Kind;
use crate::reconcile;

/// Members of a pool that are shown. They usually have the same trouble.
const SHOWN: usize = 3;

/// Explains one object of a listing.
///
/// # Errors
/// If objects of this kind have no explanation.
pub fn explain(
    snapshot: &Snapshot,
    kind: Kind,
    name: &Key,
    now: Timestamp,
) -> Result<Link, WhyError> {
    if let Some((_, _, error)) =
        snapshot.undecodable.iter().find(|(k, key, _)| *k == kind && key == name)
    {
        let summary = format!("it can't be read and is left out: {error}");
        return Ok(Link { standing: Standing::Stuck, summary, ..missing(kind, name) });
    }
    let chain = Chain { world: &snapshot.world(), now };
    Ok(match kind {
        Kind::Claim => chain.claim(name),
        Kind::Pool => chain.pool(name),
        Kind::Template => chain.template(name),
        Kind::Sandbox => chain.sandbox(name),
        Kind::Pod => {
            chain.world.pods.get(name).map_or_else(|| missing(kind, name), |pod| chain.pod(pod))
        }
        Kind::Service | Kind::Volume | Kind::NetworkPolicy => return Err(WhyError::Kind(kind)),
    })
}

fn missing(kind: Kind, name: &Key) -> Link {
    Link {
        kind,
        name: name.clone(),
        standing: Standing::Missing,
        summary: "it does not exist".to_owned(),
        reasons: Vec::new(),
        again_at: None,
        depends_on: Vec::new(),
    }
}

struct Chain<'a> {
    world: &'a World,
    now: Timestamp,
}

impl Chain<'_> {
    fn claim(&self, name: &Key) -> Link {
        let Some(claim) = self.world.claims.get(name) else { return missing(Kind::Claim, name) };
        let view = reconcile::claim_view::view(self.world, claim);
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
        let Some(pool) = self.world.pools.get(name) else { return missing(Kind::Pool, name) };
        // Failures in a row are memory of a running controller; what they led to shows in the pool's own conditions.
        let view = reconcile::pool::view(self.world, pool, Backoff::default(), Settings::default());
        let plan = engine::pool::plan(&view, self.now);
        let verdict =
            |kind| plan.status.conditions.iter().find(|c| c.kind == kind).map(|c| c.verdict);
        let standing =
            match (verdict(ConditionKind::Available), verdict(ConditionKind::Progressing)) {
                (Some(Verdict::True), _) => Standing::Well,
                (_, Some(Verdict::False)) => Standing::Stuck,
                _ => Standing::Waiting,
            };
        let counts = plan.status.counts;
        let mut depends_on = vec![self.template(&pool.template_key())];
        let unready = view.members.iter().filter(|member| {
            matches!(member.holder, Holder::Pool(_))
                && !member.is_available()
                && !member.is_leaving()
        });
        depends_on.extend(unready.take(SHOWN).map(|member| self.sandbox(&member.key)));
        Link {
            kind: Kind::Pool,
            name: name.clone(),
            standing,
            summary: format!(
                "{} of {} ready, {} starting, {} failed, {} leaving",
                counts.available,
                plan.status.desired,
                counts.creating,
                counts.failed,
                counts.leaving
            ),
            reasons: plan.reasons,
            again_at: plan.wake_at,
            depends_on,
        }
    }

    fn template(&self, name: &Key) -> Link {
        let Some(template) = self.world.templates.get(name) else {
            return missing(Kind::Template, name);
        };
        let policy_key = name.sibling(dialects::x_k8s::template::policy_name(&name.name));
        let existing = self.world.policies.get(&policy_key);
        let options = &self.world.options;
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
        let plan =
            engine::sandbox::plan(&reconcile::sandbox::view(self.world, sandbox, None), self.now);
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
            .map(|pod| self.pod(pod))
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
            summary: format!("{}, {}", self.holder(sandbox), said(ready)),
            reasons: plan.reasons,
            again_at: plan.wake_at,
            depends_on,
        }
    }

    fn holder(&self, sandbox: &Sandbox) -> String {
        let name = |map: &std::collections::BTreeMap<engine::Uid, Key>, uid| {
            map.get(uid).map(|key| key.name.to_string())
        };
        match sandbox.holder() {
            Holder::Nobody => "held by nobody".to_owned(),
            Holder::Other => "held by something else".to_owned(),
            Holder::Pool(uid) => match name(&self.world.pool_of_uid, &uid) {
                Some(pool) => format!("warm in pool {pool}"),
                None => "of a pool that is gone".to_owned(),
            },
            Holder::Claim(uid) => match name(&self.world.claim_of_uid, &uid) {
                Some(claim) => format!("held by claim {claim}"),
                None => "held by a claim that is gone".to_owned(),
            },
        }
    }

    fn pod(&self, pod: &Arc<Pod>) -> Link {
        let trouble = pod.trouble();
        let phase = pod.phase();
        let standing = match (&trouble, phase) {
            (Some(_), _) | (None, PodPhase::Failed | PodPhase::Unknown) => Standing::Stuck,
            (None, PodPhase::Running) if pod.is_ready() => Standing::Well,
            (None, PodPhase::Succeeded) => Standing::Well,
            (None, PodPhase::Pending | PodPhase::Running) => Standing::Waiting,
        };
        let place =
            pod.node().map_or("on no node yet".to_owned(), |node| format!("on node {node}"));
        let reasons = trouble.map(|trouble| {
            let code = match trouble.kind {
                engine::TroubleKind::ImagePull => Code::ImagePull,
                engine::TroubleKind::ConfigError => Code::ConfigError,
                engine::TroubleKind::CrashLoop => Code::CrashLoop,
                engine::TroubleKind::Unschedulable => Code::Unschedulable,
                engine::TroubleKind::SchedulingGated => Code::SchedulingGated,
            };
            let waits = if trouble.kind.is_waiting_for_a_place() {
                WaitsFor::Capacity
            } else {
                WaitsFor::Edit
            };
            Reason::new(code, trouble.message).waiting_for(waits)
        });
        Link {
            kind: Kind::Pod,
            name: pod.metadata.key(),
            standing,
            summary: format!("{}, {place}", phase.as_str()),
            reasons: reasons.into_iter().collect(),
            again_at: None,
            depends_on: Vec::new(),
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

/// What a Ready condition says, in one line.
fn said(ready: Option<&Condition>) -> String {
    match ready {
        None => "nothing was reported yet".to_owned(),
        Some(ready) if ready.is_true() => format!("ready: {}", ready.message),
        Some(ready) => format!("not ready: {}: {}", ready.reason, ready.message),
    }
}
