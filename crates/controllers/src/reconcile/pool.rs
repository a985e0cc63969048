//! A pool, of any family: its plan, its status, and the writes that follow.

use std::sync::Arc;
use std::time::Duration;

use engine::pool::{PoolAction, PoolPlan};
use engine::{Code, ConditionKind, Key, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::Instant;

use super::Reconciler;
use crate::act::{Part, Urgency, WriteError};
use crate::events::{Note, Severity};
use crate::family::{Deed, Family, Looked, Order, Pool, Remark, Report, Weight};
use crate::index::World;
use crate::index::table::Object;
use crate::reconcile::Failure;
use crate::subject::Subject;

/// Counts that only move are reported at most this often: a refill of a thousand would otherwise write its pool's status a thousand times. A fifth of a second
/// looks immediate to people, and a change of a condition is written at once. [`Pool::BURST`] reports may come closer together after a pause.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// A pool is planned at most this often, and a large one less often: a plan costs about a microsecond per member, and under a storm of claims every one of them
/// would ask for it. Ten milliseconds are far below the start of any container, so a refill loses nothing; the first change after a pause is answered at once.
const PLAN_EVERY: Duration = Duration::from_millis(10);

/// Keeps planning below a fifth of one processor.
const PLAN_EVERY_PER_MEMBER: Duration = Duration::from_micros(5);

/// A plan and what it was made for.
struct Planned<F: Family> {
    pool: Arc<F::Pool>,
    plan: PoolPlan,
    /// Whether the last report was seen again. Before that, a comparison with it would write it twice; its return wakes the pool.
    reported: bool,
}

impl<F: Family> Reconciler<F> {
    pub(super) async fn pool(self: &Arc<Self>, key: &Key) -> Looked {
        let subject = Subject::Pool(key.clone());
        let now = self.clock.now();
        let notes = self.memory.pool(key);
        if let Some(next) = notes.planned.filter(|next| *next > Instant::now()) {
            return Ok(Some(self.timestamp_of(next)));
        }
        let Some(Planned { pool, plan, reported }) = self.plan_pool(&subject, now) else {
            self.memory.forget_pool(key);
            self.metrics.pool_gone(F::NAME, &key.namespace, &key.name);
            F::Pool::measure(&self.metrics, key, None);
            return Ok(None);
        };
        let (desired, available) = (plan.status.desired, plan.status.counts.available);
        self.metrics.pool(F::NAME, &key.namespace, &key.name, desired, available);
        F::Pool::measure(&self.metrics, key, Some((&pool, &plan)));
        let held = notes.hold_until.map(|until| self.timestamp_of(until));
        let later = match F::Pool::ORDER {
            Order::WritesFirst => {
                self.start_writes(&subject, &pool, &plan);
                if reported {
                    self.report_pool(&subject, &pool, &plan, now).await
                } else {
                    Ok(None)
                }
            }
            Order::ReportFirst => {
                let told = if reported {
                    self.report_pool(&subject, &pool, &plan, now).await
                } else {
                    Ok(None)
                };
                // Also when the report failed: what the plan promised to the ledger has to be done.
                self.start_writes(&subject, &pool, &plan);
                told
            }
        };
        Ok([plan.wake_at, later?, held.filter(|at| *at > now)].into_iter().flatten().min())
    }

    fn plan_pool(&self, subject: &Subject, now: Timestamp) -> Option<Planned<F>> {
        let key = subject.key();
        let notes = self.memory.pool(key);
        let mut world = self.index.world();
        let pool = world.pools.get(key).cloned()?;
        self.expire(&mut world, subject, now);
        let mut view = F::Pool::view(&world, &pool, notes.backoff, self.tuning.pools);
        view.refusal = notes.refusal;
        let mut plan = engine::pool::plan(&view, now);
        if notes.hold_until.is_some_and(|until| Instant::now() < until) {
            plan.actions.clear();
        }
        // Noted under the same lock that the view was made under: no claim takes what is about to be deleted, and the next plan counts all of it.
        self.promise(&mut world, subject, &plan, now);
        let reported = world.ledger.is_seen(subject, F::POOL);
        let pause = PLAN_EVERY + PLAN_EVERY_PER_MEMBER.saturating_mul(plan.status.counts.warm);
        self.memory.note_pool(key, |notes| {
            notes.backoff = plan.backoff;
            notes.planned = Some(Instant::now() + pause);
        });
        Some(Planned { pool, plan, reported })
    }

    fn promise(&self, world: &mut World<F>, subject: &Subject, plan: &PoolPlan, now: Timestamp) {
        for action in &plan.actions {
            if let PoolAction::Delete { key, precondition, .. } = action {
                world.ledger.deleting(subject, F::SANDBOX, key, &precondition.uid, now);
                if let Some(shelf) = world.shelves.get_mut(subject.key()) {
                    shelf.remove(key);
                }
            }
        }
    }

    /// Starts what the plan asks for. The writes go on by themselves; a pool of hundreds reports its progress while it is refilled.
    fn start_writes(self: &Arc<Self>, subject: &Subject, pool: &Arc<F::Pool>, plan: &PoolPlan) {
        let mut creates = 0;
        for action in &plan.actions {
            match action {
                PoolAction::Create { count, revision, .. } => {
                    creates += self.start_fill(subject, pool, *count, revision);
                }
                PoolAction::Delete { key, precondition, why } => {
                    tracing::debug!(%subject, sandbox = %key, reason = %why, "removing");
                    self.start_removal(
                        subject,
                        pool,
                        key.clone(),
                        precondition.clone(),
                        why.clone(),
                    );
                }
                PoolAction::Adopt { key, precondition, why } => {
                    tracing::info!(%subject, sandbox = %key, reason = %why, "adopting");
                    let patch = F::Pool::adopt(pool, precondition);
                    self.start_adoption(subject, key.clone(), patch);
                }
            }
        }
        if !plan.actions.is_empty() {
            tracing::info!(%subject, creates, actions = plan.actions.len(), reasons = ?plan.reasons, "planned");
        }
    }

    async fn report_pool(
        &self,
        subject: &Subject,
        pool: &F::Pool,
        plan: &PoolPlan,
        now: Timestamp,
    ) -> Looked {
        let report = F::Pool::report(&self.index.world(), pool, plan, now);
        let Some(Report { mut patch, weight }) = report else { return Ok(None) };
        let key = subject.key();
        if weight == Weight::Counts
            && let Some(at) = self.memory.pool(key).reports.next(F::Pool::BURST, REPORT_EVERY)
        {
            return Ok(Some(self.timestamp_of(at)));
        }
        patch["metadata"] = json!({ "uid": pool.meta().uid });
        match self.writer.patch(F::POOL, key, Part::Status, &patch, Urgency::Background).await {
            Ok(written) => {
                self.wrote(subject, F::POOL, &written);
                self.memory.note_pool(key, |notes| notes.reports.made(REPORT_EVERY));
                self.announce_progress(pool, plan);
                Ok(None)
            }
            Err(WriteError::Gone(_)) => Ok(None),
            Err(source) => Err(Failure::write("report", F::POOL, key, source)),
        }
    }

    /// Tells people what was done for a pool, as far as its family tells such things.
    pub(super) fn remark(&self, pool: &F::Pool, deed: &Deed<'_>) {
        let Some(Remark { severity, reason, message }) = F::Pool::remark(deed) else { return };
        let meta = pool.meta();
        let (key, uid) = (meta.key(), meta.uid());
        self.events.note(Note { kind: F::POOL, key, uid, severity, reason, message });
    }

    /// Tells people when a pool stops getting on, and when it goes on.
    fn announce_progress(&self, pool: &F::Pool, plan: &PoolPlan) {
        let key = pool.meta().key();
        let Some(progress) =
            plan.status.conditions.iter().find(|c| c.kind == ConditionKind::Progressing)
        else {
            return;
        };
        let stalled =
            progress.verdict == Verdict::False && progress.reason.code != Code::NothingAsked;
        let before = self.memory.pool(&key).stalled;
        if stalled == before {
            return;
        }
        self.memory.note_pool(&key, |notes| notes.stalled = stalled);
        let [stops, goes_on] = F::Pool::STALLED;
        let (severity, reason) =
            if stalled { (Severity::Warning, stops) } else { (Severity::Normal, goes_on) };
        let message = progress.reason.message.clone();
        self.events.note(Note {
            kind: F::POOL,
            uid: pool.meta().uid(),
            severity,
            reason,
            message,
            key,
        });
    }

    pub(crate) fn timestamp_of(&self, at: Instant) -> Timestamp {
        let ahead = SignedDuration::try_from(at.saturating_duration_since(Instant::now()))
            .unwrap_or_default();
        self.clock.now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }
}

/// When reports were written: a bucket that holds a burst and drains by one in each interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reports {
    /// When the bucket is empty again.
    empty_at: Option<Instant>,
}

impl Reports {
    /// When the next report may be written; nothing if it may be now.
    fn next(&self, burst: u32, every: Duration) -> Option<Instant> {
        let ahead = every.saturating_mul(burst.saturating_sub(1));
        self.empty_at
            .map(|at| at.checked_sub(ahead).unwrap_or(at))
            .filter(|at| *at > Instant::now())
    }

    /// One was written.
    fn made(&mut self, every: Duration) {
        let now = Instant::now();
        self.empty_at = Some(self.empty_at.map_or(now, |at| at.max(now)) + every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reports_come_in_a_burst_and_then_one_in_each_interval() {
        let every = Duration::from_millis(200);
        let mut single = Reports::default();
        assert_eq!(single.next(1, every), None);
        single.made(every);
        assert_eq!(single.next(1, every), Some(Instant::now() + every));

        let mut many = Reports::default();
        for _ in 0..3 {
            assert_eq!(many.next(3, every), None);
            many.made(every);
        }
        assert_eq!(many.next(3, every), Some(Instant::now() + every));
        tokio::time::advance(every).await;
        assert_eq!(many.next(3, every), None);
        tokio::time::advance(Duration::from_secs(60)).await;
        many.made(every);
        assert_eq!(many.next(3, every), None);
    }
}
