//! Finish: how a batch ends, and what is left to do after it.

use super::tally::Tally;
use super::view::{Answer, BatchAction, BatchPlan, BatchView, Ending, Holding, HoldingState};
use crate::ids::Precondition;
use crate::reason::{Code, Reason};
use jiff::Timestamp;

/// The batch is over. What is still in work was promised to nobody and goes.
pub(super) fn complete(
    mut plan: BatchPlan,
    view: &BatchView,
    tally: Tally<'_>,
    started: Timestamp,
    ending: Ending,
    now: Timestamp,
) -> BatchPlan {
    let why = match &ending {
        Ending::Whole => Reason::new(
            Code::AllClaimed,
            format!("it has the {} it asked for", tally.delivered.count),
        ),
        Ending::TimedOut(lacking) => Reason::new(
            Code::TimedOut,
            format!(
                "its time is over with {} of {}: {}",
                tally.delivered.count, view.want, lacking.message
            ),
        ),
        Ending::PoolMissing(name) => Reason::new(
            Code::TimedOut,
            format!("its time is over, and pool {:?} never appeared", &*name.name),
        ),
    };
    clear_up(&mut plan, view, &tally, &why);
    if let Some(keep) = view.terms.keep
        && let Ok(at) = now.checked_add(keep)
    {
        plan.wake(at);
    }
    plan.reasons.push(why);
    plan.answer = Answer::Completed { started, at: now, delivered: tally.delivered, ending };
    plan
}

/// The batch was over before: what is left of it is cleared up, and its object goes when its time has come.
pub(super) fn over(
    mut plan: BatchPlan,
    view: &BatchView,
    tally: &Tally<'_>,
    at: Timestamp,
    now: Timestamp,
) -> BatchPlan {
    let why = Reason::new(Code::Unwanted, "the claim is over and did not deliver it");
    plan.answer = Answer::Over;
    if tally.is_ours {
        clear_up(&mut plan, view, tally, &why);
        // Ready a moment too late: it was not there when the last report was made, and there will be no other.
        let late = |held: &&Holding| {
            held.state == HoldingState::Done && tally.delivered.names.contains(&held.key)
        };
        let untold = |held: &&Holding| !view.history.delivered.contains(&held.key);
        for held in view.held.iter().filter(late).filter(untold) {
            plan.discard(held, why.clone());
        }
    }
    let Some(ends_at) = view.terms.keep.and_then(|keep| at.checked_add(keep).ok()) else {
        return plan;
    };
    if now < ends_at {
        plan.wake(ends_at);
        return plan;
    }
    // What is left over is found by the claim's uid; without the claim nobody would look for it again.
    if plan.actions.is_empty() {
        let why = Reason::new(Code::TtlAfterFinished, "its time to live after completion is over");
        plan.reasons.push(why.clone());
        let precondition = Precondition { uid: view.uid.clone(), version: view.version };
        plan.actions.push(BatchAction::DeleteBatch { precondition, why });
    }
    plan
}

fn clear_up(plan: &mut BatchPlan, view: &BatchView, tally: &Tally<'_>, why: &Reason) {
    for held in &tally.unwanted {
        plan.discard(held, why.clone());
    }
    for held in &tally.in_work {
        // A good one that only a whole batch could have used is nothing to look at.
        if held.state == HoldingState::Done {
            plan.discard(held, why.clone());
        } else {
            plan.give_up(view.terms.failed, held, why.clone());
        }
    }
}
