//! What is remembered of one family over a run, and laws 1 and 4.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;

use engine::{Key, check};
use serde_json::Value;

use super::Grace;
use crate::simulator::family::{Family, Found, Holder, Wish};
use crate::simulator::view::{Change, View, is_leaving, is_true, uid};

/// Namespace and name.
pub(super) type Name = (String, String);

/// What is remembered of one family.
#[derive(Debug)]
pub(super) struct Book<F> {
    pub grace: Grace,
    /// What each pool lately asked for, and since when.
    wishes: BTreeMap<Name, VecDeque<(u64, Wish)>>,
    /// When each pool lost an available member other than by its own hand: to a claim, to a person, to a failing pod.
    pub taken: BTreeMap<Name, VecDeque<u64>>,
    /// Claims that are gone: when, and how they were. By their lives.
    gone: BTreeMap<String, (u64, Value)>,
    /// Since when a sandbox has been locked, by its life.
    pub locked: BTreeMap<String, u64>,
    family: PhantomData<F>,
}

impl<F: Family> Book<F> {
    pub fn new(grace: Grace) -> Self {
        Self {
            grace,
            wishes: BTreeMap::new(),
            taken: BTreeMap::new(),
            gone: BTreeMap::new(),
            locked: BTreeMap::new(),
            family: PhantomData,
        }
    }

    /// Judges a change by the world before it.
    pub fn before(&mut self, view: &View, change: &Change, found: &mut Found) {
        if change.place.0 == F::SANDBOXES {
            self.sandbox(view, change, found);
        }
    }

    /// Judges a change by the world after it.
    pub fn after(&mut self, view: &View, change: &Change, found: &mut Found) {
        let resource = change.place.0.as_str();
        if resource == F::CLAIMS
            && let (Some(old), None) = (&change.old, &change.new)
        {
            self.gone.insert(uid(old).to_owned(), (change.at, old.clone()));
        }
        if resource == F::SANDBOXES || resource == F::CLAIMS {
            one_claim_each::<F>(view, found);
        }
        if resource == F::TEMPLATES || resource == F::POOLS {
            self.note_wishes(view, change.at);
        }
    }

    /// Remembers what the pools ask for, whenever that changes.
    fn note_wishes(&mut self, view: &View, at: u64) {
        for (place, pool) in view.all(F::POOLS) {
            let wish = F::wish(view, &place.1, pool);
            let wishes = self.wishes.entry((place.1.clone(), place.2.clone())).or_default();
            if wishes.back().is_none_or(|(_, last)| *last != wish) {
                wishes.push_back((at, wish));
            }
        }
    }

    /// What a controller may believe that a pool asks for: what it asked for at any time within the grace period.
    pub fn believable<'a>(
        &'a self,
        pool: &Name,
        at: u64,
    ) -> impl Iterator<Item = &'a Wish> + use<'a, F> {
        let since = at.saturating_sub(self.grace.0);
        let wishes = self.wishes.get(pool).into_iter().flatten();
        let ends = self.wishes.get(pool).into_iter().flatten().skip(1).map(|next| next.0);
        wishes
            .zip(ends.map(Some).chain(std::iter::repeat(None)))
            .filter(move |(_, end)| end.is_none_or(|end| end >= since))
            .map(|((_, wish), _)| wish)
    }

    /// Whether anything is known of a pool.
    pub fn knows(&self, pool: &Name) -> bool {
        self.wishes.contains_key(pool)
    }

    /// A claim that is gone, if that is so new that a controller need not know.
    pub fn lately_gone(&self, life: &str, at: u64) -> Option<&Value> {
        let (when, claim) = self.gone.get(life)?;
        (when + self.grace.0 >= at).then_some(claim)
    }

    fn sandbox(&mut self, view: &View, change: &Change, found: &mut Found) {
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        match (old, new) {
            (None, Some(new)) if F::pool_of(new).is_some() => {
                self.ceiling(view, change, new, found);
            }
            (Some(old), Some(new)) if F::pool_of(old).is_some() => {
                if let Some(holder) = F::holder_of(new) {
                    self.handed_out(view, change, old, new, holder, found);
                }
            }
            (Some(old), Some(new)) => keeps_its_holder::<F>(change, old, new, found),
            _ => {}
        }
        let goes = match (old, new) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => !is_leaving(old) && is_leaving(new),
            _ => false,
        };
        if let Some(old) = old.filter(|old| !is_leaving(old)) {
            match F::holder_of(old).filter(|_| goes) {
                Some(holder) => self.claimed_goes(view, change, old, holder, found),
                None if goes => self.warm_goes(view, change, old, found),
                None => {}
            }
            let by_hand = goes && is_by_hand(old);
            let unready = new.is_some_and(|new| !is_true(new, "Ready"));
            let elsewhere = new.is_some_and(|new| F::pool_of(new) != F::pool_of(old));
            let locked =
                F::lock_of(old).is_none() && new.is_some_and(|new| F::lock_of(new).is_some());
            let lost = by_hand || unready || elsewhere || locked;
            if let Some(pool) = F::pool_of(old).filter(|_| lost) {
                let pool = (change.place.1.clone(), pool.to_owned());
                self.taken.entry(pool).or_default().push_back(change.at);
            }
        }
        self.note_lock(change);
    }

    fn note_lock(&mut self, change: &Change) {
        let Some(new) = &change.new else { return };
        if F::lock_of(new).is_none() {
            self.locked.remove(uid(new));
        } else if F::pool_of(new).is_some() {
            self.locked.entry(uid(new).to_owned()).or_insert(change.at);
        }
    }

    /// Law 4: a creation may not lift a pool above its ceiling, counting what still ends.
    fn ceiling(&self, view: &View, change: &Change, new: &Value, found: &mut Found) {
        let Some(name) = F::pool_of(new) else { return };
        let pool = (change.place.1.clone(), name.to_owned());
        let members = members::<F>(view, &pool).count() + 1;
        let Some(allowed) = self.believable(&pool, change.at).map(|wish| wish.ceiling).max() else {
            return;
        };
        if members as u64 > allowed {
            found.push((
                4,
                format!("pool {name} has {members} sandboxes; its ceiling is {allowed}"),
            ));
        }
    }
}

/// Everything that a pool controls, also what is on its way out.
pub(super) fn members<'a, F: Family>(
    view: &'a View,
    pool: &'a Name,
) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a, F> {
    view.all(F::SANDBOXES)
        .filter(|(place, sandbox)| place.1 == pool.0 && F::pool_of(sandbox) == Some(&pool.1))
        .map(|(place, sandbox)| (place.2.as_str(), sandbox))
}

/// Law 1: what somebody has for good is never given to somebody else.
fn keeps_its_holder<F: Family>(change: &Change, old: &Value, new: &Value, found: &mut Found) {
    if let (Some(had), Some(has)) = (F::holder_of(old), F::holder_of(new))
        && had.life != has.life
    {
        let (had, has) = (had.life, has.life);
        found.push((1, format!("{} went from {had} to {has}", change.place.2)));
    }
}

/// Law 1: no sandbox in two claims, no claim with more than it asked for; neither by who holds what nor by what claims are told.
fn one_claim_each<F: Family>(view: &View, found: &mut Found) {
    struct Asker {
        key: Key,
        asked: u32,
        told: Vec<Key>,
    }
    let key = |namespace: &str, name: &str| Key::new(namespace, name);
    let askers: BTreeMap<&str, Asker> = view
        .all(F::CLAIMS)
        .map(|(place, claim)| {
            let told = F::told(claim).into_iter().map(|name| key(&place.1, name)).collect();
            let asker = Asker { key: key(&place.1, &place.2), asked: F::asked(claim), told };
            (uid(claim), asker)
        })
        .collect();
    let mut held: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
    for (place, sandbox) in view.all(F::SANDBOXES) {
        let counts = !is_leaving(sandbox) && F::counts_for_claim(sandbox);
        if let Some(Holder { life, .. }) = F::holder_of(sandbox).filter(|_| counts) {
            held.entry(life).or_default().push(key(&place.1, &place.2));
        }
    }
    let holding = askers.iter().filter_map(|(life, asker)| {
        held.get(life).map(|sandboxes| (&asker.key, asker.asked, sandboxes.as_slice()))
    });
    let told = askers.values().map(|asker| (&asker.key, asker.asked, asker.told.as_slice()));
    let violations = check::holdings(holding).into_iter().chain(check::holdings(told));
    found.extend(violations.map(|violation| (1, violation.message)));
}

/// A person who deletes a sandbox says so in an annotation first, or the laws would take it for a fault.
pub(super) fn is_by_hand(sandbox: &Value) -> bool {
    sandbox["metadata"]["annotations"]["simulator/by-hand"] == "true"
}
