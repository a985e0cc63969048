//! A claim: which sandbox it gets, and what it is told.
//!
//! A warm claim costs two writes until its client sees it ready: the one that makes it the owner of a sandbox, and its status, which carries the sandbox's
//! name, its addresses and its readiness together. The answer of the first write is the newest state of the sandbox there is, so nothing is waited for in
//! between. Annotations follow when nobody waits any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dialects::x_k8s::claim::Choice;
use dialects::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, build};
use engine::claim::{Answer, Cascade, ClaimAction, ClaimPlan, Source};
use engine::{Key, Uid};
use jiff::Timestamp;

use super::bind::Bound;
use super::claim_view::{template_of, view};
use super::{Failure, Reconciler};
use crate::act::{DeletePrecondition, Propagation, Urgency, WriteError};
use crate::events::Severity;
use crate::kinds::Kind;
use crate::metrics::Adoption;
use crate::subject::Subject;

/// How many candidates a claim tries in one look. Each refused one was taken by somebody else a moment ago; after this many the index is far behind, and a
/// pause is better than another try.
const CANDIDATES: u32 = 8;

/// A claim, its template and the plan for it, made under one lock.
pub(super) struct Planned {
    pub claim: Arc<SandboxClaim>,
    pub template: Option<Arc<SandboxTemplate>>,
    pub plan: ClaimPlan,
}

impl Reconciler {
    pub(super) async fn claim(self: &Arc<Self>, key: &Key) -> Result<Option<Timestamp>, Failure> {
        self.settle_lost_bind(key).await?;
        let done = self.serve(key).await;
        if let Err(Failure::Write {
            source: WriteError::Refused(message) | WriteError::Invalid(message),
            verb,
            kind,
            ..
        }) = &done
        {
            self.tell_refusal(key, format!("Error seen: {verb} {kind}: {message}")).await;
        }
        done
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
}

fn takes(action: &ClaimAction) -> bool {
    matches!(action, ClaimAction::Bind { .. } | ClaimAction::CreateCold { .. })
}

fn pool_name(claim: &SandboxClaim) -> String {
    match claim.choice() {
        Choice::Pool(pool) | Choice::PoolOfTemplate { pool, .. } => pool.name.to_string(),
        Choice::AnyOfTemplate(_) | Choice::Cold(_) => String::new(),
    }
}
