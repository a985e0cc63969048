//! Laws 6 and 7, when all is quiet: everything has what its spec asks for, every count is true, and whoever is not ready says why.

use serde_json::Value;

use super::book::{Book, Name, members};
use super::handing::is_available;
use crate::simulator::family::{Family, Found, Stale, Tally};
use crate::simulator::node::BROKEN_IMAGE;
use crate::simulator::view::{Place, View, controller, is_leaving, uid};

impl<F: Family> Book<F> {
    /// Checks what must hold when nothing has happened for long.
    pub(super) fn at_rest(&self, view: &View, found: &mut Found) {
        for (place, pool) in view.all(F::POOLS) {
            pool_at_rest::<F>(view, place, pool, found);
        }
        for (place, claim) in view.all(F::CLAIMS) {
            if is_leaving(claim) {
                found.push((6, format!("claim {} is still leaving", place.2)));
            } else {
                F::claim_at_rest(view, place, claim, found);
            }
        }
        for (place, sandbox) in view.all(F::SANDBOXES) {
            let name = &place.2;
            if is_leaving(sandbox) {
                found.push((6, format!("sandbox {name} is still leaving")));
                continue;
            }
            let life = controller(sandbox).map_or("", |(_, _, life)| life);
            if let Some(pool) = F::pool_of(sandbox)
                && view.get(F::POOLS, &place.1, pool).is_none_or(|owner| uid(owner) != life)
            {
                found.push((6, format!("sandbox {name} outlived its owner {pool}")));
            }
            F::sandbox_at_rest(view, place, sandbox, found);
        }
        for (place, template) in view.all(F::TEMPLATES) {
            F::template_at_rest(view, place, template, found);
        }
    }
}

fn pool_at_rest<F: Family>(view: &View, place: &Place, pool: &Value, found: &mut Found) {
    let name = &place.2;
    let key: Name = (place.1.clone(), name.clone());
    if is_leaving(pool) {
        found.push((6, format!("pool {name} is still leaving")));
        return;
    }
    let leaving = members::<F>(view, &key).filter(|(_, s)| is_leaving(s)).count();
    if leaving > 0 {
        found.push((6, format!("{leaving} sandboxes of pool {name} are still leaving")));
    }
    let members: Vec<(Option<String>, &Value)> = members::<F>(view, &key)
        .filter(|(_, s)| !is_leaving(s))
        .map(|(member, s)| {
            let place = (F::SANDBOXES.to_owned(), place.1.clone(), member.to_owned());
            (F::image(view, &place, s), s)
        })
        .collect();
    let count = |counts: &dyn Fn(Option<&str>, &Value) -> bool| {
        members.iter().filter(|(image, s)| counts(image.as_deref(), s)).count() as u64
    };
    let available = count(&|_, s| is_available::<F>(s));
    let wish = F::wish(view, &place.1, pool);
    let wanted = wish.image.as_deref().filter(|image| !image.contains(BROKEN_IMAGE));
    let mut tally =
        Tally { members: members.len() as u64, available, fresh: None, fresh_available: None };
    if let Some(wanted) = wanted {
        let fresh = count(&|image, _| image == Some(wanted));
        tally.fresh = Some(fresh);
        tally.fresh_available =
            Some(count(&|image, s| image == Some(wanted) && is_available::<F>(s)));
        // What is on offer counts, whatever its age, where stale ones may stay.
        let broken = count(&|image, _| image.is_some_and(|image| image.contains(BROKEN_IMAGE)));
        if available + broken != wish.target || (broken > 0 && wish.stale != Stale::Stays) {
            found.push((6, format!("pool {name} has {available} ready of {}", wish.target)));
        }
        let stale = tally.members - fresh;
        if stale > 0 && matches!(wish.stale, Stale::Forbidden | Stale::Leaves) {
            found.push((6, format!("pool {name} still has {stale} stale sandboxes")));
        }
    }
    F::pool_at_rest(pool, &tally, found);
    if pool["status"]["observedGeneration"] != pool["metadata"]["generation"] {
        found.push((7, format!("pool {name} speaks of an older generation")));
    }
}
