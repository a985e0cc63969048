//! Lifetime: when a claim ends, and what goes with it.

use super::view::{Answer, Cascade, ClaimAction, ClaimView, Ending, ExpiryPolicy, Held};
use crate::ids::Precondition;
use crate::reason::{Code, Reason};
use jiff::Timestamp;

/// When the claim ends, and for which of its two limits.
pub(super) fn ends_at(view: &ClaimView) -> Option<(Timestamp, Code)> {
    let finished = match &view.held {
        Held::Sandbox(held) => held.finished,
        _ => view.lifetime.finished,
    };
    let by_clock = view.lifetime.shutdown_at.map(|at| (at, Code::Expired));
    let after_finish = finished
        .zip(view.lifetime.ttl_after_finished)
        .and_then(|(finished, ttl)| finished.checked_add(ttl).ok())
        .map(|at| (at, Code::TtlAfterFinished));
    by_clock.into_iter().chain(after_finish).min_by_key(|(at, _)| *at)
}

/// What happens to a claim whose time is over.
///
/// The end is reported first and carried out when the report was seen: otherwise a watcher would see the claim vanish and never learn why.
pub(super) fn end(view: &ClaimView, code: Code) -> (Vec<ClaimAction>, Answer, Reason) {
    let foreign = match (&view.held, view.lifetime.policy) {
        (Held::Foreign { name }, ExpiryPolicy::Retain) => Some(name.clone()),
        _ => None,
    };
    let why = match (&foreign, code) {
        (Some(name), _) => Reason::new(
            Code::ExpiredForeign,
            format!("its lifetime is over; {} is not its own and is left alone", name.name),
        ),
        (None, Code::TtlAfterFinished) => {
            Reason::new(code, "its time to live after finishing is over")
        }
        (None, _) => Reason::new(code, "its lifetime is over"),
    };
    let answer = Answer::Ended(foreign.map_or(Ending::Expired, Ending::ExpiredForeign));
    if !view.lifetime.announced {
        return (Vec::new(), answer, why);
    }
    let claim = |cascade| ClaimAction::DeleteClaim {
        precondition: Precondition { uid: view.uid.clone(), version: view.version },
        cascade,
        why: why.clone(),
    };
    let action = match (view.lifetime.policy, &view.held) {
        (ExpiryPolicy::Delete, _) => Some(claim(Cascade::Background)),
        (ExpiryPolicy::DeleteForeground, _) => Some(claim(Cascade::Foreground)),
        (ExpiryPolicy::Retain, Held::Sandbox(held)) if !held.leaving => {
            Some(ClaimAction::DeleteSandbox {
                key: held.key.clone(),
                precondition: held.precondition.clone(),
                why: why.clone(),
            })
        }
        (ExpiryPolicy::Retain, _) => None,
    };
    (action.into_iter().collect(), answer, why)
}
