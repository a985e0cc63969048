//! Laws 2, 3 and 5: what happens to a single sandbox.

use serde_json::Value;

use super::book::{Book, Name, is_by_hand, members};
use crate::simulator::family::{Claimed, Family, Found, Holder, Stale};
use crate::simulator::view::{Change, View, is_leaving, is_true, uid};

/// How long the lock of somebody outside is respected, in milliseconds: the two minutes that are documented.
const LOCK_HOLDS: u64 = 120_000;

impl<F: Family> Book<F> {
    /// Law 3: what is handed out is ready, nobody else's, stays, and is fresh where the strategy wants it so.
    pub(super) fn handed_out(
        &self,
        view: &View,
        change: &Change,
        old: &Value,
        new: &Value,
        holder: Holder<'_>,
        found: &mut Found,
    ) {
        let name = &change.place.2;
        if is_leaving(old) {
            found.push((3, format!("{name} was handed out while leaving")));
        }
        if !is_true(old, "Ready") {
            found.push((3, format!("{name} was handed out unready")));
        }
        if let Some(lock) = F::lock_of(old).filter(|lock| F::lock_of(new) != Some(lock)) {
            found.push((3, format!("{name} was handed out while {lock} had its lock")));
        }
        let Some(pool_name) = F::pool_of(old) else { return };
        let pool = (change.place.1.clone(), pool_name.to_owned());
        let image = |sandbox| F::image(view, &change.place, sandbox);
        let before = image(old);
        let may = self.believable(&pool, change.at).any(|wish| {
            wish.stale != Stale::Forbidden || wish.image.is_none() || wish.image == before
        });
        if !may && self.knows(&pool) {
            found.push((3, format!("{name} was handed out stale by pool {pool_name}")));
        }
        let claim = view.get(F::CLAIMS, &change.place.1, holder.claim);
        if before != image(new) && !claim.is_some_and(F::may_change_image) {
            found.push((3, format!("{name} changed its image by being handed out")));
        }
    }

    /// Law 2: a claimed sandbox goes only when that is its holder's doing.
    pub(super) fn claimed_goes(
        &self,
        view: &View,
        change: &Change,
        old: &Value,
        holder: Holder<'_>,
        found: &mut Found,
    ) {
        let claim = view.get(F::CLAIMS, &change.place.1, holder.claim);
        let claim = claim.filter(|claim| uid(claim) == holder.life);
        let lately = self.lately_gone(holder.life, change.at);
        let claimed = Claimed { name: &change.place.2, sandbox: old, claim, lately };
        if !is_by_hand(old) && !F::may_go(&claimed) {
            let who = if holder.claim.is_empty() { holder.life } else { holder.claim };
            found.push((2, format!("{} was deleted under its holder {who}", change.place.2)));
        }
    }

    /// Law 2 for those who take by a lock, and law 5: a rolling update never takes a pool below its floor.
    pub(super) fn warm_goes(&self, view: &View, change: &Change, old: &Value, found: &mut Found) {
        let Some(pool_name) = F::pool_of(old) else { return };
        let key: Name = (change.place.1.clone(), pool_name.to_owned());
        let Some(pool) = view.get(F::POOLS, &key.0, pool_name) else { return };
        if is_by_hand(old) || is_leaving(pool) {
            return;
        }
        let locked = self.locked.get(uid(old)).filter(|_| F::lock_of(old).is_some());
        if let Some(since) = locked
            && change.at < since + LOCK_HOLDS
        {
            let held = change.at - since;
            found
                .push((2, format!("{} was deleted {held} ms after it was locked", change.place.2)));
        }
        let Some(floor) = F::wish(view, &change.place.1, pool).floor else { return };
        if !is_available::<F>(old) {
            return;
        }
        let available = members::<F>(view, &key)
            .filter(|(name, member)| {
                *name != change.place.2 && is_available::<F>(member) && !is_leaving(member)
            })
            .count() as u64;
        let since = change.at.saturating_sub(self.grace.0);
        let taken = self.taken.get(&key).into_iter().flatten();
        let lately = taken.filter(|at| **at >= since).count() as u64;
        // A target that was moved within the grace period moves the floor.
        let target = self.believable(&key, change.at).map(|wish| wish.target).min();
        let floor = floor.min(target.unwrap_or(0));
        if available + lately < floor {
            let what = format!(
                "deleting {} leaves pool {pool_name} with {available} of at least {floor}",
                change.place.2
            );
            found.push((5, what));
        }
    }
}

/// Whether a warm sandbox can be claimed.
pub(super) fn is_available<F: Family>(sandbox: &Value) -> bool {
    is_true(sandbox, "Ready") && F::lock_of(sandbox).is_none()
}
