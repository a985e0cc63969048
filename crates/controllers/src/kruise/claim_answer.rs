//! What a claim is told: its status, and its events.

use std::sync::Arc;

use dialects::condition::find;
use dialects::kruise::SandboxClaim;
use dialects::kruise::claim_status::{COMPLETED, ENV_DELIVERED, VOLUMES_MOUNTED, status_patch};
use dialects::kruise::types::SandboxClaimStatus;
use engine::Code;
use engine::batch::{Answer, Ending};
use serde_json::json;

use super::Kruise;
use super::claim_view::{Overlay, Seen};
use crate::act::{Part, Urgency};
use crate::events::{Note, Severity};
use crate::kinds::Kind;
use crate::reconcile::{Failure, Reconciler};
use crate::subject::Subject;

impl Reconciler<Kruise> {
    /// Writes the claim's status, if it says anything new. Returns whether it did.
    pub(super) async fn tell_claim(
        &self,
        subject: &Subject,
        seen: &Seen,
        answer: &Answer,
        overlay: &mut Overlay,
    ) -> Result<bool, Failure> {
        let claim = &*seen.claim;
        let wanted = claim.next_status(answer, seen.inside, self.clock.now());
        let Some(mut patch) = status_patch(&claim.status, &wanted) else { return Ok(false) };
        patch["metadata"] = json!({ "uid": claim.metadata.uid });
        let failed = |source| Failure::write("report", Kind::KruiseClaim, subject.key(), source);
        let written = self
            .writer
            .patch(Kind::KruiseClaim, subject.key(), Part::Status, &patch, Urgency::Urgent)
            .await
            .map_err(failed)?;
        self.wrote(subject, Kind::KruiseClaim, &written);
        self.announce(claim, &wanted, answer);
        overlay.claim = Some(Arc::new(written.object().map_err(failed)?));
        Ok(true)
    }

    fn announce(&self, claim: &SandboxClaim, told: &SandboxClaimStatus, answer: &Answer) {
        let (has, wants) = (told.claimed_replicas, claim.spec.replicas);
        let more = has.saturating_sub(claim.status.claimed_replicas);
        if more > 0 {
            let text = format!("Claimed {more} sandbox(es), total: {has}/{wants}");
            self.note_claim(claim, Severity::Normal, "SandboxClaimed", text);
            let set = &claim.spec.template_name;
            self.metrics.set_claimed(&claim.metadata.namespace, set, more);
        }
        for (kind, reason) in
            [(ENV_DELIVERED, "EnvVarsNotDelivered"), (VOLUMES_MOUNTED, "VolumesNotMounted")]
        {
            let (before, now) =
                (find(&claim.status.conditions, kind), find(&told.conditions, kind));
            if let (None, Some(now)) = (before, now) {
                self.note_claim(claim, Severity::Warning, reason, now.message.clone());
            }
        }
        match answer {
            Answer::Claiming { why, .. } => {
                let said = find(&claim.status.conditions, COMPLETED);
                let news = said.is_none_or(|said| said.reason != why.code.as_str());
                if let Some(reason) = stalled(why.code).filter(|_| news) {
                    self.note_claim(claim, Severity::Warning, reason, why.message.clone());
                }
            }
            Answer::Completed { ending, .. } => {
                let severity = match ending {
                    Ending::Whole => Severity::Normal,
                    Ending::TimedOut(_) | Ending::PoolMissing(_) => Severity::Warning,
                };
                self.note_claim(claim, severity, "ClaimCompleted", told.message.clone());
                self.count_completed(claim, ending);
            }
            Answer::Over | Answer::Silent => {}
        }
    }

    fn count_completed(&self, claim: &SandboxClaim, ending: &Ending) {
        let (key, namespace) = (claim.metadata.key(), &claim.metadata.namespace);
        match ending {
            Ending::Whole => {
                // Finer than the times in the status, which have whole seconds.
                let seen = self.index.world().claim_seen(&key).unwrap_or(claim.metadata.created());
                let took = self.clock.now().duration_since(seen);
                self.metrics.claim_completed(namespace, took.try_into().unwrap_or_default());
            }
            Ending::TimedOut(_) | Ending::PoolMissing(_) => self.metrics.claim_expired(namespace),
        }
    }

    pub(super) fn note_claim(
        &self,
        claim: &SandboxClaim,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let (key, uid) = (claim.metadata.key(), claim.metadata.uid());
        self.events.note(Note { kind: Kind::KruiseClaim, key, uid, severity, reason, message });
    }
}

/// The event of a claim that does not get on; nothing if it does.
fn stalled(code: Code) -> Option<&'static str> {
    match code {
        Code::BoundWarm
        | Code::BoundCold
        | Code::WaitingForReady
        | Code::WarmSoonerThanCold
        | Code::TellingRuntime => None,
        Code::NoStock | Code::InLine | Code::OnlyStale | Code::WarmPoolNotFound => {
            Some("NoAvailableSandboxes")
        }
        _ => Some("ClaimStalled"),
    }
}
