//! Giving a warm sandbox to a claim: the one write that commits.
//!
//! ```text
//!            +-- ok ---------------> bound
//! PATCH -----+-- conflict, gone ---> somebody else has it: the next candidate
//! (uid, rv)  +-- refused ----------> put back on the shelf, and told
//!            +-- no answer --------> look before anything else: ours -> bound; unchanged -> the same write again; changed -> somebody else's
//! ```
//!
//! The last line is what keeps a claim from holding two. As long as nobody knows whether the write has happened, no other candidate is tried: the same write
//! carries the same resourceVersion, so of two copies of it only one can ever be applied.

use std::sync::Arc;

use dialects::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, build};
use engine::claim::Candidate;
use engine::{Holder, Key, Reason};
use tokio::time::Instant;

use super::memory::LostBind;
use super::{Failure, Reconciler};
use crate::act::{Part, Urgency, WriteError, Written};
use crate::events::Severity;
use crate::kinds::Kind;
use crate::metrics::Adoption;
use crate::queue::Priority;
use crate::subject::Subject;

/// When a candidate goes back to its shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reshelve {
    /// Nobody took it.
    Always,
    /// Its version was refused. The index may have seen the newer one while we were waiting; if not, the watch brings it.
    IfNewer,
}

/// How an attempt to bind ended.
pub(super) enum Bound {
    /// The claim has the sandbox, which is in this state.
    Yes(Box<Sandbox>),
    /// Somebody else was faster.
    TakenByOthers,
}

impl Reconciler {
    /// Makes the claim the owner of a candidate that was taken off its shelf.
    pub(super) async fn bind(
        self: &Arc<Self>,
        claim: &SandboxClaim,
        template: Option<&SandboxTemplate>,
        candidate: &Candidate,
        pool: &Key,
        why: &Reason,
    ) -> Result<Bound, Failure> {
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
        let begun = Instant::now();
        match self
            .writer
            .patch(Kind::Sandbox, &candidate.key, Part::Main, &patch, Urgency::Urgent)
            .await
        {
            Ok(written) => {
                let sandbox = self.committed(claim, &written, pool)?;
                tracing::debug!(claim = %claim.metadata.key(), sandbox = %candidate.key, reason = %why, "bound");
                self.count_claim(
                    claim,
                    &sandbox,
                    Adoption::Hit,
                    pool.name.to_string(),
                    begun.elapsed(),
                );
                let message = format!("Adopted warm pool Sandbox {:?}", &*candidate.key.name);
                self.note(claim, Severity::Normal, "SandboxAdopted", message);
                Ok(Bound::Yes(Box::new(sandbox)))
            }
            // The watch brings it back to the shelf if it is still free in its newer version.
            Err(WriteError::Conflict(_) | WriteError::Gone(_)) => {
                self.metrics.adoption(
                    &claim.metadata.namespace,
                    &pool.name,
                    Adoption::Conflict,
                    begun.elapsed(),
                );
                self.reshelve(candidate, pool, Reshelve::IfNewer);
                self.wake(Subject::Pool(pool.clone()), Priority::Background);
                Ok(Bound::TakenByOthers)
            }
            Err(source) if source.is_certain() => {
                self.reshelve(candidate, pool, Reshelve::Always);
                Err(Failure::write("bind", Kind::Sandbox, &candidate.key, source))
            }
            Err(source) => {
                let lost = LostBind {
                    claim: claim.metadata.uid(),
                    candidate: candidate.clone(),
                    pool: pool.clone(),
                    patch,
                };
                self.memory.bind_lost(&claim.metadata.key(), lost);
                Err(Failure::write("bind", Kind::Sandbox, &candidate.key, source))
            }
        }
    }

    fn committed(
        &self,
        claim: &SandboxClaim,
        written: &Written,
        pool: &Key,
    ) -> Result<Sandbox, Failure> {
        let subject = Subject::Claim(claim.metadata.key());
        self.wrote(&subject, Kind::Sandbox, written);
        // Now it is certain that the pool has one less.
        self.index.world().ledger.handed_out(&written.uid);
        self.wake(Subject::Pool(pool.clone()), Priority::Background);
        written
            .object()
            .map_err(|source| Failure::write("bind", Kind::Sandbox, &written.key, source))
    }

    /// The attempt is over. The candidate goes back to its shelf if it is free; in the version that was refused it is not.
    fn reshelve(&self, candidate: &Candidate, pool: &Key, when: Reshelve) {
        let mut served = Vec::new();
        {
            let mut world = self.index.world();
            world.ledger.hand_out_settled(&candidate.precondition.uid);
            if let Some(member) = world.shelf_member(&candidate.key)
                && (when == Reshelve::Always || member.version > candidate.precondition.version)
                && let Some(shelf) = world.shelves.get_mut(pool)
                && shelf.observe(member)
            {
                served.extend(shelf.served().cloned());
            }
        }
        for claim in served {
            self.wake(Subject::Claim(claim), Priority::Urgent);
        }
    }

    /// Finds out what became of a bind whose answer was lost, before the claim is planned again.
    pub(super) async fn settle_lost_bind(self: &Arc<Self>, claim: &Key) -> Result<(), Failure> {
        let Some(lost) = self.memory.lost_bind(claim) else { return Ok(()) };
        let key = &lost.candidate.key;
        let subject = Subject::Claim(claim.clone());
        // The same life of the claim: one that was made anew under its name has asked for nothing yet.
        let owner = self.index.world().claims.get(claim).map(|claim| claim.metadata.uid());
        let owner = owner.filter(|uid| *uid == lost.claim);
        let found: Option<Sandbox> = self
            .writer
            .look(Kind::Sandbox, key)
            .await
            .map_err(|source| Failure::write("look at", Kind::Sandbox, key, source))?;
        let ours = |sandbox: &Sandbox| {
            owner.clone().is_some_and(|uid| sandbox.holder() == Holder::Claim(uid))
        };
        let unchanged =
            |sandbox: &Sandbox| sandbox.metadata.precondition() == lost.candidate.precondition;
        let mut when = Reshelve::IfNewer;
        match found {
            Some(sandbox) if ours(&sandbox) => {
                tracing::info!(%claim, sandbox = %key, "a bind whose answer was lost had happened");
                self.expect(&subject, Kind::Sandbox, key, sandbox.metadata.version());
            }
            Some(sandbox) if owner.is_some() && unchanged(&sandbox) => {
                let again = self
                    .writer
                    .patch(Kind::Sandbox, key, Part::Main, &lost.patch, Urgency::Urgent)
                    .await;
                let written =
                    again.map_err(|source| Failure::write("bind", Kind::Sandbox, key, source))?;
                self.wrote(&subject, Kind::Sandbox, &written);
            }
            // The claim is gone, and nothing happened: the next one may have it.
            Some(sandbox) if unchanged(&sandbox) => when = Reshelve::Always,
            // Gone, or changed by somebody else: the lost write can't be applied any more.
            Some(_) | None => {}
        }
        self.memory.bind_settled(claim);
        self.reshelve(&lost.candidate, &lost.pool, when);
        self.wake(Subject::Pool(lost.pool), Priority::Background);
        Ok(())
    }
}
