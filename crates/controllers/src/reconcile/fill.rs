//! The writes of a pool, of any family: making, removing and adopting sandboxes.
//!
//! They run beside the pool's reconcile, not in it. What is on its way is in the ledger before the first request leaves, so a plan that is made meanwhile
//! counts it and never asks for it twice.

use std::sync::Arc;
use std::time::Duration;

use engine::{Key, Precondition, Reason, Revision};
use futures::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::Reconciler;
use super::memory::Name;
use crate::act::{DeletePrecondition, Part, Propagation, Urgency, WriteError};
use crate::family::{Deed, Family, Pool};
use crate::index::table::Object;
use crate::queue::Priority;
use crate::subject::Subject;

/// The first creates of a refill, of which a refusal (a quota, a webhook, a bad template) shows itself at the cost of four requests instead of hundreds. Each
/// wave that succeeds is followed by one twice as large.
const FIRST_WAVE: usize = 4;

/// After a refused write a pool waits this long, doubled with each refusal in a row.
const HOLD: Duration = Duration::from_millis(500);

/// The longest wait after refusals. A quota that was raised is noticed within half a minute.
const LONGEST_HOLD: Duration = Duration::from_secs(30);

impl<F: Family> Reconciler<F> {
    /// Starts to make `count` sandboxes. Returns how many; none if the template moved on since the plan, which has its own wake-up.
    pub(super) fn start_fill(
        self: &Arc<Self>,
        subject: &Subject,
        pool: &Arc<F::Pool>,
        count: u32,
        revision: &Revision,
    ) -> usize {
        let (body, names) = {
            let mut world = self.index.world();
            let Some(body) = F::Pool::blueprint(&world, pool, revision) else { return 0 };
            let names: Vec<Key> = (0..count).map(|_| self.memory.name_for(subject.key())).collect();
            let now = self.clock.now();
            for name in &names {
                world.ledger.creating(subject, F::SANDBOX, name, now);
            }
            (body, names)
        };
        let started = names.len();
        let (this, subject, pool) = (self.clone(), subject.clone(), pool.clone());
        self.fills.spawn(async move { this.fill(subject, pool, body, names).await });
        started
    }

    async fn fill(
        self: Arc<Self>,
        subject: Subject,
        pool: Arc<F::Pool>,
        body: impl Fn(&Key) -> Value + Send + Sync,
        names: Vec<Key>,
    ) {
        let mut rest = names.as_slice();
        let mut wave = FIRST_WAVE;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(wave.min(rest.len()));
            let made = join_all(now.iter().map(|name| self.make(&subject, name, body(name)))).await;
            let mut failed =
                now.iter().zip(made).filter_map(|(name, made)| Some((name, made.err()?)));
            if let Some((name, error)) = failed.next() {
                let done = names.len() - rest.len() + now.len() - 1 - failed.count();
                self.tell_made(&pool, &names, done);
                if matches!(error, WriteError::Invalid(_) | WriteError::Refused(_)) {
                    self.remark(&pool, &Deed::Refused { error: &error });
                    self.note_refusal(&subject, name, &error);
                }
                let mut world = self.index.world();
                for name in later {
                    world.ledger.create_refused(&subject, F::SANDBOX, name);
                }
                drop(world);
                self.hold(&subject, &error);
                return;
            }
            rest = later;
            wave = wave.saturating_mul(2);
        }
        self.tell_made(&pool, &names, names.len());
        self.memory.note_pool(subject.key(), |notes| {
            notes.refused = 0;
            notes.refusal = None;
            notes.hold_until = None;
        });
    }

    fn tell_made(&self, pool: &F::Pool, names: &[Key], count: usize) {
        if let (Some(example), true) = (names.first(), count > 0) {
            F::Pool::made(&self.metrics, &pool.meta().key(), count);
            self.remark(pool, &Deed::Made { count, example: &example.name });
        }
    }

    /// Keeps what the cluster said for the pool's status. Without the name that only this attempt had: the next one would make other words of the same reason.
    fn note_refusal(&self, subject: &Subject, name: &Key, error: &WriteError) {
        let any = format!("{}-*", subject.key().name);
        let said = error.to_string().replace(&*name.name, &any);
        self.memory.note_pool(subject.key(), |notes| notes.refusal = Some(said));
    }

    async fn make(&self, subject: &Subject, name: &Key, body: Value) -> Result<(), WriteError> {
        match self.writer.create(F::SANDBOX, &name.namespace, &body, Urgency::Background).await {
            Ok(_) => Ok(()),
            // Our own earlier attempt, or one name in ten billion; the watch shows whose it is, and the next plan counts what is missing.
            Err(WriteError::AlreadyExists(_)) => {
                self.index.world().ledger.create_refused(subject, F::SANDBOX, name);
                Ok(())
            }
            Err(error) => {
                if error.is_certain() {
                    self.index.world().ledger.create_refused(subject, F::SANDBOX, name);
                } else {
                    self.memory.create_lost(subject, F::SANDBOX, name, Name::Invented);
                }
                Err(error)
            }
        }
    }

    /// Starts to remove a warm sandbox, if it is still what the plan saw.
    pub(super) fn start_removal(
        self: &Arc<Self>,
        subject: &Subject,
        pool: &Arc<F::Pool>,
        key: Key,
        precondition: Precondition,
        why: Reason,
    ) {
        let (this, subject, pool) = (self.clone(), subject.clone(), pool.clone());
        self.fills.spawn(async move {
            let insist = DeletePrecondition::Unchanged(&precondition);
            let done = this
                .writer
                .delete(F::SANDBOX, &key, insist, Propagation::Background, Urgency::Background)
                .await;
            match done {
                Ok(()) => this.remark(&pool, &Deed::Removed { sandbox: &key.name, why: &why }),
                // Somebody was faster, perhaps a claim: that is what the precondition is for.
                Err(error @ (WriteError::Gone(_) | WriteError::Conflict(_))) => {
                    tracing::debug!(%subject, sandbox = %key, %error, "not removed");
                    this.index.world().ledger.delete_settled(
                        &subject,
                        F::SANDBOX,
                        &precondition.uid,
                    );
                    this.wake(subject, Priority::Background);
                }
                // If it happened after all, the same delete planned again is refused by its own precondition.
                Err(error) => {
                    this.index.world().ledger.delete_settled(
                        &subject,
                        F::SANDBOX,
                        &precondition.uid,
                    );
                    this.hold(&subject, &error);
                }
            }
        });
    }

    /// Starts to take an orphan into the pool.
    pub(super) fn start_adoption(self: &Arc<Self>, subject: &Subject, key: Key, patch: Value) {
        let (this, subject) = (self.clone(), subject.clone());
        self.fills.spawn(async move {
            match this.writer.patch(F::SANDBOX, &key, Part::Main, &patch, Urgency::Background).await
            {
                Ok(_) | Err(WriteError::Gone(_) | WriteError::Conflict(_)) => {}
                Err(error) => this.hold(&subject, &error),
            }
        });
    }

    /// After a failed write the pool pauses, so that a refusal does not become a stream of refused requests.
    fn hold(&self, subject: &Subject, error: &WriteError) {
        tracing::warn!(%subject, %error, "a write for the pool failed");
        self.memory.note_pool(subject.key(), |notes| {
            notes.refused = notes.refused.saturating_add(1);
            let pause = HOLD.saturating_mul(1 << (notes.refused - 1).min(10)).min(LONGEST_HOLD);
            notes.hold_until = Some(Instant::now() + pause);
        });
        // The look finds the pool on hold and arms its timer.
        self.wake(subject.clone(), Priority::Background);
    }
}
