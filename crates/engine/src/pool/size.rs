//! Size: how many to make, and which to remove when there are too many.

use super::census::{Census, Warm, count};
use super::plan::Draft;
use super::view::{PoolAction, PoolView, TemplateState};
use crate::reason::{Code, Reason, WaitsFor};
use crate::rollout::{Bounds, Strategy};
use crate::world::Stage;
use std::cmp::Reverse;

/// Removes what exceeds the ceiling.
///
/// Only seen members count: to remove ready ones because of others that were just asked for would trade what works for what may.
pub(super) fn shrink(census: &Census, bounds: Bounds, desired: u32, draft: &mut Draft) {
    let mut staying: Vec<Warm> = draft.staying(census).copied().collect();
    let surplus = (staying.len() + draft.adopted as usize).saturating_sub(bounds.ceiling as usize);
    staying.sort_by_key(worth);
    for warm in staying.into_iter().take(surplus) {
        let why = Reason::new(
            Code::AboveTarget,
            format!("{} are wanted, more exist", sandboxes(desired)),
        );
        draft.delete(warm.member, why);
    }
}

/// What is removed first: the failed, those in trouble, those still starting, the stale; among equals the newest, which has the least behind it.
fn worth(warm: &Warm) -> impl Ord + use<> {
    let rank = match &warm.member.stage {
        Stage::Failed { .. } | Stage::Leaving => 0,
        Stage::Creating(Some(_)) => 1,
        Stage::Creating(None) => 2,
        Stage::Available => 3,
    };
    (rank, warm.is_fresh(), Reverse(warm.member.created), warm.member.key.clone())
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
    let create = missing.min(room).min(batch);
    if create < missing {
        let reason = if create == batch {
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

/// `1 sandbox`, `2 sandboxes`.
pub(super) fn sandboxes(count: u32) -> String {
    if count == 1 { "1 sandbox".to_owned() } else { format!("{count} sandboxes") }
}
