//! What a claim is told, and what follows when nobody waits any more.

use std::sync::Arc;
use std::time::Duration;

use dialects::condition::{Condition, find};
use dialects::x_k8s::claim::status_patch;
use dialects::x_k8s::types::SandboxClaimStatus;
use dialects::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, build, keys};
use engine::Key;
use engine::claim::{Answer, Refusal};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::XK8s;
use super::claim::Planned;
use super::index::sandboxes::{created_by, launch_type, template_name};
use crate::act::{Part, Urgency};
use crate::events::{Note, Severity};
use crate::kinds::Kind;
use crate::metrics::{CreationLabels, LatencyLabels};
use crate::reconcile::{Annotations, Failure, Reconciler};
use crate::subject::Subject;

impl Reconciler<XK8s> {
    /// A quota or a webhook said no. It is tried again after a pause, and the claim says meanwhile why nothing happens.
    pub(super) async fn tell_refusal(&self, key: &Key, message: String) {
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

    /// Tells the claim its answer, then annotates it, then brings its sandbox's pod metadata up to date: in the order in which somebody waits for it.
    pub(super) async fn tell(
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
                // Also when it is gone: until the index knows that, another look would do the same again, so it waits for its backoff.
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
                self.patch_child(
                    subject,
                    Kind::Claim,
                    subject.key(),
                    Some(patch),
                    Urgency::Background,
                )
                .await?;
            }
        }
        // Editing a claim after it was bound changes its pod's metadata; a template's edit follows at that occasion.
        if let (Some(template), false) = (template, just_bound)
            && let Ok(Some(patch)) = build::bind::refresh(sandbox, claim, template)
        {
            let key = sandbox.metadata.key();
            self.patch_child(subject, Kind::Sandbox, &key, Some(patch), Urgency::Background)
                .await?;
        }
        Ok(())
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
        if let Some(message) = kept(claim, told) {
            self.note(claim, Severity::Normal, "SandboxKept", message);
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

    pub(super) fn count_claim(&self, claim: &SandboxClaim, sandbox: &Sandbox, pool: String) {
        self.metrics.claim_created(CreationLabels {
            namespace: claim.metadata.namespace.clone(),
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

/// What to say to whoever edits a claim that has its sandbox: most of a claim only speaks of how it gets one, and an edit of that would pass without a word.
fn kept(claim: &SandboxClaim, told: &SandboxClaimStatus) -> Option<String> {
    let has = &claim.status;
    let seen = find(&has.conditions, "Ready").and_then(|ready| ready.observed_generation)?;
    let edited = seen < claim.metadata.generation;
    let bound = !told.sandbox.name.is_empty() && told.sandbox.name == has.sandbox.name;
    (edited && bound).then(|| {
        format!(
            "The claim keeps Sandbox {:?}: of an edit only lifecycle and additionalPodMetadata take effect now. Make a new claim to get another one",
            told.sandbox.name
        )
    })
}

fn is_ready(status: &SandboxClaimStatus) -> bool {
    find(&status.conditions, "Ready").is_some_and(Condition::is_true)
}
