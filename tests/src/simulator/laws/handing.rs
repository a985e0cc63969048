//! Laws 2, 3 and 5: what happens to a single sandbox.

use serde_json::Value;

use super::spec::{floor, rolls};
use super::{Laws, Name, is_by_hand};
use crate::simulator::view::{Change, image, is_leaving, is_true, pool_of, uid};

impl Laws {
    /// Law 3: what is handed out is ready, stays, and is fresh where the strategy wants it so.
    pub(super) fn handed_out(&mut self, change: &Change, old: &Value, new: &Value) {
        let name = &change.place.2;
        if is_leaving(old) {
            self.breach(3, change.revision, format!("{name} was handed out while leaving"));
        }
        if !is_true(old, "Ready") {
            self.breach(3, change.revision, format!("{name} was handed out unready"));
        }
        let Some(pool_name) = pool_of(old) else { return };
        let pool = (change.place.1.clone(), pool_name.to_owned());
        let may = self.believable(&pool, change.at).any(|wish| {
            !wish.forbids_stale || wish.image.as_deref().is_none_or(|wanted| wanted == image(old))
        });
        if !may && self.wishes.contains_key(&pool) {
            let what = format!("{name} was handed out stale by pool {pool_name}");
            self.breach(3, change.revision, what);
        }
        if image(old) != image(new) {
            self.breach(
                3,
                change.revision,
                format!("{name} changed its image by being handed out"),
            );
        }
    }

    /// Law 2: a claimed sandbox goes only when its claim does.
    pub(super) fn claimed_goes(&mut self, change: &Change, old: &Value, claim: &str, life: &str) {
        let owner = self.view.get("sandboxclaims", &change.place.1, claim);
        let may_go = owner.is_none_or(|owner| {
            uid(owner) != life || is_leaving(owner) || !owner["spec"]["lifecycle"].is_null()
        });
        if !may_go && !is_by_hand(old) {
            let what = format!("{} was deleted under its claim {claim}", change.place.2);
            self.breach(2, change.revision, what);
        }
    }

    /// Law 5: a rolling update never takes a pool below its floor.
    pub(super) fn warm_goes(&mut self, change: &Change, old: &Value) {
        let Some(pool_name) = pool_of(old) else { return };
        let key: Name = (change.place.1.clone(), pool_name.to_owned());
        let Some(pool) = self.view.get("sandboxwarmpools", &key.0, pool_name) else { return };
        if !is_true(old, "Ready") || is_by_hand(old) || is_leaving(pool) || !rolls(pool) {
            return;
        }
        let available = self
            .members(&key)
            .filter(|(name, member)| {
                *name != change.place.2 && is_true(member, "Ready") && !is_leaving(member)
            })
            .count() as u64;
        let since = change.at.saturating_sub(self.grace.0);
        let taken = self.taken.get(&key).into_iter().flatten();
        let lately = taken.filter(|at| **at >= since).count() as u64;
        // A target that was moved within the grace period moves the floor.
        let target = self.believable(&key, change.at).map(|wish| wish.target).min();
        let floor = floor(pool).min(target.unwrap_or(0));
        if available + lately < floor {
            let what = format!(
                "deleting {} leaves pool {pool_name} with {available} of at least {floor}",
                change.place.2
            );
            self.breach(5, change.revision, what);
        }
    }
}
