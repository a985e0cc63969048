//! Failures: members that ended, and members that never become ready.

use super::census::{Census, Warm};
use super::plan::Draft;
use super::view::PoolView;
use crate::backoff::Backoff;
use crate::reason::{Code, Reason, WaitsFor};
use crate::world::Stage;
use jiff::Timestamp;

/// Removes members that failed or are stuck, so that they are replaced.
///
/// The first failure is replaced at once. When failures repeat, what failed last is left standing until the pause is over: a broken image does not keep the cluster
/// busy, and its user can read the logs meanwhile.
pub(super) fn replace(view: &PoolView, census: &Census, draft: &mut Draft, now: Timestamp) {
    // Somebody became ready after the last failure: whatever it was, it is over.
    let recovered = census.warm.iter().any(|warm| {
        warm.member.is_available() && view.backoff.last.is_some_and(|last| warm.member.since > last)
    });
    if recovered {
        draft.backoff = Backoff::default();
    }

    let mut broken = Vec::new();
    let staying: Vec<Warm> = draft.removable(census).copied().collect();
    for warm in staying {
        if is_hopeless(&warm) {
            let why = "made from an older template, and it does not start";
            draft.delete(warm.member, Reason::new(Code::Stale, why));
            continue;
        }
        match judge(view, &warm, now) {
            Judgement::Sound => {}
            Judgement::WatchUntil(deadline) => draft.wake(deadline),
            Judgement::Broken(why) => broken.push((warm, why)),
        }
    }
    let Some((first, why)) = broken.first() else { return };
    if let Some(until) = draft.backoff.until().filter(|until| now < *until) {
        draft.wake(until);
        let message = format!(
            "{} starts in a row failed, the last one being {}: {}; the next one is tried at {until:.0}",
            draft.backoff.failures, first.member.key.name, why.message
        );
        draft.held_back =
            Some(Reason::new(Code::BackingOff, message).waiting_for(WaitsFor::Time(until)));
        return;
    }
    draft.backoff = draft.backoff.failed(now);
    for (warm, why) in broken {
        draft.delete(warm.member, why);
    }
}

/// Made from a template that was edited since, and in trouble that an edit may have been the cure of: nobody gains from waiting for it, whatever the strategy.
fn is_hopeless(warm: &Warm) -> bool {
    let in_trouble = match &warm.member.stage {
        Stage::Failed { .. } => true,
        Stage::Creating(Some(trouble)) => !trouble.kind.is_waiting_for_a_place(),
        Stage::Creating(None) | Stage::Available | Stage::Leaving => false,
    };
    in_trouble && !warm.is_fresh()
}

enum Judgement {
    /// Nothing to say against it.
    Sound,
    /// Still within its time.
    WatchUntil(Timestamp),
    /// It will not become ready.
    Broken(Reason),
}

fn judge(view: &PoolView, warm: &Warm, now: Timestamp) -> Judgement {
    let member = warm.member;
    match &member.stage {
        Stage::Available | Stage::Leaving => Judgement::Sound,
        Stage::Failed { message } => Judgement::Broken(Reason::new(Code::Failed, message.clone())),
        Stage::Creating(Some(trouble)) if trouble.kind.is_waiting_for_a_place() => Judgement::Sound,
        Stage::Creating(trouble) => {
            let grace = view.settings.readiness_grace;
            let Ok(deadline) = member.since.checked_add(grace) else { return Judgement::Sound };
            if now < deadline {
                return Judgement::WatchUntil(deadline);
            }
            let detail =
                trouble.as_ref().map_or(String::new(), |trouble| format!(": {}", trouble.message));
            Judgement::Broken(Reason::new(
                Code::Stuck,
                format!("not ready after {grace:#}{detail}"),
            ))
        }
    }
}
