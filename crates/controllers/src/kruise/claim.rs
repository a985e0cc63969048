//! A claim: which sandboxes it gets, and what it is told.
//!
//! ```text
//! view -> engine::batch::plan -> a wave of writes at once -> view with what they left -> plan -> ... -> nothing left to do now
//!                                                              |
//!                                                              +--> status, once for the whole wave
//! ```
//!
//! A look goes on until there is nothing more to do at this moment. What its own writes left is newer than anything a watch has shown, so each wave is planned
//! from that. A warm claim costs one write for each sandbox and one for the claim.
//!
//! Whose a sandbox is stands on the sandbox, from the write that commits. A look that dies between any two writes loses nothing but its report: the next one
//! counts what carries the claim's mark.

use std::collections::BTreeMap;
use std::sync::Arc;

use dialects::kruise::SandboxClaim;
use engine::backoff::Backoff;
use engine::batch::{Answer, BatchAction, BatchPlan};
use engine::{Code, Key, Reason, Uid};
use parking_lot::Mutex;

use super::Kruise;
use super::claim_acts::Outcome;
use super::claim_view::{Overlay, Seen, view};
use crate::act::WriteError;
use crate::family::{self, Looked};
use crate::index::World;
use crate::kinds::Kind;
use crate::reconcile::{Failure, Reconciler};
use crate::subject::Subject;

/// How many waves in a row may bring nothing. Each refused candidate was taken by somebody else a moment ago; after this many the index is far behind, and a pause
/// is better than another try.
const FRUITLESS: u32 = 8;

/// What looks at claims remember: how often in a row a sandbox could not be used. Lost with the process, and only a pause is lost with it.
#[derive(Debug, Default)]
pub struct ClaimNotes(Mutex<BTreeMap<Key, (Uid, Backoff)>>);

impl ClaimNotes {
    fn backoff(&self, claim: &SandboxClaim) -> Backoff {
        let notes = self.0.lock();
        let known = notes.get(&claim.metadata.key());
        known.filter(|(life, _)| *life == claim.metadata.uid()).map(|it| it.1).unwrap_or_default()
    }

    fn note(&self, world: &World<Kruise>, claim: &SandboxClaim, backoff: Backoff) {
        let (key, life) = (claim.metadata.key(), claim.metadata.uid());
        let mut notes = self.0.lock();
        if backoff == Backoff::default() {
            notes.remove(&key);
        } else if notes.insert(key, (life, backoff)).is_none() {
            // Nobody looks at a claim when it is gone; the next one that fails does.
            notes.retain(|key, (life, _)| {
                world.claims.get(key).is_some_and(|claim| claim.metadata.uid() == *life)
            });
        }
    }
}

/// A claim and the plan for it, made under one lock.
pub(super) struct Planned {
    pub seen: Seen,
    pub plan: BatchPlan,
    /// The names of the sandboxes that the plan has started, all in the ledger already.
    pub names: Vec<Key>,
}

impl family::Claim<Kruise> for SandboxClaim {
    async fn reconcile(this: &Arc<Reconciler<Kruise>>, key: &Key) -> Looked {
        this.claim(key).await
    }
}

impl Reconciler<Kruise> {
    async fn claim(&self, key: &Key) -> Looked {
        let subject = Subject::Claim(key.clone());
        self.settle_lost_binds(key).await?;
        if let Some(at) = self.hold_back(&subject) {
            return Ok(Some(at));
        }
        let mut overlay = Overlay::default();
        let mut fruitless = 0;
        let mut acted = false;
        loop {
            let Some(planned) = self.plan_batch(key, &overlay) else { return Ok(None) };
            let Planned { seen, plan, .. } = &planned;
            tracing::debug!(%subject, reasons = ?plan.reasons, "planned");
            // What a plan does at once is told with what it leads to: a warm claim is never told that it waits.
            if acted || plan.actions.is_empty() || is_over(plan) {
                self.tell_claim(&subject, seen, &plan.answer, &mut overlay).await?;
            }
            if plan.actions.is_empty() {
                return Ok(plan.wake_at);
            }
            match self.carry_out(&subject, &planned, &mut overlay).await {
                Outcome::Gone => return Ok(None),
                Outcome::Failed(failure) => {
                    self.tell_claim_refusal(&subject, key, &failure, &mut overlay).await?;
                    return Err(failure);
                }
                Outcome::Done { fruits: 0 } => fruitless += 1,
                Outcome::Done { .. } => fruitless = 0,
            }
            if fruitless == FRUITLESS {
                return Err(Failure::Contended { claim: key.clone(), tried: FRUITLESS });
            }
            acted = true;
        }
    }

    /// Makes the view, plans, takes the candidates off the shelf and the claim in or out of the line, all before anybody else looks.
    fn plan_batch(&self, key: &Key, overlay: &Overlay) -> Option<Planned> {
        let now = self.clock.now();
        let mut world = self.index.world();
        let backoff = self.memory.own.claims.backoff(world.claims.get(key)?);
        let seen = view(&world, key, overlay, backoff)?;
        let plan = engine::batch::plan(&seen.view, now);
        self.memory.own.claims.note(&world, &seen.claim, plan.backoff);

        let subject = Subject::Claim(key.clone());
        let created = world.claim_seen(key).unwrap_or(seen.claim.metadata.created());
        world.stand_in_line(key, created, &seen.claim.set_key(), plan.in_line);
        let mut names = Vec::new();
        for action in &plan.actions {
            match action {
                BatchAction::Take { candidate, pool, .. } => {
                    if let Some(shelf) = world.shelves.get_mut(pool) {
                        shelf.take(candidate);
                    }
                    let (pool, uid) = (Subject::Pool(pool.clone()), &candidate.precondition.uid);
                    world.ledger.handing_out(&pool, &candidate.key, uid, now);
                }
                BatchAction::Create { count, pool, .. } => {
                    names.extend((0..*count).map(|_| self.memory.name_for(pool)));
                }
                BatchAction::Discard { key, precondition, .. } => {
                    world.ledger.deleting(
                        &subject,
                        Kind::KruiseSandbox,
                        key,
                        &precondition.uid,
                        now,
                    );
                }
                BatchAction::Reserve { .. }
                | BatchAction::Tell { .. }
                | BatchAction::DeleteBatch { .. } => {}
            }
        }
        for name in &names {
            world.ledger.creating(&subject, Kind::KruiseSandbox, name, now);
        }
        Some(Planned { seen, plan, names })
    }

    /// A quota, a webhook or the schema said no. It is tried again after a pause, and the claim says meanwhile why nothing happens.
    async fn tell_claim_refusal(
        &self,
        subject: &Subject,
        key: &Key,
        failure: &Failure,
        overlay: &mut Overlay,
    ) -> Result<(), Failure> {
        let Failure::Write {
            verb,
            kind,
            source: WriteError::Refused(message) | WriteError::Invalid(message),
            ..
        } = failure
        else {
            return Ok(());
        };
        let (seen, plan) = {
            let world = self.index.world();
            let Some(seen) = view(&world, key, overlay, Backoff::default()) else { return Ok(()) };
            let plan = engine::batch::plan(&seen.view, self.clock.now());
            (seen, plan)
        };
        if let Answer::Claiming { started, delivered, .. } = plan.answer {
            let why = Reason::new(Code::Refused, format!("{verb} {kind}: {message}"));
            let answer = Answer::Claiming { started, delivered, why };
            self.tell_claim(subject, &seen, &answer, overlay).await?;
        }
        Ok(())
    }
}

/// Whether the plan ends the claim. Its end is told before what is left over is cleared up: whoever watches the sandboxes go learns why first.
fn is_over(plan: &BatchPlan) -> bool {
    matches!(plan.answer, Answer::Completed { .. })
}
