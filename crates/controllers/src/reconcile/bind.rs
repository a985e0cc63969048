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

use engine::claim::Candidate;
use engine::{Holder, Key, Uid};
use serde_json::Value;
use tokio::time::Instant;

use super::{Failure, Reconciler};
use crate::act::{Part, Urgency, WriteError, Written};
use crate::family::{Family, Sandbox};
use crate::index::table::Object;
use crate::metrics::Adoption;
use crate::queue::Priority;
use crate::subject::Subject;

/// When a candidate goes back to its shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reshelve {
    /// Nobody took it.
    Always,
    /// Its version was refused. The index may have seen the newer one while we were waiting; if not, the watch brings it.
    IfNewer,
}

/// One attempt to give a sandbox to a claim.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The claim.
    pub claim: Key,
    /// The life of the claim: one that is made anew under its name has asked for nothing yet.
    pub life: Uid,
    /// The sandbox, which was taken off its shelf.
    pub candidate: Candidate,
    /// The pool on whose shelf it was.
    pub pool: Key,
    /// The merge patch that commits, with the candidate's uid and version in it.
    pub patch: Value,
}

/// How an attempt ended.
pub(crate) enum Bound<F: Family> {
    /// The claim has the sandbox, which is in this state.
    Yes(Box<F::Sandbox>),
    /// Somebody else was faster.
    TakenByOthers,
}

impl<F: Family> Reconciler<F> {
    /// Makes the claim the owner of a candidate that was taken off its shelf. Several attempts for one claim may be under way at once.
    pub(crate) async fn commit(&self, attempt: Attempt) -> Result<Bound<F>, Failure> {
        let Attempt { claim, candidate, pool, patch, .. } = &attempt;
        let begun = Instant::now();
        match self
            .writer
            .patch(F::SANDBOX, &candidate.key, Part::Main, patch, Urgency::Urgent)
            .await
        {
            Ok(written) => {
                let sandbox = self.committed(claim, &written, pool)?;
                tracing::debug!(%claim, sandbox = %candidate.key, "bound");
                self.metrics.adoption(&claim.namespace, &pool.name, Adoption::Hit, begun.elapsed());
                Ok(Bound::Yes(Box::new(sandbox)))
            }
            // The watch brings it back to the shelf if it is still free in its newer version.
            Err(WriteError::Conflict(_) | WriteError::Gone(_)) => {
                let took = begun.elapsed();
                self.metrics.adoption(&claim.namespace, &pool.name, Adoption::Conflict, took);
                self.reshelve(candidate, pool, Reshelve::IfNewer);
                self.wake(Subject::Pool(pool.clone()), Priority::Background);
                Ok(Bound::TakenByOthers)
            }
            Err(source) if source.is_certain() => {
                self.reshelve(candidate, pool, Reshelve::Always);
                Err(Failure::write("bind", F::SANDBOX, &candidate.key, source))
            }
            Err(source) => {
                let key = candidate.key.clone();
                self.memory.bind_lost(attempt);
                Err(Failure::write("bind", F::SANDBOX, &key, source))
            }
        }
    }

    fn committed(&self, claim: &Key, written: &Written, pool: &Key) -> Result<F::Sandbox, Failure> {
        self.wrote(&Subject::Claim(claim.clone()), F::SANDBOX, written);
        // Now it is certain that the pool has one less.
        self.index.world().ledger.handed_out(&written.uid);
        self.wake(Subject::Pool(pool.clone()), Priority::Background);
        written.object().map_err(|source| Failure::write("bind", F::SANDBOX, &written.key, source))
    }

    /// The attempt is over. The candidate goes back to its shelf if it is free; in the version that was refused it is not.
    pub(crate) fn reshelve(&self, candidate: &Candidate, pool: &Key, when: Reshelve) {
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

    /// Finds out what became of the binds whose answers were lost, before their claim is planned again.
    pub(crate) async fn settle_lost_binds(&self, claim: &Key) -> Result<(), Failure> {
        for lost in self.memory.lost_binds(claim) {
            self.settle_lost_bind(lost).await?;
        }
        Ok(())
    }

    async fn settle_lost_bind(&self, lost: Attempt) -> Result<(), Failure> {
        let (claim, key) = (&lost.claim, &lost.candidate.key);
        let subject = Subject::Claim(claim.clone());
        let lives =
            self.index.world().claims.get(claim).is_some_and(|c| c.meta().uid() == lost.life);
        let found: Option<F::Sandbox> = self
            .writer
            .look(F::SANDBOX, key)
            .await
            .map_err(|source| Failure::write("look at", F::SANDBOX, key, source))?;
        let ours = |sandbox: &F::Sandbox| {
            lives && F::Sandbox::holder(sandbox) == Holder::Claim(lost.life.clone())
        };
        let unchanged =
            |sandbox: &F::Sandbox| sandbox.meta().precondition() == lost.candidate.precondition;
        let mut when = Reshelve::IfNewer;
        match found {
            Some(sandbox) if ours(&sandbox) => {
                tracing::info!(%claim, sandbox = %key, "a bind whose answer was lost had happened");
                self.expect(&subject, F::SANDBOX, key, sandbox.meta().version());
            }
            Some(sandbox) if lives && unchanged(&sandbox) => {
                let again = self
                    .writer
                    .patch(F::SANDBOX, key, Part::Main, &lost.patch, Urgency::Urgent)
                    .await;
                let written =
                    again.map_err(|source| Failure::write("bind", F::SANDBOX, key, source))?;
                self.wrote(&subject, F::SANDBOX, &written);
            }
            // The claim is gone, and nothing happened: the next one may have it.
            Some(sandbox) if unchanged(&sandbox) => when = Reshelve::Always,
            // Gone, or changed by somebody else: the lost write can't be applied any more.
            Some(_) | None => {}
        }
        self.memory.bind_settled(&lost);
        self.reshelve(&lost.candidate, &lost.pool, when);
        self.wake(Subject::Pool(lost.pool), Priority::Background);
        Ok(())
    }
}
