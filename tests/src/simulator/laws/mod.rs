//! The laws (ARCHITECTURE.md) as a bystander checks them: on every change, and once more when all is quiet.
//!
//! The checker knows the API and nothing of the controllers. A write is judged strictly by the object it changes, because it carries that object's version as a
//! precondition. Where a law also speaks of *other* objects, it allows [`Grace`]: nobody can act on a change of which he has not been told yet.
//!
//! - here: what is remembered, and laws 1 and 4.
//! - [`handing`]: laws 2, 3 and 5, what happens to a single sandbox.
//! - [`rest`]: laws 6 and 7, when all is quiet.
//! - [`spec`]: what a pool asks for.

mod handing;
mod rest;
mod spec;

use std::collections::{BTreeMap, VecDeque};

use engine::{Key, check};
use serde_json::Value;

use super::view::{Change, View, claim_of, controller, image, is_leaving, is_true, pool_of, uid};
use spec::{replicas, surge, template_of};

/// How old, in simulated milliseconds, news of other objects may be before acting against it is a fault: the longest delay that the simulated network adds, plus a
/// watch that breaks and comes back.
#[derive(Clone, Copy, Debug)]
pub struct Grace(pub u64);

/// A broken law.
#[derive(Clone, Debug)]
pub struct Breach {
    /// Its number in the list of laws; 0 for "a controller never ends by itself".
    pub law: u8,
    /// When, as a revision.
    pub revision: u64,
    /// What happened.
    pub what: String,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "law {} broken at revision {}: {}", self.law, self.revision, self.what)
    }
}

/// Namespace and name.
type Name = (String, String);

/// Watches the laws over a run.
#[derive(Debug)]
pub struct Laws {
    grace: Grace,
    view: View,
    /// What each pool lately was: when, its ceiling and the image it wanted.
    wishes: BTreeMap<Name, VecDeque<Wish>>,
    /// When each pool lost an available member other than by its own hand: to a claim, to a person, to a failing pod.
    taken: BTreeMap<Name, VecDeque<u64>>,
    /// The breaches so far.
    pub breaches: Vec<Breach>,
}

/// What a pool asks for from some moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    at: u64,
    ceiling: u64,
    target: u64,
    image: Option<String>,
    forbids_stale: bool,
}

impl Laws {
    /// Begins with an empty cluster.
    pub fn new(grace: Grace) -> Self {
        Self {
            grace,
            view: View::default(),
            wishes: BTreeMap::new(),
            taken: BTreeMap::new(),
            breaches: Vec::new(),
        }
    }

    /// The state seen so far.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Takes in a change and checks it.
    pub fn observe(&mut self, change: &Change) {
        if change.place.0 == "sandboxes" {
            self.sandbox(change);
        }
        self.view.apply(change);
        match change.place.0.as_str() {
            "sandboxes" | "sandboxclaims" => self.one_claim_each(change.revision),
            "pods" if change.old.is_none() => self.one_pod_each(change),
            "sandboxtemplates" | "sandboxwarmpools" => self.note_wishes(change.at),
            _ => {}
        }
    }

    fn breach(&mut self, law: u8, revision: u64, what: String) {
        self.breaches.push(Breach { law, revision, what });
    }

    /// Remembers what the pools ask for, whenever that changes.
    fn note_wishes(&mut self, at: u64) {
        for (place, pool) in self.view.all("sandboxwarmpools") {
            let template = self.view.get("sandboxtemplates", &place.1, template_of(pool));
            let wish = Wish {
                at,
                ceiling: replicas(pool) + surge(pool),
                target: replicas(pool),
                image: template.map(|template| image(template).to_owned()),
                forbids_stale: pool["spec"]["updateStrategy"]["type"] == "Recreate",
            };
            let wishes = self.wishes.entry((place.1.clone(), place.2.clone())).or_default();
            if wishes.back().is_none_or(|last| Wish { at, ..last.clone() } != wish) {
                wishes.push_back(wish);
            }
        }
    }

    /// What a controller may believe that a pool asks for: what it asked for at any time within the grace period.
    fn believable<'a>(&'a self, pool: &Name, at: u64) -> impl Iterator<Item = &'a Wish> + use<'a> {
        let since = at.saturating_sub(self.grace.0);
        let wishes = self.wishes.get(pool).into_iter().flatten();
        let ends = self.wishes.get(pool).into_iter().flatten().skip(1).map(|next| next.at);
        wishes
            .zip(ends.map(Some).chain(std::iter::repeat(None)))
            .filter(move |(_, end)| end.is_none_or(|end| end >= since))
            .map(|(wish, _)| wish)
    }

    fn sandbox(&mut self, change: &Change) {
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        match (old, new) {
            (None, Some(new)) if pool_of(new).is_some() => self.ceiling(change, new),
            (Some(old), Some(new)) if pool_of(old).is_some() && claim_of(new).is_some() => {
                self.handed_out(change, old, new);
            }
            _ => {}
        }
        let goes = match (old, new) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => !is_leaving(old) && is_leaving(new),
            _ => false,
        };
        let Some(old) = old.filter(|old| !is_leaving(old)) else { return };
        match claim_of(old).filter(|_| goes) {
            Some((claim, life)) => self.claimed_goes(change, old, claim, life),
            None if goes => self.warm_goes(change, old),
            None => {}
        }
        let by_hand = goes && is_by_hand(old);
        let unready = new.is_some_and(|new| !is_true(new, "Ready"));
        let elsewhere = new.is_some_and(|new| pool_of(new) != pool_of(old));
        if let Some(pool) = pool_of(old).filter(|_| by_hand || unready || elsewhere) {
            let pool = (change.place.1.clone(), pool.to_owned());
            self.taken.entry(pool).or_default().push_back(change.at);
        }
    }

    /// Law 4: a creation may not lift a pool above its ceiling, counting what still ends.
    fn ceiling(&mut self, change: &Change, new: &Value) {
        let Some(name) = pool_of(new) else { return };
        let pool = (change.place.1.clone(), name.to_owned());
        let members = self.members(&pool).count() + 1;
        let Some(allowed) = self.believable(&pool, change.at).map(|wish| wish.ceiling).max() else {
            return;
        };
        if members as u64 > allowed {
            let what = format!("pool {name} has {members} sandboxes; its ceiling is {allowed}");
            self.breach(4, change.revision, what);
        }
    }

    /// Everything that a pool controls, also what is on its way out.
    fn members<'a>(&'a self, pool: &'a Name) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.view
            .all("sandboxes")
            .filter(|(place, sandbox)| place.1 == pool.0 && pool_of(sandbox) == Some(&pool.1))
            .map(|(place, sandbox)| (place.2.as_str(), sandbox))
    }

    /// Law 1: no sandbox in two claims, no claim with two sandboxes; neither by ownership nor by what claims are told.
    fn one_claim_each(&mut self, revision: u64) {
        let key = |namespace: &str, name: &str| Key::new(namespace, name);
        let claims: BTreeMap<&str, (Key, Option<Key>)> = self
            .view
            .all("sandboxclaims")
            .map(|(place, claim)| {
                let told = claim["status"]["sandbox"]["name"].as_str().filter(|n| !n.is_empty());
                (uid(claim), (key(&place.1, &place.2), told.map(|name| key(&place.1, name))))
            })
            .collect();
        let mut held: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
        for (place, sandbox) in self.view.all("sandboxes") {
            if let Some((_, life)) = claim_of(sandbox).filter(|_| !is_leaving(sandbox)) {
                held.entry(life).or_default().push(key(&place.1, &place.2));
            }
        }
        let owned = claims.iter().filter_map(|(life, (claim, _))| {
            held.get(life).map(|sandboxes| (claim, 1, sandboxes.as_slice()))
        });
        let mut found = check::holdings(owned);
        let told = claims.values().map(|(claim, told)| (claim, 1, told.as_slice()));
        found.extend(check::holdings(told));
        for violation in found {
            self.breach(1, revision, violation.message);
        }
    }
}

impl Laws {
    /// Part of law 1: a sandbox never has two pods.
    fn one_pod_each(&mut self, change: &Change) {
        let owner = change.new.as_ref().and_then(controller);
        let Some((_, name, life)) = owner else { return };
        let pods = self.view.all("pods").filter(|(_, pod)| {
            !is_leaving(pod) && controller(pod).is_some_and(|(_, _, owner)| owner == life)
        });
        let count = pods.count();
        if count > 1 {
            self.breach(1, change.revision, format!("sandbox {name} has {count} pods"));
        }
    }
}

/// A person who deletes a sandbox says so in an annotation first, or the laws would take it for a fault.
fn is_by_hand(sandbox: &Value) -> bool {
    sandbox["metadata"]["annotations"]["simulator/by-hand"] == "true"
}
