//! A tiny cluster: the truth, a cache that lags behind it, and the planners in between.
//!
//! It is a model of what the controllers do with the engine, small enough to be read: writes go to the truth and are checked there as an API server would; each
//! change becomes a watch event; the cache learns of it when the event is delivered. After every step the laws are checked.

#![allow(dead_code)] // each test file uses its part of the cluster

use jiff::{SignedDuration, Timestamp};
use sandbank_engine::backoff::Backoff;
use sandbank_engine::check;
use sandbank_engine::claim::{
    Answer, ClaimAction, ClaimPlan, ClaimView, Content, Held, HeldSandbox, Lifetime, Source,
};
use sandbank_engine::expect::Expectations;
use sandbank_engine::pool::{
    PoolAction, PoolPlan, PoolView, Removal, Settings, Target, TemplateState,
};
use sandbank_engine::shelf::{Pick, Shelf};
use sandbank_engine::{
    Amount, Holder, Key, Lock, Member, Precondition, Revision, Stage, Strategy, Trouble,
    TroubleKind, Uid, Version,
};
use std::collections::{BTreeMap, VecDeque};

/// What becomes of sandboxes that are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They become ready.
    Ready,
    /// They fail when they would be ready.
    Fail,
    /// They never become ready.
    Stick,
    /// They find no node.
    Unschedulable,
}

#[derive(Clone, Debug)]
struct Thing {
    member: Member,
    turns_at: Option<Timestamp>,
    gone_at: Option<Timestamp>,
    fate: Fate,
}

#[derive(Clone, Debug)]
enum Event {
    Seen(Member),
    Gone(Key, Uid),
}

#[derive(Clone, Debug)]
struct Claim {
    created: Timestamp,
    uid: Uid,
    answer: Option<Answer>,
}

/// The cluster, with one pool `p` of one template `t`.
pub struct Cluster {
    pub now: Timestamp,
    pub target: u32,
    pub strategy: Strategy,
    pub startup: Option<Amount>,
    pub removal: Removal,
    pub revision: Option<Revision>,
    pub fate: Fate,
    pub start: SignedDuration,
    pub leave: SignedDuration,
    /// If set, so many have to be ready at every step.
    pub floor: Option<usize>,
    /// What happened, line by line.
    pub log: Vec<String>,
    began: Timestamp,
    version: u64,
    names: u32,
    truth: BTreeMap<Key, Thing>,
    cache: BTreeMap<Key, Member>,
    undelivered: VecDeque<Event>,
    claims: BTreeMap<Key, Claim>,
    expectations: Expectations,
    claimed: BTreeMap<Key, Key>,
    shelf: Shelf,
    backoff: Backoff,
}

impl Cluster {
    pub fn new(target: u32, strategy: Strategy, template: &str) -> Self {
        let began = Timestamp::UNIX_EPOCH;
        let revision = Some(Revision::new(template));
        let mut shelf = Shelf::new(pool(), Uid::new("pool"), strategy, Pick::Oldest);
        shelf.follow(strategy, revision.clone());
        Self {
            now: began,
            target,
            strategy,
            startup: None,
            removal: Removal::NewestFirst,
            revision,
            fate: Fate::Ready,
            start: SignedDuration::from_secs(2),
            leave: SignedDuration::from_secs(1),
            floor: None,
            log: Vec::new(),
            began,
            version: 0,
            names: 0,
            truth: BTreeMap::new(),
            cache: BTreeMap::new(),
            undelivered: VecDeque::new(),
            claims: BTreeMap::new(),
            expectations: Expectations::default(),
            claimed: BTreeMap::new(),
            shelf,
            backoff: Backoff::default(),
        }
    }

    /// Changes the pool's spec or its template; `None` removes the template.
    pub fn set_template(&mut self, template: Option<&str>) {
        self.revision = template.map(Revision::new);
        self.shelf.follow(self.strategy, self.revision.clone());
    }

    pub fn set_strategy(&mut self, strategy: Strategy) {
        self.strategy = strategy;
        self.shelf.follow(strategy, self.revision.clone());
    }

    /// A user asks for a sandbox.
    pub fn claim(&mut self, name: &str) {
        self.version += 1;
        let claim = Claim {
            created: self.now,
            uid: Uid::new(format!("uid-{name}-{}", self.version)),
            answer: None,
        };
        self.claims.insert(Key::new("ns", name), claim);
    }

    /// A user is done: the claim goes, and its sandbox with it.
    pub fn release(&mut self, name: &str) {
        let Some(claim) = self.claims.remove(&Key::new("ns", name)) else { return };
        self.shelf.leave(&Key::new("ns", name));
        self.claimed.remove(&Key::new("ns", name));
        let held: Vec<Key> = self.held_by(&claim.uid);
        held.iter().for_each(|key| self.begin_leaving(key));
    }

    /// Something happens to a sandbox behind everybody's back.
    pub fn strike(&mut self, name: &str, stage: Stage) {
        let key = Key::new("ns", name);
        if stage == Stage::Leaving {
            self.begin_leaving(&key);
        } else if let Some(thing) = self.truth.get_mut(&key) {
            thing.turns_at = None;
            let now = self.now;
            self.change(&key, |member| (member.stage, member.since) = (stage, now));
        }
    }

    /// Faults end: there is room for everybody again, and what is started from now on becomes ready.
    pub fn heal(&mut self) {
        self.fate = Fate::Ready;
        let ready_at = self.now + self.start;
        for thing in
            self.truth.values_mut().filter(|thing| matches!(thing.member.stage, Stage::Creating(_)))
        {
            thing.fate = Fate::Ready;
            thing.turns_at = Some(thing.turns_at.unwrap_or(ready_at));
        }
    }

    /// A controller of another process gives a sandbox to a claim of which we know nothing.
    pub fn steal(&mut self, name: &str) {
        self.change(&Key::new("ns", name), |member| {
            member.holder = Holder::Claim(Uid::new("stranger"))
        });
    }

    /// A program outside notes that it is about to take a sandbox of the pool.
    pub fn lock(&mut self, name: &str) {
        let (key, since) = (Key::new("ns", name), self.now);
        let warm = self.warm().any(|member| member.key == key && !member.is_leaving());
        if warm {
            self.change(&key, |member| member.lock = Lock::Taken { since });
        }
    }

    /// The cache learns of the next `count` changes.
    pub fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.undelivered.pop_front() else { return };
            match event {
                Event::Seen(member) => {
                    self.expectations.seen(&member.key, member.version);
                    if member.is_leaving() {
                        self.expectations.delete_settled(&member.uid);
                    }
                    if matches!(member.holder, Holder::Claim(_)) {
                        self.expectations.hand_out_settled(&member.uid);
                    }
                    self.shelf.observe(member.clone());
                    self.cache.insert(member.key.clone(), member);
                }
                Event::Gone(key, uid) => {
                    self.expectations.gone(&key, &uid);
                    self.shelf.remove(&key);
                    self.cache.remove(&key);
                }
            }
        }
    }

    pub fn deliver_all(&mut self) {
        self.deliver(self.undelivered.len());
    }

    /// Time passes.
    pub fn pass(&mut self, time: SignedDuration) {
        self.now += time;
        let due: Vec<Key> = self.truth.keys().cloned().collect();
        for key in due {
            let Some(thing) = self.truth.get(&key) else { continue };
            if thing.gone_at.is_some_and(|at| at <= self.now) {
                let uid = thing.member.uid.clone();
                self.truth.remove(&key);
                self.undelivered.push_back(Event::Gone(key, uid));
            } else if let Some(at) = thing.turns_at.filter(|at| *at <= self.now) {
                let fate = thing.fate;
                if let Some(thing) = self.truth.get_mut(&key) {
                    thing.turns_at = None;
                }
                let stage = match fate {
                    Fate::Ready => Stage::Available,
                    Fate::Fail => {
                        Stage::Failed { message: "the process ended with code 1".to_owned() }
                    }
                    Fate::Stick => continue,
                    Fate::Unschedulable => Stage::Creating(Some(Trouble {
                        kind: TroubleKind::Unschedulable,
                        message: "0/1 nodes have enough memory".to_owned(),
                    })),
                };
                self.change(&key, |member| (member.stage, member.since) = (stage, at));
            }
        }
    }

    /// The pool as the cache shows it.
    pub fn pool_view(&self) -> PoolView {
        let name = Key::new("ns", "t");
        PoolView {
            key: pool(),
            uid: Uid::new("pool"),
            leaving: false,
            target: Target::Count(self.target),
            template: match &self.revision {
                Some(revision) => TemplateState::Found { name, revision: revision.clone() },
                None => TemplateState::Missing { name },
            },
            strategy: self.strategy,
            startup: self.startup,
            removal: self.removal,
            members: self.cache.values().cloned().collect(),
            claimed: 0,
            waiting: u32::try_from(self.shelf.waiting()).expect("few claims"),
            pending: self.expectations.pending(),
            backoff: self.backoff,
            refusal: None,
            settings: Settings {
                readiness_grace: SignedDuration::from_secs(60),
                ..Settings::default()
            },
        }
    }

    /// The pool's controller runs once.
    pub fn reconcile_pool(&mut self) -> PoolPlan {
        let view = self.pool_view();
        let plan = sandbank_engine::pool::plan(&view, self.now);
        assert_eq!(check::pool_plan(&view, &plan), Vec::new());
        assert_eq!(check::locks(&view, &plan, self.now), Vec::new());
        self.backoff = plan.backoff;
        for action in plan.actions.clone() {
            match action {
                PoolAction::Create { count, revision, why } => {
                    let names: Vec<String> = (0..count).map(|_| self.create(&revision)).collect();
                    self.say(format!("pool makes {} ({})", names.join(" "), why.code));
                }
                PoolAction::Delete { key, precondition, why } => {
                    self.delete(&key, &precondition, why.code.as_str())
                }
                PoolAction::Adopt { key, precondition, why } => {
                    self.say(format!("pool adopts {} ({})", key.name, why.code));
                    if self.holds(&key, &precondition) {
                        self.change(&key, |member| member.holder = Holder::Pool(Uid::new("pool")));
                    }
                }
            }
        }
        self.check();
        plan
    }

    fn create(&mut self, revision: &Revision) -> String {
        self.names += 1;
        let name = format!("p-{}", self.names);
        let key = Key::new("ns", &name);
        self.expectations.create(key.clone(), self.now);
        let holder = Holder::Pool(Uid::new("pool"));
        self.put(key, holder, revision.clone());
        let ceiling = match self.strategy {
            Strategy::RollingUpdate(budget) => budget.bounds(self.target).ceiling,
            _ => self.target,
        };
        let pool = Holder::Pool(Uid::new("pool"));
        let taken = self.truth.values().filter(|thing| thing.member.holder == pool).count();
        assert!(taken <= ceiling as usize, "law 4: {taken} exist, at most {ceiling} may");
        name
    }

    fn delete(&mut self, key: &Key, precondition: &Precondition, why: &str) {
        if self.holds(key, precondition) {
            let member = &self.truth[key].member;
            assert_eq!(check::removal(member, &Uid::new("pool")), None);
            self.expectations.delete(member.uid.clone(), self.now);
            self.say(format!("pool removes {} ({why})", key.name));
            self.begin_leaving(key);
        } else {
            self.say(format!("pool removes {} ({why}): refused, it changed meanwhile", key.name));
        }
    }

    /// The controller of a claim runs once.
    pub fn reconcile_claim(&mut self, name: &str) -> Option<ClaimPlan> {
        let key = Key::new("ns", name);
        let claim = self.claims.get(&key)?.clone();
        let view = self.claim_view(&key, &claim);
        let plan = sandbank_engine::claim::plan(&view, self.now);
        for action in &plan.actions {
            match action {
                ClaimAction::Bind { candidate, .. } => {
                    let taken = self.shelf.take(candidate);
                    assert!(taken.is_some(), "an offered candidate is on the shelf");
                    if !self.holds(&candidate.key, &candidate.precondition) {
                        self.say(format!(
                            "{name} takes {}: refused, it changed meanwhile",
                            candidate.key.name
                        ));
                        return self.reconcile_claim(name);
                    }
                    let member = &self.truth[&candidate.key].member;
                    assert_eq!(
                        check::hand_out(member, self.strategy, self.revision.as_ref()),
                        None
                    );
                    self.expectations.hand_out(member.uid.clone(), self.now);
                    self.expectations.hand_out_done(&member.uid.clone());
                    let uid = claim.uid.clone();
                    self.change(&candidate.key, |member| member.holder = Holder::Claim(uid));
                    self.claimed.insert(key.clone(), candidate.key.clone());
                    self.say(format!("{name} takes {}", candidate.key.name));
                }
                ClaimAction::CreateCold { name: sandbox, why } => {
                    self.put(
                        sandbox.clone(),
                        Holder::Claim(claim.uid.clone()),
                        self.revision.clone()?,
                    );
                    self.claimed.insert(key.clone(), sandbox.clone());
                    self.say(format!("{name} starts cold ({}: {})", why.code, why.message));
                }
                ClaimAction::DeleteSandbox { .. } | ClaimAction::DeleteClaim { .. } => {
                    unreachable!("claims of this cluster have no lifetime")
                }
            }
        }
        match &plan.answer {
            Answer::Waiting(why) => {
                if self.claims[&key].answer.as_ref() != Some(&plan.answer) {
                    self.say(format!("{name} waits ({})", why.code));
                }
                self.shelf.wait(&key, claim.created);
            }
            _ => self.shelf.leave(&key),
        }
        self.claims.get_mut(&key)?.answer = Some(plan.answer.clone());
        self.check();
        Some(plan)
    }

    fn claim_view(&self, key: &Key, claim: &Claim) -> ClaimView {
        let held = match self.claimed.get(key) {
            None if self.truth.contains_key(key) => Held::NameTaken { name: key.clone() },
            None => Held::Nothing,
            Some(sandbox) => match self.truth.get(sandbox) {
                None => Held::Lost { name: sandbox.clone() },
                Some(thing) => Held::Sandbox(HeldSandbox {
                    key: sandbox.clone(),
                    precondition: thing.member.precondition(),
                    leaving: thing.member.is_leaving(),
                    finished: None,
                    expired: false,
                }),
            },
        };
        let source = match &self.revision {
            Some(_) => Source::Found {
                offers: vec![self.shelf.offer(key, claim.created)],
                cold_start: None,
            },
            None => Source::TemplateMissing { name: Key::new("ns", "t") },
        };
        ClaimView {
            key: key.clone(),
            uid: claim.uid.clone(),
            version: Version(1),
            created: claim.created,
            leaving: false,
            lifetime: Lifetime::default(),
            content: Content::Plain,
            source,
            held,
            spare: Vec::new(),
        }
    }

    /// All controllers run until nothing is left to do; time passes where they only wait. Returns the number of rounds, or nothing if they never rest.
    pub fn settle(&mut self) -> Option<usize> {
        for round in 0..400 {
            self.deliver_all();
            let before = self.version;
            let mut wake = self.reconcile_pool().wake_at;
            let mut names: Vec<(Timestamp, Key)> =
                self.claims.iter().map(|(key, claim)| (claim.created, key.clone())).collect();
            names.sort();
            for (_, key) in names {
                let plan = self.reconcile_claim(&key.name);
                wake = [wake, plan.and_then(|plan| plan.wake_at)].into_iter().flatten().min();
            }
            if self.version != before || !self.undelivered.is_empty() {
                continue;
            }
            let turns =
                self.truth.values().flat_map(|thing| [thing.turns_at, thing.gone_at]).flatten();
            match turns.chain(wake).filter(|at| *at > self.now).min() {
                Some(at) => self.pass(at.duration_since(self.now)),
                None => return Some(round),
            }
        }
        None
    }

    /// How many warm ones are ready, in truth.
    pub fn available(&self) -> usize {
        self.warm().filter(|member| member.is_available()).count()
    }

    /// The warm ones, in truth.
    pub fn warm(&self) -> impl Iterator<Item = &Member> {
        let pool = Holder::Pool(Uid::new("pool"));
        self.truth.values().map(|thing| &thing.member).filter(move |member| member.holder == pool)
    }

    /// What a claim was last told.
    pub fn answer(&self, name: &str) -> Option<&Answer> {
        self.claims.get(&Key::new("ns", name))?.answer.as_ref()
    }

    /// Names of the claims.
    pub fn claims(&self) -> Vec<String> {
        self.claims.keys().map(|key| key.name.to_string()).collect()
    }

    /// Puts a sandbox there that no pool made.
    pub fn orphan(&mut self, name: &str, template: &str) {
        self.put(Key::new("ns", name), Holder::Nobody, Revision::new(template));
    }

    /// One line on the pool, as a status would say it.
    pub fn summary(&self) -> String {
        let plan = sandbank_engine::pool::plan(&self.pool_view(), self.now);
        let counts = plan.status.counts;
        let progress = &plan.status.conditions[1];
        format!(
            "warm {} ready {} updated {} | Available {} | Progressing {} {}: {}",
            counts.warm,
            counts.available,
            counts.updated,
            plan.status.conditions[0].verdict.as_str(),
            progress.verdict.as_str(),
            progress.reason.code,
            progress.reason.message
        )
    }

    pub fn say(&mut self, line: String) {
        let seconds = self.now.duration_since(self.began).as_secs();
        self.log.push(format!("{seconds:>4}s  {line}"));
    }

    fn put(&mut self, key: Key, holder: Holder, revision: Revision) {
        self.version += 1;
        let member = Member {
            uid: Uid::new(format!("uid-{}-{}", key.name, self.version)),
            key: key.clone(),
            version: Version(self.version),
            created: self.now,
            holder,
            revision,
            stage: Stage::Creating(None),
            lock: Lock::Free,
            since: self.now,
            node: None,
        };
        let turns_at = (self.fate != Fate::Stick).then(|| self.now + self.start);
        self.undelivered.push_back(Event::Seen(member.clone()));
        self.truth.insert(key, Thing { member, turns_at, gone_at: None, fate: self.fate });
    }

    fn change(&mut self, key: &Key, change: impl FnOnce(&mut Member)) {
        self.version += 1;
        if let Some(thing) = self.truth.get_mut(key) {
            change(&mut thing.member);
            thing.member.version = Version(self.version);
            self.undelivered.push_back(Event::Seen(thing.member.clone()));
        }
    }

    fn begin_leaving(&mut self, key: &Key) {
        let gone_at = self.now + self.leave;
        if let Some(thing) = self.truth.get_mut(key).filter(|thing| thing.gone_at.is_none()) {
            thing.gone_at = Some(gone_at);
            thing.turns_at = None;
            self.change(key, |member| member.stage = Stage::Leaving);
        }
    }

    fn holds(&self, key: &Key, precondition: &Precondition) -> bool {
        self.truth.get(key).is_some_and(|thing| thing.member.precondition() == *precondition)
    }

    fn held_by(&self, uid: &Uid) -> Vec<Key> {
        let holder = Holder::Claim(uid.clone());
        self.truth
            .values()
            .filter(|thing| thing.member.holder == holder)
            .map(|thing| thing.member.key.clone())
            .collect()
    }

    fn check(&self) {
        if let Some(floor) = self.floor {
            assert!(
                self.available() >= floor,
                "law 5: {} are ready, {floor} have to be: {:#?}",
                self.available(),
                self.log
            );
        }
        let held: Vec<(Key, Vec<Key>)> = self
            .claims
            .iter()
            .map(|(key, claim)| (key.clone(), self.held_by(&claim.uid)))
            .collect();
        assert_eq!(
            check::holdings(held.iter().map(|(key, held)| (key, 1, held.as_slice()))),
            Vec::new()
        );
    }
}

fn pool() -> Key {
    Key::new("ns", "p")
}
