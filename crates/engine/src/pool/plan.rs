//! The plan of a pool, step by step.

use super::census::{Census, Warm, count};
use super::view::{PoolAction, PoolPlan, PoolStatus, PoolView, Target, TemplateState};
use super::{failures, locks, orphans, size, status, target};
use crate::backoff::Backoff;
use crate::check;
use crate::ids::Uid;
use crate::reason::{Code, Reason};
use crate::rollout::{self, Strategy};
use crate::world::Member;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What should be done about a pool.
///
/// Safe to call at any time and as often as one likes: what was written and is not seen yet is part of the view, and every removal carries a precondition.
pub fn plan(view: &PoolView, now: Timestamp) -> PoolPlan {
    let census = Census::take(view);
    let counts = census.counts();
    let desired =
        target::desired(view.target, counts.warm + census.unseen, view.claimed, view.waiting);
    let mut draft = Draft::new(view);

    if view.leaving {
        // Its sandboxes are its garbage; what is collected need not be deleted twice.
        draft.say(Reason::new(Code::BeingDeleted, "the pool is being deleted"));
    } else {
        // Orphans first: each one taken in is one less to make.
        orphans::settle(view, &census, desired, &mut draft);
        // Stale before failed: what the template change removes anyway must not count as a failure.
        let bounds = retire(view, &census, desired, &mut draft);
        if matches!(view.template, TemplateState::Found { .. }) {
            failures::replace(view, &census, &mut draft, now);
        }
        locks::expire(view, &census, &mut draft, now);
        // Shrink before growing, so that what goes now counts as leaving when room is reckoned.
        size::shrink(view, &census, bounds, desired, &mut draft);
        size::grow(view, &census, bounds, desired, &mut draft);
    }

    let conditions = status::conditions(view, &census, desired, &draft);
    let revision = match &view.template {
        TemplateState::Found { revision, .. } => Some(revision.clone()),
        TemplateState::Missing { .. } | TemplateState::Invalid { .. } => None,
    };
    let mut reasons = draft.reasons;
    reasons.extend(conditions.iter().map(|condition| condition.reason.clone()));
    let plan = PoolPlan {
        actions: draft.actions,
        status: PoolStatus { counts, desired, revision, conditions },
        wake_at: draft.wake_at,
        reasons,
        backoff: draft.backoff,
    };
    debug_assert_eq!(check::pool_plan(view, &plan), Vec::new(), "a plan broke a law");
    debug_assert_eq!(check::locks(view, &plan, now), Vec::new(), "a plan broke a lock");
    plan
}

/// Removes stale members as the strategy says, and returns the bounds that hold meanwhile.
fn retire(view: &PoolView, census: &Census, desired: u32, draft: &mut Draft) -> rollout::Bounds {
    let stale: Vec<&Warm> = census.warm.iter().filter(|warm| !warm.is_fresh()).collect();
    let free = |warm: &&Warm| !warm.member.is_locked();
    let steady = rollout::Bounds { floor: desired, ceiling: desired };
    if stale.is_empty() {
        return steady;
    }
    let why = || Reason::new(Code::Stale, "the template changed");
    match view.strategy {
        Strategy::OnReplenish => steady,
        Strategy::Recreate => {
            stale.into_iter().filter(free).for_each(|warm| draft.delete(warm.member, why()));
            steady
        }
        Strategy::RollingUpdate(budget) => {
            let mut bounds = budget.bounds(desired);
            if let Target::Buffer { max_total, .. } = view.target {
                // A surge is still part of the whole, which has a limit of its own.
                bounds.ceiling = bounds.ceiling.min(max_total.saturating_sub(view.claimed));
            }
            let (ready, unready): (Vec<&Warm>, Vec<&Warm>) =
                stale.into_iter().filter(free).partition(|warm| warm.member.is_available());
            // One that is not ready serves nobody and only takes the place of a fresh one.
            unready.into_iter().for_each(|warm| draft.delete(warm.member, why()));
            let available = count(census.warm.iter().filter(|warm| warm.member.is_available()));
            let spare = available.saturating_sub(bounds.floor) as usize;
            let mut ready = ready;
            ready.sort_by_key(|warm| (warm.member.created, warm.member.key.clone()));
            let kept = ready.len().saturating_sub(spare);
            for warm in ready.into_iter().take(spare) {
                draft.delete(warm.member, why());
            }
            if kept > 0 && !budget.is_frozen(desired) {
                let message = format!(
                    "{kept} stale stay until others are ready: at least {} have to be available",
                    bounds.floor
                );
                draft.say(Reason::new(Code::AtFloor, message));
            }
            bounds
        }
    }
}

/// A plan in the making.
#[derive(Debug)]
pub(super) struct Draft {
    actions: Vec<PoolAction>,
    reasons: Vec<Reason>,
    wake_at: Option<Timestamp>,
    /// Lives that this plan removes; nobody is removed for two reasons.
    gone: BTreeSet<Uid>,
    batch: usize,
    /// Orphans that become members by this plan.
    pub adopted: u32,
    /// The failures in a row for the next plan.
    pub backoff: Backoff,
    /// Set when failed members are left standing for a while.
    pub held_back: Option<Reason>,
}

impl Draft {
    fn new(view: &PoolView) -> Self {
        Self {
            actions: Vec::new(),
            reasons: Vec::new(),
            wake_at: None,
            gone: BTreeSet::new(),
            batch: view.settings.batch as usize,
            adopted: 0,
            backoff: view.backoff,
            held_back: None,
        }
    }

    /// Removes a member, once, and no more than the batch allows; the next plan goes on. Never one that somebody outside is taking, unless that is the reason.
    pub fn delete(&mut self, member: &Member, why: Reason) {
        if member.is_locked() && why.code != Code::StrandedLock {
            return;
        }
        if self.gone.len() >= self.batch || !self.gone.insert(member.uid.clone()) {
            return;
        }
        self.act(PoolAction::Delete {
            key: member.key.clone(),
            precondition: member.precondition(),
            why,
        });
    }

    pub fn act(&mut self, action: PoolAction) {
        self.actions.push(action);
    }

    pub fn say(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }

    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    /// Warm members that this plan does not remove.
    pub fn staying<'a, 'b>(&'b self, census: &'b Census<'a>) -> impl Iterator<Item = &'b Warm<'a>> {
        census.warm.iter().filter(|warm| !self.gone.contains(&warm.member.uid))
    }

    /// Those of them that it may still remove: nobody is taking them.
    pub fn removable<'a, 'b>(
        &'b self,
        census: &'b Census<'a>,
    ) -> impl Iterator<Item = &'b Warm<'a>> {
        self.staying(census).filter(|warm| !warm.member.is_locked())
    }

    /// How many of the warm ones this plan removes.
    pub fn removed(&self, census: &Census) -> u32 {
        count(census.warm.iter().filter(|warm| self.gone.contains(&warm.member.uid)))
    }

    /// Why this plan could not make all that is missing, if so.
    pub fn limit(&self) -> Option<&Reason> {
        let limits = [Code::StartupLimit, Code::AtCeiling];
        self.reasons.iter().find(|reason| limits.contains(&reason.code))
    }
}
