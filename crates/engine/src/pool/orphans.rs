//! Orphans: sandboxes that carry the pool's label and that nobody owns.

use super::census::Census;
use super::plan::Draft;
use super::view::{PoolAction, PoolView, TemplateState};
use crate::reason::{Code, Reason};

/// Takes orphans that fit into the pool, and removes the others: they run, they cost, and nobody would ever remove them.
///
/// Without a template nothing can be said about them, so they stay.
pub(super) fn settle(view: &PoolView, census: &Census, desired: u32, draft: &mut Draft) {
    if !matches!(view.template, TemplateState::Found { .. }) {
        return;
    }
    let taken = census.warm.len() + (census.unseen + census.leaving + census.in_hand) as usize;
    let mut room = (desired as usize).saturating_sub(taken);
    for orphan in &census.orphans {
        let member = orphan.member;
        if orphan.is_fresh() && room > 0 {
            room -= 1;
            draft.adopted += 1;
            draft.act(PoolAction::Adopt {
                key: member.key.clone(),
                precondition: member.precondition(),
                why: Reason::new(
                    Code::OrphanAdopted,
                    "it carries the pool's label, has no owner, and fits",
                ),
            });
        } else {
            let why = if orphan.is_fresh() {
                "the pool has no room for it"
            } else {
                "it was made from an older template"
            };
            draft.delete(
                member,
                Reason::new(Code::OrphanRemoved, format!("it has no owner, and {why}")),
            );
        }
    }
}
