//! What happens at a set time.

use super::outcome::LifeAction;
use super::plan::{Draft, wants_pause};
use super::view::{LifeView, Retention};
use crate::reason::Code;
use jiff::{SignedDuration, Timestamp};

/// "For ever" as a time: a hundred years. A field of an object can't say it otherwise, and clients read this one as it.
const FOREVER: SignedDuration = SignedDuration::from_hours(100 * 365 * 24);

/// Carries out the timer that ran out, if one did. Then nothing else is planned: what was written is seen first.
pub(super) fn strike(view: &LifeView, now: Timestamp, draft: &mut Draft) -> bool {
    let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    let wish = &view.wish;
    let ended = view.reported.phase.is_some_and(|phase| phase.is_final());
    let pausable = !ended && !wants_pause(view) && due(wish.pause_at);
    // Somebody who wants a paused sandbox kept, and set both timers, did not mean "delete it before it was paused": a controller that was away for a while sees both
    // of them late.
    let kept = pausable && wish.retention.is_some();
    if due(wish.shutdown_at) && !kept {
        draft.because(Code::Expired, "its time is over; it is deleted");
        draft.actions.push(LifeAction::DeleteSandbox(view.precondition.clone()));
        return true;
    }
    if pausable {
        draft.because(Code::PausedByTimer, "the time came to pause it");
        let keep_until = wish.shutdown_at.and(wish.retention).map(|retention| end(retention, now));
        draft
            .actions
            .push(LifeAction::Pause { precondition: view.precondition.clone(), keep_until });
        return true;
    }
    false
}

/// When the next timer runs out. One that ran out already waits for its own write to be seen, not for time.
pub(super) fn next(view: &LifeView, ended: bool, now: Timestamp) -> Option<Timestamp> {
    let wish = &view.wish;
    let pause = wish.pause_at.filter(|_| !ended && !wants_pause(view));
    [wish.shutdown_at, pause].into_iter().flatten().filter(|at| *at > now).min()
}

fn end(retention: Retention, now: Timestamp) -> Timestamp {
    let after = match retention {
        Retention::For(duration) => duration,
        Retention::Forever => FOREVER,
    };
    now.checked_add(after).unwrap_or(Timestamp::MAX)
}
