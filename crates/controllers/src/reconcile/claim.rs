//! A claim: which sandbox it gets, and what it is told.
//!
//! A warm claim costs two writes until its client sees it ready: the one that makes it the owner of a sandbox, and its status, which carries the sandbox's
//! name, its addresses and its readiness together. The answer of the first write is the newest state of the sandbox there is, so nothing is waited for in
//! between. Annotations follow when nobody waits any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dialects::condition::{Condition, find};
use dialects::x_k8s::claim::{Choice, status_patch};
use dialects::x_k8s::types::SandboxClaimStatus;
use dialects::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, build, keys};
use engine::claim::{
    Answer, Cascade, ClaimAction, ClaimPlan, ClaimView, Content, Held, Refusal, Source,
};
use engine::{Key, Uid};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::bind::Bound;
use super::{Annotations, Failure, Reconciler};
use crate::act::{DeletePrecondition, Part, Propagation, Urgency, WriteError};
use crate::events::{Note, Severity};
use crate::index::World;
use crate::index::sandboxes::{created_by, launch_type, template_name};
use crate::kinds::Kind;
use crate::metrics::{Adoption, CreationLabels, LatencyLabels};
use crate::subject::Subject;

/// How many candidates a claim tries in one look. Each refused one was taken by somebody else a moment ago; after this many the index is far behind, and a
/// pause is better than another try.
const CANDIDATES: u32 = 8;

/// A claim, its template and the plan for it, made under one lock.
struct Planned {
    claim: Arc<SandboxClaim>,
    template: Option<Arc<SandboxTemplate>>,
    plan: ClaimPlan,
}

impl Reconciler {
    pub(super) async fn claim(self: &Arc<Self>, key: &Key) -> Result<Option<Timestamp>, Failure> {
        self.settle_lost_bind(key).await?;
        let done = self.serve(key).await;
        if let Err(Failure::Write { source: WriteError::Refused(message), verb, kind, .. }) = &done
        {
            self.tell_refusal(key, format!("Error seen: {verb} {kind}: {message}")).await;
        }
        done
    }

    /// A quota or a webhook said no. It is tried again after a pause, and the claim says meanwhile why nothing happens.
    async fn tell_refusal(&self, key: &Key, message: String) {
        let Some(claim) = self.index.world().claims.get(key).cloned() else { return };
        let answer =
            Answer::Refused(Refusal::Content { word: "ReconcilerError".to_owned(), message });
        let wanted = claim.next_status(&answer, None, self.clock.now());
        let Some(mut patch) = status_patch(&claim.status, &wanted) else { return };
        patch["metadata"] = json!({ "uid": claim.metadata.uid });
        if let Ok(written) =
            self.writer.patch(Kind::Claim, key, Part::Status, &patch, Urgency::Urgent).await
        {
            self.wrote(&Subject::Claim(key.clone()), Kind::Claim, &written);
        }
    }

    /// Plans and carries out, until the claim has an answer.
    async fn serve(self: &Arc<Self>, key: &Key) -> Result<Option<Timestamp>, Failure> {
        let subject = Subject::Claim(key.clone());
        for tried in 1..=CANDIDATES {
            if let Some(at) = self.hold_back(&subject) {
                return Ok(Some(at));
            }
            let Some(planned) = self.plan_claim(key) else { return Ok(None) };
            let Planned { claim, template, plan } = &planned;
            tracing::debug!(%subject, reasons = ?plan.reasons, "planned");
            let mut bound: Option<Sandbox> = None;
            let mut lost_race = false;
            for action in &plan.actions {
                match action {
                    ClaimAction::Bind { candidate, pool, why } => {
                        match self.bind(claim, template.as_deref(), candidate, pool, why).await? {
                            Bound::Yes(sandbox) => bound = Some(*sandbox),
                            Bound::TakenByOthers => lost_race = true,
                        }
                    }
                    ClaimAction::CreateCold { name, why } => {
                        let Some(template) = template.as_deref() else { continue };
                        bound = self.start_cold(claim, template, name, why).await?;
                    }
                    ClaimAction::DeleteSandbox { key, precondition, why } => {
                        tracing::info!(%subject, sandbox = %key, reason = %why, "removing");
                        self.index.world().ledger.deleting(
                            &subject,
                            Kind::Sandbox,
                            key,
                            &precondition.uid,
                            self.clock.now(),
                        );
                        let insist = DeletePrecondition::Unchanged(precondition);
                        let done = self
                            .writer
                            .delete(
                                Kind::Sandbox,
                                key,
                                insist,
                                Propagation::Background,
                                Urgency::Urgent,
                            )
                            .await;
                        if let Err(source) = done {
                            self.index.world().ledger.delete_settled(
                                &subject,
                                Kind::Sandbox,
                                &precondition.uid,
                            );
                            if !matches!(source, WriteError::Gone(_)) {
                                return Err(Failure::write("delete", Kind::Sandbox, key, source));
                            }
                        }
                    }
                    ClaimAction::DeleteClaim { precondition, cascade, why } => {
                        tracing::info!(%subject, reason = %why, "removing");
                        return self.delete_claim(&subject, &precondition.uid, *cascade).await;
                    }
                }
            }
            if lost_race {
                tracing::debug!(%subject, tried, "the candidate was taken by somebody else");
                continue;
            }
            return self.tell(&subject, &planned, bound).await;
        }
        Err(Failure::Contended { claim: key.clone(), tried: CANDIDATES })
    }

    /// Makes the view, plans, and takes the candidate off its shelf and the claim in or out of the line, all before anybody else looks.
    fn plan_claim(&self, key: &Key) -> Option<Planned> {
        let now = self.clock.now();
        let mut world = self.index.world();
        let claim = world.claims.get(key).cloned()?;
        let template =
            template_of(&world, &claim).and_then(|key| world.templates.get(&key)).cloned();
        let view = view(&world, &claim);
        let created = view.created;
        let plan = engine::claim::plan(&view, now);

        let waits = matches!(plan.answer, Answer::Waiting(_)) && !plan.actions.iter().any(takes);
        let lines = match &view.source {
            Source::Found { offers, .. } if waits => {
                offers.iter().map(|offer| offer.pool.clone()).collect()
            }
            _ => BTreeSet::new(),
        };
        world.stand_in_lines(key, created, lines);
        for action in &plan.actions {
            if let ClaimAction::Bind { candidate, pool, .. } = action {
                if let Some(shelf) = world.shelves.get_mut(pool) {
                    shelf.take(candidate);
                }
                world.ledger.handing_out(
                    &Subject::Pool(pool.clone()),
                    &candidate.key,
                    &candidate.precondition.uid,
                    now,
                );
            }
        }
        Some(Planned { claim, template, plan })
    }

    /// Starts a sandbox for the claim. `None` if the name is taken, perhaps by an earlier attempt of our own; the index shows whose it is.
    async fn start_cold(
        &self,
        claim: &SandboxClaim,
        template: &SandboxTemplate,
        name: &Key,
        why: &engine::Reason,
    ) -> Result<Option<Sandbox>, Failure> {
        let subject = Subject::Claim(claim.metadata.key());
        tracing::info!(%subject, sandbox = %name, reason = %why, "starting cold");
        let options = self.index.world().options.clone();
        let body = build::cold::cold(claim, template, &options).map_err(|error| {
            Failure::write("create", Kind::Sandbox, name, WriteError::Refused(error.to_string()))
        })?;
        self.index.world().ledger.creating(&subject, Kind::Sandbox, name, self.clock.now());
        match self.writer.create(Kind::Sandbox, &name.namespace, &body, Urgency::Urgent).await {
            Ok(written) => {
                self.wrote(&subject, Kind::Sandbox, &written);
                let sandbox: Sandbox = written
                    .object()
                    .map_err(|source| Failure::write("create", Kind::Sandbox, name, source))?;
                self.count_claim(claim, &sandbox, Adoption::Cold, pool_name(claim), Duration::ZERO);
                self.note(
                    claim,
                    Severity::Normal,
                    "SandboxProvisioned",
                    format!("Created Sandbox {:?}", &*name.name),
                );
                Ok(Some(sandbox))
            }
            Err(source) => {
                if source.is_certain() {
                    self.index.world().ledger.create_refused(&subject, Kind::Sandbox, name);
                } else {
                    self.memory.create_lost(&subject, Kind::Sandbox, name);
                }
                Err(Failure::write("create", Kind::Sandbox, name, source))
            }
        }
    }

    async fn delete_claim(
        &self,
        subject: &Subject,
        uid: &Uid,
        cascade: Cascade,
    ) -> Result<Option<Timestamp>, Failure> {
        let propagation = match cascade {
            Cascade::Background => Propagation::Background,
            Cascade::Foreground => Propagation::Foreground,
        };
        let key = subject.key();
        match self
            .writer
            .delete(Kind::Claim, key, DeletePrecondition::Life(uid), propagation, Urgency::Urgent)
            .await
        {
            Ok(()) | Err(WriteError::Gone(_)) => Ok(None),
            Err(source) => Err(Failure::write("delete", Kind::Claim, key, source)),
        }
    }

    /// Tells the claim its answer, then annotates it, then brings its sandbox's pod metadata up to date: in the order in which somebody waits for it.
    async fn tell(
        &self,
        subject: &Subject,
        planned: &Planned,
        fresh: Option<Sandbox>,
    ) -> Result<Option<Timestamp>, Failure> {
        let Planned { claim, template, plan } = planned;
        let now = self.clock.now();
        let just_bound = fresh.is_some();
        let sandbox = match (&plan.answer, fresh) {
            (_, Some(fresh)) => Some(Arc::new(fresh)),
            (Answer::Bound { sandbox, .. }, None) => {
                self.index.world().sandboxes.get(sandbox).cloned()
            }
            _ => None,
        };
        // A sandbox that was asked for and whose name is taken: the next look says by whom.
        if matches!(plan.answer, Answer::Bound { .. }) && sandbox.is_none() {
            return Ok(plan.wake_at.or(Some(now)));
        }
        let wanted = claim.next_status(&plan.answer, sandbox.as_deref(), now);
        if let Some(mut patch) = status_patch(&claim.status, &wanted) {
            patch["metadata"] = json!({ "uid": claim.metadata.uid });
            let begun = Instant::now();
            match self
                .writer
                .patch(Kind::Claim, subject.key(), Part::Status, &patch, Urgency::Urgent)
                .await
            {
                Ok(written) => {
                    self.wrote(subject, Kind::Claim, &written);
                    if just_bound {
                        self.metrics.published(begun.elapsed());
                    }
                    self.announce_claim(claim, &wanted, sandbox.as_deref(), now);
                    if is_turning_point(claim, &wanted) {
                        return Ok(Some(now));
                    }
                }
                Err(WriteError::Gone(_)) => return Ok(None),
                Err(source) => {
                    return Err(Failure::write("report", Kind::Claim, subject.key(), source));
                }
            }
        }
        if let (Answer::Bound { .. }, Some(sandbox)) = (&plan.answer, &sandbox) {
            self.follow_up(subject, claim, template.as_deref(), sandbox, &wanted, just_bound)
                .await?;
        }
        Ok(plan.wake_at)
    }

    async fn follow_up(
        &self,
        subject: &Subject,
        claim: &SandboxClaim,
        template: Option<&SandboxTemplate>,
        sandbox: &Sandbox,
        told: &SandboxClaimStatus,
        just_bound: bool,
    ) -> Result<(), Failure> {
        let now = self.clock.now();
        if is_ready(told) && self.tuning.annotations == Annotations::Lazily {
            let seen = self.index.world().claim_seen(subject.key()).unwrap_or(now);
            if let Some(patch) = build::bind::annotate(claim, sandbox, seen, now) {
                self.patch_later(subject, Kind::Claim, subject.key(), &patch).await?;
            }
        }
        // Editing a claim after it was bound changes its pod's metadata; a template's edit follows at that occasion.
        if let (Some(template), false) = (template, just_bound)
            && let Ok(Some(patch)) = build::bind::refresh(sandbox, claim, template)
        {
            self.patch_later(subject, Kind::Sandbox, &sandbox.metadata.key(), &patch).await?;
        }
        Ok(())
    }

    async fn patch_later(
        &self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        patch: &serde_json::Value,
    ) -> Result<(), Failure> {
        match self.writer.patch(kind, key, Part::Main, patch, Urgency::Background).await {
            Ok(written) => {
                self.wrote(subject, kind, &written);
                Ok(())
            }
            Err(WriteError::Gone(_)) => Ok(()),
            Err(source) => Err(Failure::write("patch", kind, key, source)),
        }
    }

    /// Latencies are recorded when a claim is ready for the first time; the annotation that follows is what says so later.
    fn announce_claim(
        &self,
        claim: &SandboxClaim,
        told: &SandboxClaimStatus,
        sandbox: Option<&Sandbox>,
        now: Timestamp,
    ) {
        let before = find(&claim.status.conditions, "Ready");
        let after = find(&told.conditions, "Ready");
        if after.is_some_and(|c| c.reason == "ClaimExpired")
            && before.is_none_or(|c| c.reason != "ClaimExpired")
        {
            self.note(claim, Severity::Normal, "ClaimExpired", "Claim expired".to_owned());
        }
        let first = !claim.metadata.annotations.contains_key(keys::CLAIM_FIRST_READY_AT);
        if !is_ready(told) || before.is_some_and(Condition::is_true) || !first {
            return;
        }
        let labels = LatencyLabels {
            launch_type: sandbox.map_or("unknown", launch_type),
            sandbox_template: sandbox.and_then(template_name).unwrap_or("__unknown__").to_owned(),
        };
        let since = |at: Timestamp| Duration::try_from(now.duration_since(at)).ok();
        let annotated = |key: &str| {
            claim.metadata.annotations.get(key).and_then(|text| text.parse().ok()).and_then(since)
        };
        let seen = self.index.world().claim_seen(&claim.metadata.key()).and_then(since);
        let controller = annotated(keys::CONTROLLER_FIRST_OBSERVED_AT).or(seen);
        let (webhook, client) = (
            annotated(keys::WEBHOOK_FIRST_OBSERVED_AT),
            annotated(keys::CLIENT_FIRST_REQUESTED_AT),
        );
        self.metrics.claim_ready(&labels, webhook, controller, client);
    }

    pub(super) fn count_claim(
        &self,
        claim: &SandboxClaim,
        sandbox: &Sandbox,
        adoption: Adoption,
        pool: String,
        took: Duration,
    ) {
        let namespace = &claim.metadata.namespace;
        self.metrics.adoption(namespace, &pool, adoption, took);
        self.metrics.claim_created(CreationLabels {
            namespace: namespace.clone(),
            sandbox_template: template_name(sandbox).unwrap_or("__unknown__").to_owned(),
            launch_type: launch_type(sandbox),
            warmpool_name: pool,
            pod_condition: if sandbox.ready().is_some_and(Condition::is_true) {
                "ready"
            } else {
                "not_ready"
            },
            created_by: created_by(claim.metadata.labels.get(keys::CREATED_BY)),
        });
    }

    pub(super) fn note(
        &self,
        claim: &SandboxClaim,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let (key, uid) = (claim.metadata.key(), claim.metadata.uid());
        self.events.note(Note { kind: Kind::Claim, key, uid, severity, reason, message });
    }
}

/// Whether what was just told is what the next step waits for: an end is announced before anything is removed, and a time to live counts from the
/// reported finish. Our own status wakes nobody, so the next look has to be asked for.
fn is_turning_point(claim: &SandboxClaim, told: &SandboxClaimStatus) -> bool {
    let reason =
        |status: &SandboxClaimStatus| find(&status.conditions, "Ready").map(|c| c.reason.clone());
    let expired = Some("ClaimExpired".to_owned());
    let announced = reason(told) == expired && reason(&claim.status) != expired;
    let finished = |status: &SandboxClaimStatus| find(&status.conditions, "Finished").is_some();
    announced || (finished(told) && !finished(&claim.status))
}

fn takes(action: &ClaimAction) -> bool {
    matches!(action, ClaimAction::Bind { .. } | ClaimAction::CreateCold { .. })
}

fn is_ready(status: &SandboxClaimStatus) -> bool {
    find(&status.conditions, "Ready").is_some_and(Condition::is_true)
}

fn pool_name(claim: &SandboxClaim) -> String {
    match claim.choice() {
        Choice::Pool(pool) | Choice::PoolOfTemplate { pool, .. } => pool.name.to_string(),
        Choice::AnyOfTemplate(_) | Choice::Cold(_) => String::new(),
    }
}

/// A claim and everything that bears on it.
pub(crate) fn view(world: &World, claim: &SandboxClaim) -> ClaimView {
    let template_key = template_of(world, claim);
    let template = template_key.as_ref().and_then(|key| world.templates.get(key));
    let content = claim.content(template.map(Arc::as_ref), &world.options);
    let (held, spare) = held(world, claim);
    let created = world.claim_seen(&claim.metadata.key()).unwrap_or(claim.metadata.created());
    let source = source(world, claim, template_key.as_ref(), &content, created);
    let mut view = claim.view(content, source, held, spare);
    view.created = created;
    view
}

/// The template of a claim: the one it names, or that of its pool.
pub(crate) fn template_of(world: &World, claim: &SandboxClaim) -> Option<Key> {
    match claim.choice() {
        Choice::Pool(pool) => world.pools.get(&pool).map(|pool| pool.template_key()),
        other => other.template().cloned(),
    }
}

fn held(world: &World, claim: &SandboxClaim) -> (Held, Vec<(Key, engine::Precondition)>) {
    let key = claim.metadata.key();
    let owned: Vec<Arc<Sandbox>> = world
        .sandboxes_by_holder
        .of(&claim.metadata.uid())
        .filter_map(|key| world.sandboxes.get(key).cloned())
        .collect();
    let owned: Vec<&Sandbox> = owned.iter().map(Arc::as_ref).collect();
    let same_name = world.sandboxes.get(&key).map(Arc::as_ref);
    let known = &claim.status.sandbox.name;
    let named = if known.is_empty() {
        None
    } else {
        world.sandboxes.get(&key.sibling(known)).map(Arc::as_ref)
    };
    (claim.held(&owned, same_name, named), claim.spare(&owned))
}

fn source(
    world: &World,
    claim: &SandboxClaim,
    template: Option<&Key>,
    content: &Content,
    created: Timestamp,
) -> Source {
    let choice = claim.choice();
    if let Choice::Pool(pool) = &choice
        && world.pools.get(pool).is_none()
    {
        return Source::PoolMissing { name: pool.clone() };
    }
    let Some(template) = template else {
        return Source::Found { offers: Vec::new(), cold_start: None };
    };
    if world.templates.get(template).is_none() {
        return Source::TemplateMissing { name: template.clone() };
    }
    let pools: Vec<Key> = match (&choice, content) {
        (_, Content::ColdOnly(_)) | (Choice::Cold(_), _) => Vec::new(),
        (Choice::Pool(pool), _) => vec![pool.clone()],
        (Choice::PoolOfTemplate { pool, .. }, _) => {
            let fits = world.pools.get(pool).is_some_and(|pool| pool.template_key() == *template);
            if fits { vec![pool.clone()] } else { Vec::new() }
        }
        (Choice::AnyOfTemplate(_), _) => world.pools_by_template.of(template).cloned().collect(),
    };
    let key = claim.metadata.key();
    let offers = pools
        .iter()
        .filter_map(|pool| world.shelves.get(pool))
        .map(|shelf| shelf.offer(&key, created))
        .collect();
    let cold_start = world.cold_pace.get(template).and_then(engine::pace::Pace::typical);
    Source::Found { offers, cold_start }
}
