//! Size: how many to make, and which to remove when there are too many.

use super::census::{Census, Warm, count};
use super::plan::Draft;
use super::view::{PoolAction, PoolView, Removal, TemplateState};
use crate::ids::Key;
use crate::reason::{Code, Reason, WaitsFor};
use crate::rollout::{Bounds, Rounding, Strategy};
use crate::world::Stage;

/// Removes what exceeds the ceiling, and of the ready ones none that the floor asks for.
///
/// Only seen members count, and of them those that nobody outside is taking: to remove ready ones because of others that were just asked for, or that are about to
/// go, would trade what works for what may.
pub(super) fn shrink(
    view: &PoolView,
    census: &Census,
    bounds: Bounds,
    desired: u32,
    draft: &mut Draft,
) {
    let mut removable: Vec<Warm> = draft.removable(census).copied().collect();
    let has = count(removable.iter()) + draft.adopted;
    let surplus = has.saturating_sub(bounds.ceiling) as usize;
    let ready = count(removable.iter().filter(|warm| warm.member.is_available()));
    let mut spare = ready.saturating_sub(bounds.floor);
    removable.sort_by_key(|warm| worth(warm, view.removal));
    removable.retain(|warm| {
        let kept = warm.member.is_available() && spare == 0;
        spare -= u32::from(warm.member.is_available() && !kept);
        !kept
    });
    for warm in removable.into_iter().take(surplus) {
        let why = Reason::new(
            Code::AboveTarget,
            format!("{} are wanted, more exist", sandboxes(desired)),
        );
        draft.delete(warm.member, why);
    }
}

/// What a member is worth to the pool; the least is removed first.
fn worth(warm: &Warm, removal: Removal) -> (u8, u8, i128, Key) {
    let member = warm.member;
    let age = member.created.as_nanosecond();
    let was_ready = member.since > member.created;
    let (first, then, age) = match (removal, &member.stage) {
        (_, Stage::Failed { .. } | Stage::Leaving) => (0, 0, -age),
        (Removal::NewestFirst, Stage::Creating(Some(_))) => (1, u8::from(warm.is_fresh()), -age),
        (Removal::NewestFirst, Stage::Creating(None)) => (2, u8::from(warm.is_fresh()), -age),
        (Removal::NewestFirst, Stage::Available) => (3, u8::from(warm.is_fresh()), -age),
        (Removal::StaleThenOldest, stage) => {
            let tier = match stage {
                Stage::Creating(None) if was_ready => 1,
                Stage::Available => 2,
                _ => 0,
            };
            (1 + u8::from(warm.is_fresh()), tier, age)
        }
    };
    (first, then, age, member.key.clone())
}

/// Makes what is missing, as far as there is room under the ceiling.
pub(super) fn grow(
    view: &PoolView,
    census: &Census,
    bounds: Bounds,
    desired: u32,
    draft: &mut Draft,
) {
    let staying = count(draft.staying(census)) + draft.adopted;
    let fresh = count(draft.staying(census).filter(|warm| warm.is_fresh())) + draft.adopted;
    // Where stale ones are on their way out they don't count; where they stay until claimed they do.
    let has = match view.strategy {
        Strategy::OnReplenish => staying,
        Strategy::Recreate | Strategy::RollingUpdate(_) => fresh,
    };
    let missing = desired.saturating_sub(has + census.unseen);
    if missing == 0 {
        return;
    }
    let TemplateState::Found { revision, .. } = &view.template else { return };
    let leaving = census.leaving + draft.removed(census);
    let taken = staying + census.unseen + leaving + census.in_hand;
    let room = bounds.ceiling.saturating_sub(taken);
    let batch = view.settings.batch;
    let starting = count(draft.staying(census).filter(|warm| warm.is_starting())) + census.unseen;
    let limit = startup(view, desired);
    let create = missing.min(room).min(batch).min(limit.saturating_sub(starting));
    if create < missing {
        let reason = if limit <= starting + create {
            let waits_for =
                if limit == 0 { WaitsFor::Edit } else { WaitsFor::Pool(view.key.clone()) };
            let message = format!(
                "{} wait: {limit} may be on their way to ready at once, and {} are",
                sandboxes(missing - create),
                starting + create
            );
            Reason::new(Code::StartupLimit, message).waiting_for(waits_for)
        } else if create == batch {
            Reason::new(
                Code::BatchLimit,
                format!("{} are missing, {batch} are made at a time", sandboxes(missing)),
            )
        } else {
            Reason::new(
                Code::AtCeiling,
                format!("{} wait for others to be gone: {taken} of at most {} exist, {leaving} of them leaving", sandboxes(missing - create), bounds.ceiling),
            )
            .waiting_for(WaitsFor::Pool(view.key.clone()))
        };
        draft.say(reason);
    }
    if create > 0 {
        let why = Reason::new(
            Code::BelowTarget,
            format!(
                "{} are wanted, {has} exist, {} were asked for",
                sandboxes(desired),
                census.unseen
            ),
        );
        draft.act(PoolAction::Create { count: create, revision: revision.clone(), why });
    }
}

/// How many may be on their way to ready at once.
pub(crate) fn startup(view: &PoolView, desired: u32) -> u32 {
    view.startup.map_or(u32::MAX, |amount| amount.of(desired, Rounding::Up))
}

/// `1 sandbox`, `2 sandboxes`.
pub(super) fn sandboxes(count: u32) -> String {
    if count == 1 { "1 sandbox".to_owned() } else { format!("{count} sandboxes") }
}
