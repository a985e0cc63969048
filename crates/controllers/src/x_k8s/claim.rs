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
use engine::claim::{Answer, Candidate, Cascade, ClaimAction, ClaimPlan, Source};
use engine::{Key, Uid};

use super::XK8s;
use super::claim_view::{template_of, view};
use crate::act::{DeletePrecondition, Propagation, Urgency, WriteError};
use crate::events::Severity;
use crate::family::{self, Looked};
use crate::kinds::Kind;
use crate::metrics::Adoption;
use crate::reconcile::{Attempt, Bound, Failure, Name, Reconciler, Reshelve};
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

impl family::Claim<XK8s> for SandboxClaim {
    async fn reconcile(this: &Arc<Reconciler<XK8s>>, key: &Key) -> Looked {
        this.claim(key).await
    }
}

impl Reconciler<XK8s> {
    async fn claim(&self, key: &Key) -> Looked {
        self.settle_lost_binds(key).await?;
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
    async fn serve(&self, key: &Key) -> Looked {
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
                        match self.take(claim, template.as_deref(), candidate, pool, why).await? {
                            Bound::<XK8s>::Yes(sandbox) => bound = Some(*sandbox),
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

    /// Makes the claim the owner of a candidate that was taken off its shelf.
    async fn take(
        &self,
        claim: &SandboxClaim,
        template: Option<&SandboxTemplate>,
        candidate: &Candidate,
        pool: &Key,
        why: &engine::Reason,
    ) -> Result<Bound<XK8s>, Failure> {
        let known = self.index.world().sandboxes.get(&candidate.key).cloned();
        let (Some(sandbox), Some(template)) = (known, template) else {
            self.reshelve(candidate, pool, Reshelve::Always);
            return Ok(Bound::TakenByOthers);
        };
        let patch = match build::bind::bind(&sandbox, &candidate.precondition, claim, template) {
            Ok(patch) => patch,
            Err(error) => {
                self.reshelve(candidate, pool, Reshelve::Always);
                let refused = WriteError::Refused(error.to_string());
                return Err(Failure::write("bind", Kind::Sandbox, &candidate.key, refused));
            }
        };
        tracing::debug!(claim = %claim.metadata.key(), sandbox = %candidate.key, reason = %why, "binding");
        let attempt = Attempt {
            claim: claim.metadata.key(),
            life: claim.metadata.uid(),
            candidate: candidate.clone(),
            pool: pool.clone(),
            patch,
        };
        let bound = self.commit(attempt).await?;
        if let Bound::Yes(sandbox) = &bound {
            self.count_claim(claim, sandbox, pool.name.to_string());
            let message = format!("Adopted warm pool Sandbox {:?}", &*candidate.key.name);
            self.note(claim, Severity::Normal, "SandboxAdopted", message);
        }
        Ok(bound)
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
        let options = self.index.world().own.options.clone();
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
                let (namespace, pool) = (&claim.metadata.namespace, pool_name(claim));
                self.metrics.adoption(namespace, &pool, Adoption::Cold, Duration::ZERO);
                self.count_claim(claim, &sandbox, pool);
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
                    self.memory.create_lost(&subject, Kind::Sandbox, name, Name::Given);
                }
                Err(Failure::write("create", Kind::Sandbox, name, source))
            }
        }
    }

    async fn delete_claim(&self, subject: &Subject, uid: &Uid, cascade: Cascade) -> Looked {
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
