//! Locks: sandboxes that somebody outside noted as theirs and never took.

use super::census::{Census, Warm};
use super::plan::Draft;
use super::view::PoolView;
use crate::reason::{Code, Reason};
use crate::world::Lock;
use jiff::Timestamp;

/// Replaces members whose lock outlived its time, and wakes the pool when the next one does.
///
/// The note can't just be taken off: whoever wrote it may still be about to use the sandbox, and must then find it gone rather than shared. The removal carries a
/// precondition, so a taker who is faster after all wins.
pub(super) fn expire(view: &PoolView, census: &Census, draft: &mut Draft, now: Timestamp) {
    let locked: Vec<Warm> = draft.staying(census).copied().collect();
    for warm in locked {
        let Lock::Taken { since } = warm.member.lock else { continue };
        let grace = view.settings.lock_grace;
        let Ok(end) = since.checked_add(grace) else { continue };
        if now < end {
            draft.wake(end);
        } else {
            let message = format!(
                "{} was locked and not taken within {grace:#}; it is replaced",
                warm.member.key.name
            );
            draft.delete(warm.member, Reason::new(Code::StrandedLock, message));
        }
    }
}
