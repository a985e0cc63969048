//! The laws, as functions on what was seen and decided. The simulator and the tests call them after every step, and debug builds after every plan.
//!
//! Each returns what it found wrong, with the law it breaks, or nothing.

use crate::batch::{Answer, BatchAction, BatchPlan, BatchView, HoldingState, Source};
use crate::ids::{Key, Revision, Uid};
use crate::pool::{Census, PoolAction, PoolPlan, PoolView, Target, count, startup};
use crate::reason::Code;
use crate::rollout::{Bounds, Freshness, Strategy};
use crate::world::{Holder, Lock, Member, Stage};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The laws that can be checked from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// 1: no sandbox is in two claims, and no claim holds more than it asked for.
    OneSandboxOneClaim,
    /// 2: a claimed sandbox is never removed by its pool.
    ClaimedIsSafe,
    /// 3: a claim is never given a sandbox that is stale where that is forbidden, not ready, failed or leaving.
    OnlyGoodOnes,
    /// 4: a pool never exceeds its maximum, counting what is being created and what is still terminating.
    Ceiling,
    /// 5: the rollout never leaves fewer available than its floor.
    Floor,
    /// 4 too, for pools that limit it: no more are started at once than may be.
    Startup,
    /// 7: every count equals what a listing would show.
    HonestCounts,
}

/// A broken law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub law: Law,
    /// By what.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.message)
    }
}

fn violation(law: Law, message: impl Into<String>) -> Violation {
    Violation { law, message: message.into() }
}

/// Law 1, over all claims with what they asked for and what they hold.
pub fn holdings<'a>(claims: impl IntoIterator<Item = (&'a Key, u32, &'a [Key])>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut owners: BTreeMap<&Key, &Key> = BTreeMap::new();
    for (claim, asked, held) in claims {
        if held.len() > asked as usize {
            found.push(violation(
                Law::OneSandboxOneClaim,
                format!("{claim} asked for {asked} and holds {}", held.len()),
            ));
        }
        for sandbox in held {
            if let Some(other) = owners.insert(sandbox, claim) {
                found.push(violation(
                    Law::OneSandboxOneClaim,
                    format!("{sandbox} is held by {other} and by {claim}"),
                ));
            }
        }
    }
    found
}

/// Law 2, at the moment in which a pool's deletion takes effect.
pub fn removal(member: &Member, pool: &Uid) -> Option<Violation> {
    let safe =
        matches!(&member.holder, Holder::Nobody) || member.holder == Holder::Pool(pool.clone());
    (!safe).then(|| {
        violation(
            Law::ClaimedIsSafe,
            format!("{} is held by {:?} and removed by its pool", member.key, member.holder),
        )
    })
}

/// Law 3, at the moment in which a claim takes a sandbox.
pub fn hand_out(
    member: &Member,
    strategy: Strategy,
    revision: Option<&Revision>,
) -> Option<Violation> {
    let freshness =
        if revision == Some(&member.revision) { Freshness::Fresh } else { Freshness::Stale };
    let flaw = match &member.stage {
        Stage::Creating(_) => "is not ready",
        Stage::Failed { .. } => "has failed",
        Stage::Leaving => "is leaving",
        Stage::Available if !matches!(member.holder, Holder::Pool(_)) => "is not warm",
        Stage::Available if member.is_locked() => "is locked by somebody else",
        Stage::Available if !strategy.hands_out(freshness) => "is stale",
        Stage::Available => return None,
    };
    Some(violation(Law::OnlyGoodOnes, format!("{} {flaw} and was handed out", member.key)))
}

/// Laws 1 to 3 on what a batch's planner decided from a view: never more than asked for, counting what is in work; nothing taken that was not offered; and nothing
/// removed that its user was told of.
pub fn batch_plan(view: &BatchView, plan: &BatchPlan) -> Vec<Violation> {
    let mut found = Vec::new();
    let (offered, strategy) = match &view.source {
        Source::PoolMissing { .. } => (&[][..], None),
        Source::Found { lot, .. } => (lot.candidates.as_slice(), Some(lot.strategy)),
    };
    let told = &view.history.delivered;
    let counts =
        |state: &HoldingState| !matches!(state, HoldingState::Reserved | HoldingState::Leaving);
    let held = view.held.iter().filter(|held| counts(&held.state));
    let (done, in_work): (Vec<_>, Vec<_>) = held
        .filter(|held| !told.contains(&held.key))
        .partition(|held| held.state == HoldingState::Done);
    let (mut more, mut taken) = (0, BTreeSet::new());
    for action in &plan.actions {
        match action {
            BatchAction::Take { candidate, .. } => {
                more += 1;
                let fits = strategy.is_some_and(|it| it.hands_out(candidate.freshness));
                if !taken.insert(&candidate.key) || !fits || !offered.contains(candidate) {
                    let message = format!("{} was not offered and is taken", candidate.key);
                    found.push(violation(Law::OnlyGoodOnes, message));
                }
            }
            BatchAction::Create { count, .. } => more += *count as usize,
            BatchAction::Discard { key, .. } | BatchAction::Reserve { key, .. } => {
                let known = view.held.iter().any(|held| held.key == *key && counts(&held.state));
                if !known || told.contains(key) {
                    let message = format!("{key} is its user's and is removed");
                    found.push(violation(Law::ClaimedIsSafe, message));
                }
            }
            BatchAction::Tell { .. } | BatchAction::DeleteBatch { .. } => {}
        }
    }
    let had = (view.history.claimed as usize).max(told.len() + done.len());
    if more > 0 && had + in_work.len() + more > view.want as usize {
        let message = format!(
            "{} asked for {}, has {had} and {} in work, and gets {more} more",
            view.key,
            view.want,
            in_work.len()
        );
        found.push(violation(Law::OneSandboxOneClaim, message));
    }
    if let Answer::Claiming { delivered, .. } | Answer::Completed { delivered, .. } = &plan.answer
        && delivered.count < view.history.claimed
    {
        let message = format!("{} instead of {}", delivered.count, view.history.claimed);
        found.push(violation(Law::HonestCounts, message));
    }
    found
}

/// Laws 2, 4, 5 and 7 on what a pool's planner decided from a view.
pub fn pool_plan(view: &PoolView, plan: &PoolPlan) -> Vec<Violation> {
    let mut found = Vec::new();
    let members: BTreeMap<&Key, &Member> =
        view.members.iter().map(|member| (&member.key, member)).collect();
    let bounds = bounds(view, plan.status.desired);
    let mut removed = BTreeSet::new();
    let (mut created, mut adopted) = (0, 0);
    for action in &plan.actions {
        match action {
            PoolAction::Create { count, .. } => created += count,
            PoolAction::Adopt { .. } => adopted += 1,
            PoolAction::Delete { key, precondition, why } => {
                let Some(member) = members.get(key).filter(|member| member.uid == precondition.uid)
                else {
                    found.push(violation(
                        Law::ClaimedIsSafe,
                        format!("{key} is removed and was never seen"),
                    ));
                    continue;
                };
                found.extend(removal(member, &view.uid));
                if member.is_locked() && why.code != Code::StrandedLock {
                    let message = format!("{key} is being taken and is removed: {why}");
                    found.push(violation(Law::ClaimedIsSafe, message));
                }
                let pending = &view.pending;
                if pending.handed_out.contains(&member.uid)
                    || pending.handing_out.contains(&member.uid)
                {
                    found.push(violation(
                        Law::ClaimedIsSafe,
                        format!("{key} was handed out and is removed"),
                    ));
                }
                removed.insert(member.uid.clone());
            }
        }
    }
    let census = Census::take(view);
    let counts = census.counts();
    let taken = counts.warm + counts.leaving + census.unseen + census.in_hand;
    if created + adopted > 0 && taken + created + adopted > bounds.ceiling {
        let message = format!(
            "{taken} exist, {created} are made and {adopted} adopted; at most {} may be",
            bounds.ceiling
        );
        found.push(violation(Law::Ceiling, message));
    }
    let starting = census.unseen
        + count(
            census
                .warm
                .iter()
                .filter(|warm| warm.is_starting() && !removed.contains(&warm.member.uid)),
        );
    let limit = startup(view, plan.status.desired);
    if created > 0 && starting + created > limit {
        let message = format!("{starting} start, {created} are added; at most {limit} may");
        found.push(violation(Law::Startup, message));
    }
    found.extend(floor(view, &census, &removed, bounds));
    if counts != plan.status.counts {
        found.push(violation(
            Law::HonestCounts,
            format!("{:?} instead of {counts:?}", plan.status.counts),
        ));
    }
    found
}

/// Law 2 for those who take a sandbox by a lock: until it is stranded, nothing about the sandbox is decided here.
pub fn locks(view: &PoolView, plan: &PoolPlan, now: Timestamp) -> Vec<Violation> {
    let holds = |lock: Lock| match lock {
        Lock::Free => false,
        Lock::Taken { since } => now.duration_since(since) < view.settings.lock_grace,
    };
    let held: BTreeSet<&Uid> =
        view.members.iter().filter(|member| holds(member.lock)).map(|member| &member.uid).collect();
    let touched = plan.actions.iter().filter_map(|action| match action {
        PoolAction::Delete { key, precondition, .. }
        | PoolAction::Adopt { key, precondition, .. } => Some((key, precondition)),
        PoolAction::Create { .. } => None,
    });
    touched
        .filter(|(_, precondition)| held.contains(&precondition.uid))
        .map(|(key, _)| violation(Law::ClaimedIsSafe, format!("{key} is locked and not stranded")))
        .collect()
}

/// Law 5: of the available sandboxes a plan removes so many that fewer than the floor are left.
fn floor(
    view: &PoolView,
    census: &Census,
    removed: &BTreeSet<Uid>,
    bounds: Bounds,
) -> Option<Violation> {
    if !matches!(view.strategy, Strategy::RollingUpdate(_)) {
        return None;
    }
    let available =
        census.warm.iter().map(|warm| warm.member).filter(|member| member.is_available());
    let (gone, left): (Vec<&Member>, Vec<&Member>) =
        available.partition(|member| removed.contains(&member.uid));
    (!gone.is_empty() && left.len() < bounds.floor as usize).then(|| {
        violation(
            Law::Floor,
            format!("{} are left available, at least {} have to be", left.len(), bounds.floor),
        )
    })
}

/// How many a pool may have and must keep, while a rollout may be going on.
fn bounds(view: &PoolView, desired: u32) -> Bounds {
    let mut bounds = match view.strategy {
        Strategy::RollingUpdate(budget) => budget.bounds(desired),
        Strategy::Recreate | Strategy::OnReplenish => Bounds { floor: desired, ceiling: desired },
    };
    if let Target::Buffer { max_total, .. } = view.target {
        bounds.ceiling = bounds.ceiling.min(max_total.saturating_sub(view.claimed));
    }
    bounds
}
