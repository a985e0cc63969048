//! A pool: its plan, its status, and the writes that follow.

use std::sync::Arc;
use std::time::Duration;

use dialects::x_k8s::{SandboxWarmPool, build, pool as dialect, template};
use engine::backoff::Backoff;
use engine::pool::{PoolAction, PoolPlan, PoolView, Settings};
use engine::{Code, ConditionKind, Key, Verdict};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Failure, Reconciler};
use crate::act::{Part, Urgency, WriteError};
use crate::events::{Note, Severity};
use crate::index::World;
use crate::kinds::Kind;
use crate::subject::Subject;

/// Counts that only move are reported at most this often: a refill of a thousand would otherwise write its pool's status a thousand times. A fifth of a second
/// looks immediate to people, and a change of a condition is written at once.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// A pool is planned at most this often, and a large one less often: a plan costs about a microsecond per member, and under a storm of claims every one of them
/// would ask for it. Ten milliseconds are far below the start of any container, so a refill loses nothing; the first change after a pause is answered at once.
const PLAN_EVERY: Duration = Duration::from_millis(10);

/// Keeps planning below a fifth of one processor.
const PLAN_EVERY_PER_MEMBER: Duration = Duration::from_micros(5);

impl Reconciler {
    pub(super) async fn pool(self: &Arc<Self>, key: &Key) -> Result<Option<Timestamp>, Failure> {
        let subject = Subject::Pool(key.clone());
        let now = self.clock.now();
        let notes = self.memory.pool(key);
        if let Some(next) = notes.planned.filter(|next| *next > Instant::now()) {
            return Ok(Some(self.timestamp_of(next)));
        }
        let (pool, plan, reported) = {
            let mut world = self.index.world();
            let Some(pool) = world.pools.get(key).cloned() else {
                self.memory.forget_pool(key);
                self.metrics.pool_gone(&key.namespace, &key.name);
                return Ok(None);
            };
            let expired = world.ledger.expire(&subject, now);
            if expired > 0 {
                tracing::warn!(%subject, expired, "own writes were never seen again; planning without them");
                self.metrics.expectation_expired(subject.word());
            }
            let view = view(&world, &pool, notes.backoff, self.tuning.pools);
            let mut plan = engine::pool::plan(&view, now);
            if notes.hold_until.is_some_and(|until| Instant::now() < until) {
                plan.actions.clear();
            }
            // Noted under the same lock that the view was made under: no claim takes what is about to be deleted, and the next plan counts all of it.
            self.promise(&mut world, &subject, &pool, &plan, now);
            let reported = world.ledger.is_seen(&subject, Kind::Pool);
            let pause = PLAN_EVERY + PLAN_EVERY_PER_MEMBER.saturating_mul(plan.status.counts.warm);
            self.memory.note_pool(key, |notes| {
                notes.backoff = plan.backoff;
                notes.planned = Some(Instant::now() + pause);
            });
            (pool, plan, reported)
        };
        let status = plan.status.counts;
        self.metrics.pool(&key.namespace, &key.name, plan.status.desired, status.available);
        let held = notes.hold_until.map(|until| self.timestamp_of(until));
        let creates = self.start_writes(&subject, &pool, &plan);
        if !plan.actions.is_empty() {
            tracing::info!(%subject, creates, actions = plan.actions.len(), reasons = ?plan.reasons, "planned");
        }
        // While the last report is not seen again, a comparison with it would write it twice; its return wakes the pool.
        let later =
            if reported { self.report_pool(&subject, &pool, &plan, now).await? } else { None };
        Ok([plan.wake_at, later, held.filter(|at| *at > now)].into_iter().flatten().min())
    }

    fn promise(
        &self,
        world: &mut World,
        subject: &Subject,
        pool: &SandboxWarmPool,
        plan: &PoolPlan,
        now: Timestamp,
    ) {
        for action in &plan.actions {
            if let PoolAction::Delete { key, precondition, .. } = action {
                world.ledger.deleting(subject, Kind::Sandbox, key, &precondition.uid, now);
                if let Some(shelf) = world.shelves.get_mut(&pool.metadata.key()) {
                    shelf.remove(key);
                }
            }
        }
    }

    /// Starts what the plan asks for. The writes go on by themselves; a pool of hundreds reports its progress while it is refilled.
    fn start_writes(
        self: &Arc<Self>,
        subject: &Subject,
        pool: &Arc<SandboxWarmPool>,
        plan: &PoolPlan,
    ) -> usize {
        let mut creates = 0;
        for action in &plan.actions {
            match action {
                PoolAction::Create { count, revision, .. } => {
                    creates += self.start_fill(subject, pool, *count, revision);
                }
                PoolAction::Delete { key, precondition, why } => {
                    tracing::debug!(%subject, sandbox = %key, reason = %why, "removing");
                    self.start_removal(subject, key.clone(), precondition.clone());
                }
                PoolAction::Adopt { key, precondition, why } => {
                    tracing::info!(%subject, sandbox = %key, reason = %why, "adopting");
                    let patch = build::member::adopt(pool, precondition);
                    self.start_adoption(subject, key.clone(), patch);
                }
            }
        }
        creates
    }

    async fn report_pool(
        &self,
        subject: &Subject,
        pool: &SandboxWarmPool,
        plan: &PoolPlan,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Failure> {
        let wanted = pool.next_status(&plan.status, now);
        let Some(mut patch) = dialect::status_patch(&pool.status, &wanted) else { return Ok(None) };
        let key = subject.key();
        let verdicts = |conditions: &[dialects::condition::Condition]| {
            conditions
                .iter()
                .map(|c| (c.kind.clone(), c.status.clone(), c.reason.clone()))
                .collect::<Vec<_>>()
        };
        let only_counts = verdicts(&pool.status.conditions) == verdicts(&wanted.conditions)
            && pool.status.observed_generation == wanted.observed_generation;
        let recent = self
            .memory
            .pool(key)
            .reported
            .map(|at| at + REPORT_EVERY)
            .filter(|next| *next > Instant::now());
        if let (true, Some(next)) = (only_counts, recent) {
            return Ok(Some(self.timestamp_of(next)));
        }
        patch["metadata"] = serde_json::json!({ "uid": pool.metadata.uid });
        match self.writer.patch(Kind::Pool, key, Part::Status, &patch, Urgency::Background).await {
            Ok(written) => {
                self.wrote(subject, Kind::Pool, &written);
                self.memory.note_pool(key, |notes| notes.reported = Some(Instant::now()));
                self.announce_progress(pool, plan);
                Ok(None)
            }
            Err(WriteError::Gone(_)) => Ok(None),
            Err(source) => Err(Failure::write("report", Kind::Pool, key, source)),
        }
    }

    /// Tells people when a pool stops getting on, and when it goes on.
    fn announce_progress(&self, pool: &SandboxWarmPool, plan: &PoolPlan) {
        let key = pool.metadata.key();
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
        let (severity, reason) = if stalled {
            (Severity::Warning, "WarmPoolNotProgressing")
        } else {
            (Severity::Normal, "WarmPoolProgressing")
        };
        let message = progress.reason.message.clone();
        self.events.note(Note {
            kind: Kind::Pool,
            uid: pool.metadata.uid(),
            severity,
            reason,
            message,
            key,
        });
    }

    pub(super) fn timestamp_of(&self, at: Instant) -> Timestamp {
        let ahead = SignedDuration::try_from(at.saturating_duration_since(Instant::now()))
            .unwrap_or_default();
        self.clock.now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }
}

/// A pool and everything that bears on it.
pub(crate) fn view(
    world: &World,
    pool: &SandboxWarmPool,
    backoff: Backoff,
    settings: Settings,
) -> PoolView {
    let key = pool.metadata.key();
    let subject = Subject::Pool(key.clone());
    let label = (key.namespace.clone(), dialects::x_k8s::keys::hash(&key.name));
    let members: std::collections::BTreeSet<Key> = world
        .sandboxes_by_label
        .of(&label)
        .chain(world.sandboxes_by_holder.of(&pool.metadata.uid()))
        .cloned()
        .collect();
    let members = members.iter().filter_map(|key| world.member(key)).collect();
    let template_key = pool.template_key();
    let revision = world.revision_of(&template_key).cloned();
    let waiting = world
        .shelves
        .get(&key)
        .map_or(0, |shelf| u32::try_from(shelf.waiting()).unwrap_or(u32::MAX));
    let pending = world.ledger.pending(&subject);
    pool.view(template::state(template_key, revision), members, waiting, pending, backoff, settings)
}
