//! The laws (ARCHITECTURE.md) as a bystander checks them: on every change, and once more when all is quiet.
//!
//! The checker knows the API and nothing of the controllers. Where a law speaks of what the controllers *know*, it allows
//! them [`Grace`]: no observer can act on a change that it has not been told of yet.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::view::{Change, View, controller, image, is_leaving, is_true};

/// How old, in simulated milliseconds, news may be before acting against it is a fault: the longest delay that the
/// simulated network adds, plus a watch that breaks and comes back.
#[derive(Clone, Copy, Debug)]
pub struct Grace(pub u64);

/// A broken law.
#[derive(Clone, Debug)]
pub struct Breach {
    /// Its number in the list of laws.
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

/// Watches the laws over a run.
#[derive(Debug)]
pub struct Laws {
    grace: Grace,
    view: View,
    /// When each template last changed its image, and to what it changed.
    template_changed: BTreeMap<(String, String), u64>,
    /// What each pool's ceiling was lately: (time, ceiling).
    ceilings: BTreeMap<(String, String), VecDeque<(u64, u64)>>,
    /// When each pool last lost an available member to a claim, or to a failure.
    taken: BTreeMap<(String, String), VecDeque<u64>>,
    /// When each sandbox was last seen ready, by uid.
    last_ready: BTreeMap<String, u64>,
    /// The breaches so far.
    pub breaches: Vec<Breach>,
}

impl Laws {
    /// Begins with an empty cluster.
    pub fn new(grace: Grace) -> Self {
        Self {
            grace,
            view: View::default(),
            template_changed: BTreeMap::new(),
            ceilings: BTreeMap::new(),
            taken: BTreeMap::new(),
            last_ready: BTreeMap::new(),
            breaches: Vec::new(),
        }
    }

    /// The state seen so far.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Takes in a change and checks it.
    pub fn observe(&mut self, change: &Change) {
        match change.place.0.as_str() {
            "sandboxes" => self.sandbox(change),
            "sandboxtemplates" => self.template(change),
            "sandboxwarmpools" => self.pool(change),
            _ => {}
        }
        self.view.apply(change);
        if matches!(change.place.0.as_str(), "sandboxes" | "sandboxclaims") {
            self.one_claim_each(change.revision);
        }
    }

    fn breach(&mut self, law: u8, revision: u64, what: String) {
        self.breaches.push(Breach { law, revision, what });
    }

    fn template(&mut self, change: &Change) {
        let (_, namespace, name) = &change.place;
        let before = change.old.as_ref().map(image);
        let after = change.new.as_ref().map(image);
        if before != after {
            self.template_changed.insert((namespace.clone(), name.clone()), change.at);
        }
    }

    fn pool(&mut self, change: &Change) {
        let (_, namespace, name) = &change.place;
        if let Some(pool) = &change.new {
            let ceiling = replicas(pool) + surge(pool);
            self.ceilings
                .entry((namespace.clone(), name.clone()))
                .or_default()
                .push_back((change.at, ceiling));
            // A switch of the template makes members stale as an edit of it does.
            let before = change.old.as_ref().map(|old| &old["spec"]["sandboxTemplateRef"]["name"]);
            if before.is_some_and(|b| *b != pool["spec"]["sandboxTemplateRef"]["name"]) {
                let template = template_of(pool);
                self.template_changed.insert((namespace.clone(), template.into()), change.at);
            }
        }
    }

    fn sandbox(&mut self, change: &Change) {
        let old = change.old.as_ref();
        let new = change.new.as_ref();
        if let Some(sandbox) = new.filter(|s| is_true(s, "Ready")) {
            self.last_ready.insert(uid(sandbox).to_owned(), change.at);
        }
        let was_warm = old.and_then(pool_of);
        let is_warm = new.and_then(pool_of);
        match (old, new) {
            (None, Some(_)) if is_warm.is_some() => self.ceiling(change),
            (Some(old), Some(new)) if was_warm.is_some() && claim_of(new).is_some() => {
                self.handed_out(change, old, new);
            }
            _ => {}
        }
        let goes = match (old, new) {
            (Some(_), None) => true,
            (Some(old), Some(new)) => !is_leaving(old) && is_leaving(new),
            _ => false,
        };
        if let Some(old) = old.filter(|old| goes && !is_leaving(old)) {
            if let Some((claim, claim_uid)) = claim_of(old) {
                self.claimed_goes(change, claim.to_owned(), claim_uid.to_owned());
            } else if was_warm.is_some() {
                self.warm_goes(change, old);
            }
        }
    }

    /// Law 4: a creation may not lift a pool above its ceiling, counting what still ends.
    fn ceiling(&mut self, change: &Change) {
        let Some(pool) = change.new.as_ref().and_then(pool_of).map(str::to_owned) else { return };
        let namespace = change.place.1.clone();
        let members = self
            .view
            .all("sandboxes")
            .filter(|(place, s)| place.1 == namespace && pool_of(s) == Some(&pool))
            .count() as u64
            + 1;
        let since = change.at.saturating_sub(self.grace.0);
        let Some(ceilings) = self.ceilings.get(&(namespace.clone(), pool.clone())) else { return };
        // The ceiling in force at the start of the grace period counts too.
        let before = ceilings.iter().rfind(|(at, _)| *at < since).map(|(_, c)| *c);
        let recent = ceilings.iter().filter(|(at, _)| *at >= since).map(|(_, c)| *c).max();
        let allowed = before.max(recent).unwrap_or(0);
        if members > allowed {
            self.breach(
                4,
                change.revision,
                format!(
                    "pool {namespace}/{pool} has {members} sandboxes; its ceiling is {allowed}"
                ),
            );
        }
    }

    /// Law 3: what is handed out is ready, stays, and is fresh where the strategy wants it so.
    fn handed_out(&mut self, change: &Change, old: &Value, new: &Value) {
        let name = format!("{}/{}", change.place.1, change.place.2);
        if is_leaving(old) {
            self.breach(3, change.revision, format!("{name} was handed out while leaving"));
        }
        let ready_at = self.last_ready.get(uid(old)).copied();
        if ready_at.is_none_or(|at| at + self.grace.0 < change.at) {
            self.breach(3, change.revision, format!("{name} was handed out unready"));
        }
        let Some(pool_name) = pool_of(old).map(str::to_owned) else { return };
        let key = (change.place.1.clone(), pool_name.clone());
        self.taken.entry(key).or_default().push_back(change.at);
        let Some(pool) = self.view.get("sandboxwarmpools", &change.place.1, &pool_name) else {
            return;
        };
        let strategy = pool["spec"]["updateStrategy"]["type"].as_str().unwrap_or("OnReplenish");
        let template = template_of(pool).to_owned();
        let fresh = self
            .view
            .get("sandboxtemplates", &change.place.1, &template)
            .is_none_or(|template| image(template) == image(new));
        let changed = self.template_changed.get(&(change.place.1.clone(), template)).copied();
        let known = changed.is_some_and(|at| at + self.grace.0 < change.at);
        if !fresh && known && strategy != "OnReplenish" {
            self.breach(
                3,
                change.revision,
                format!("{name} was handed out stale under {strategy}"),
            );
        }
    }

    /// Law 2: a claimed sandbox goes only when its claim does.
    fn claimed_goes(&mut self, change: &Change, claim: String, claim_uid: String) {
        let owner = self.view.get("sandboxclaims", &change.place.1, &claim);
        let may_go = match owner {
            None => true,
            Some(owner) if uid(owner) != claim_uid => true,
            Some(owner) => {
                let expires = !owner["spec"]["lifecycle"].is_null();
                is_leaving(owner) || expires
            }
        };
        // The user of a simulation may delete a sandbox by hand and says so in an annotation first.
        let by_hand = change
            .old
            .as_ref()
            .is_some_and(|s| s["metadata"]["annotations"]["simulator/by-hand"] == "true");
        if !may_go && !by_hand {
            self.breach(
                2,
                change.revision,
                format!(
                    "{}/{} was deleted under its claim {claim}",
                    change.place.1, change.place.2
                ),
            );
        }
    }

    /// Law 5: a rolling update never takes the pool below its floor.
    fn warm_goes(&mut self, change: &Change, old: &Value) {
        let Some(pool_name) = pool_of(old).map(str::to_owned) else { return };
        let namespace = change.place.1.clone();
        if !is_true(old, "Ready") {
            return;
        }
        let Some(pool) = self.view.get("sandboxwarmpools", &namespace, &pool_name) else { return };
        if is_leaving(pool) || pool["spec"]["updateStrategy"]["type"] != "RollingUpdate" {
            return;
        }
        let (target, unavailable) = (replicas(pool), max_unavailable(pool));
        let available = self
            .view
            .all("sandboxes")
            .filter(|(place, s)| {
                place.1 == namespace
                    && place.2 != change.place.2
                    && pool_of(s) == Some(&pool_name)
                    && is_true(s, "Ready")
                    && !is_leaving(s)
            })
            .count() as u64;
        let since = change.at.saturating_sub(self.grace.0);
        let key = (namespace.clone(), pool_name.clone());
        let lately =
            self.taken.get(&key).map_or(0, |t| t.iter().filter(|at| **at >= since).count()) as u64;
        // A change of the target within the grace period moves the floor.
        let floor =
            self.ceilings.get(&key).and_then(|c| c.back()).map_or(0, |(at, _)| {
                if *at >= since { 0 } else { target.saturating_sub(unavailable) }
            });
        if available + lately < floor {
            self.breach(
                5,
                change.revision,
                format!("deleting {} leaves pool {namespace}/{pool_name} with {available} of at least {floor}", change.place.2),
            );
        }
    }

    /// Law 1: no sandbox in two claims, no claim with two sandboxes.
    fn one_claim_each(&mut self, revision: u64) {
        let mut holders: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut doubles = Vec::new();
        for (place, sandbox) in self.view.all("sandboxes") {
            if is_leaving(sandbox) {
                continue;
            }
            if let Some((claim, claim_uid)) = claim_of(sandbox) {
                let key = (place.1.clone(), claim_uid.to_owned());
                if let Some(other) = holders.insert(key, place.2.clone()) {
                    doubles
                        .push(format!("claim {}/{claim} holds {other} and {}", place.1, place.2));
                }
            }
        }
        let mut told: BTreeMap<(String, String), String> = BTreeMap::new();
        for (place, claim) in self.view.all("sandboxclaims") {
            let Some(name) = claim["status"]["sandbox"]["name"].as_str().filter(|n| !n.is_empty())
            else {
                continue;
            };
            if let Some(other) = told.insert((place.1.clone(), name.to_owned()), place.2.clone()) {
                doubles.push(format!(
                    "claims {other} and {} were both told {}/{name}",
                    place.2, place.1
                ));
            }
        }
        for what in doubles {
            self.breach(1, revision, what);
        }
    }

    /// Laws 6 and 7, when all is quiet: everything has what its spec asks for, and every count is true.
    pub fn at_rest(&mut self, revision: u64) {
        let mut found = Vec::new();
        for (place, pool) in self.view.all("sandboxwarmpools") {
            let (namespace, name) = (&place.1, &place.2);
            let members: Vec<&Value> = self
                .view
                .all("sandboxes")
                .filter(|(p, s)| p.1 == *namespace && pool_of(s) == Some(name) && !is_leaving(s))
                .map(|(_, s)| s)
                .collect();
            let ready = members.iter().filter(|s| is_true(s, "Ready")).count() as u64;
            let template = self.view.get("sandboxtemplates", namespace, template_of(pool));
            let broken = template.is_none_or(|t| image(t).contains(super::node::BROKEN_IMAGE));
            if !broken && ready != replicas(pool) {
                found.push((
                    6,
                    format!("pool {namespace}/{name} has {ready} ready of {}", replicas(pool)),
                ));
            }
            let told = &pool["status"];
            let count = |field: &str| told[field].as_u64().unwrap_or(0);
            if count("replicas") != members.len() as u64 || count("readyReplicas") != ready {
                found.push((
                    7,
                    format!(
                        "pool {namespace}/{name} says {} and {} ready; there are {} and {ready}",
                        count("replicas"),
                        count("readyReplicas"),
                        members.len()
                    ),
                ));
            }
            let strategy = pool["spec"]["updateStrategy"]["type"].as_str().unwrap_or("OnReplenish");
            if let Some(template) = template.filter(|_| !broken && strategy != "OnReplenish") {
                let stale = members.iter().filter(|s| image(s) != image(template)).count();
                if stale > 0 {
                    found.push((
                        6,
                        format!("pool {namespace}/{name} still has {stale} stale sandboxes"),
                    ));
                }
            }
        }
        for (place, claim) in self.view.all("sandboxclaims") {
            if is_leaving(claim) {
                found.push((6, format!("claim {}/{} is still leaving", place.1, place.2)));
                continue;
            }
            let name = claim["status"]["sandbox"]["name"].as_str().unwrap_or_default();
            let held = self.view.get("sandboxes", &place.1, name);
            let ready = is_true(claim, "Ready");
            let says_why = claim["status"]["conditions"].as_array().is_some_and(|conditions| {
                conditions.iter().any(|c| {
                    c["type"] == "Ready" && c["reason"].as_str().is_some_and(|r| !r.is_empty())
                })
            });
            if !ready && !says_why {
                found.push((
                    7,
                    format!("claim {}/{} is not ready and does not say why", place.1, place.2),
                ));
            }
            if ready
                && !held.is_some_and(|s| {
                    is_true(s, "Ready") && claim_of(s).is_some_and(|c| c.1 == uid(claim))
                })
            {
                found.push((
                    7,
                    format!("claim {}/{} says it has {name}, which is not so", place.1, place.2),
                ));
            }
        }
        for (law, what) in found {
            self.breach(law, revision, what);
        }
    }
}

fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

fn pool_of(sandbox: &Value) -> Option<&str> {
    controller(sandbox).filter(|owner| owner.0 == "SandboxWarmPool").map(|owner| owner.1)
}

fn claim_of(sandbox: &Value) -> Option<(&str, &str)> {
    controller(sandbox).filter(|owner| owner.0 == "SandboxClaim").map(|owner| (owner.1, owner.2))
}

fn template_of(pool: &Value) -> &str {
    pool["spec"]["sandboxTemplateRef"]["name"].as_str().unwrap_or_default()
}

fn replicas(pool: &Value) -> u64 {
    pool["spec"]["replicas"].as_u64().unwrap_or(1)
}

fn surge(pool: &Value) -> u64 {
    let strategy = &pool["spec"]["updateStrategy"];
    if strategy["type"] != "RollingUpdate" {
        return 0;
    }
    bound(&strategy["rollingUpdate"]["maxSurge"], replicas(pool), Round::Up)
}

fn max_unavailable(pool: &Value) -> u64 {
    bound(
        &pool["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"],
        replicas(pool),
        Round::Down,
    )
}

enum Round {
    Up,
    Down,
}

/// A count or a percentage; absent means the default of a quarter, as for a Deployment.
fn bound(value: &Value, of: u64, round: Round) -> u64 {
    if let Some(count) = value.as_u64() {
        return count;
    }
    let percent = value
        .as_str()
        .and_then(|s| s.strip_suffix('%'))
        .and_then(|s| s.parse().ok())
        .unwrap_or(25u64);
    match round {
        Round::Up => (of * percent).div_ceil(100),
        Round::Down => of * percent / 100,
    }
}
