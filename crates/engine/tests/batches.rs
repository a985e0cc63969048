//! What holds for batches, whatever happens to them: several claims of n and a stranger take from one pool, and the process dies between any two writes.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sandbank_engine::backoff::Backoff;
use sandbank_engine::batch::{
    self, Answer, BatchAction, BatchView, ColdStart, Content, Delivery, Failed, Handover, History,
    Holding, HoldingState, Source, Stock, Terms,
};
use sandbank_engine::check;
use sandbank_engine::expect::Expectations;
use sandbank_engine::shelf::{Pick, Shelf};
use sandbank_engine::{
    Holder, Key, Lock, Member, Revision, Stage, Strategy as Rollout, Uid, Version,
};
use std::collections::BTreeMap;

const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

fn key(name: &str) -> Key {
    Key::new("ns", name)
}

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[derive(Clone, Debug)]
struct Claim {
    want: u32,
    created: Timestamp,
    history: History,
    backoff: Backoff,
    unseen: Expectations,
}

/// The truth about a pool and its claims, and the one controller's late view of the sandboxes.
struct World {
    now: Timestamp,
    version: u64,
    terms: Terms,
    truth: BTreeMap<Key, Member>,
    cache: BTreeMap<Key, Member>,
    unseen: Vec<Key>,
    shelf: Shelf,
    claims: BTreeMap<Key, Claim>,
    /// What was planned, for whoever reads a failure.
    log: Vec<String>,
}

impl World {
    fn new(terms: Terms) -> Self {
        World {
            now: Timestamp::UNIX_EPOCH,
            version: 0,
            terms,
            truth: BTreeMap::new(),
            cache: BTreeMap::new(),
            unseen: Vec::new(),
            shelf: empty_shelf(),
            claims: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn add(&mut self, holder: Holder, stage: Stage) -> Key {
        self.version += 1;
        let key = key(&format!("s-{:03}", self.version));
        let member = Member {
            key: key.clone(),
            uid: Uid::new(format!("uid-{}", self.version)),
            version: Version(self.version),
            created: self.now,
            holder,
            revision: Revision::new("v1"),
            stage,
            lock: Lock::Free,
            since: self.now,
            node: None,
        };
        self.truth.insert(key.clone(), member);
        self.unseen.push(key.clone());
        key
    }

    fn change(&mut self, key: &Key, change: impl FnOnce(&mut Member)) {
        self.version += 1;
        let version = Version(self.version);
        if let Some(member) = self.truth.get_mut(key) {
            change(member);
            member.version = version;
            self.unseen.push(key.clone());
        }
    }

    fn remove(&mut self, key: &Key) {
        if self.truth.remove(key).is_some() {
            self.unseen.push(key.clone());
        }
    }

    /// The cache learns of the oldest changes.
    fn deliver(&mut self, count: usize) {
        for key in self.unseen.drain(..count.min(self.unseen.len())).collect::<Vec<_>>() {
            let known = self.cache.get(&key).cloned();
            match self.truth.get(&key) {
                Some(member) => {
                    for claim in self.claims.values_mut() {
                        claim.unseen.seen(&key, member.version);
                    }
                    self.shelf.observe(member.clone());
                    self.cache.insert(key, member.clone());
                }
                None => {
                    self.shelf.remove(&key);
                    self.cache.remove(&key);
                    for claim in self.claims.values_mut() {
                        if let Some(known) = &known {
                            claim.unseen.gone(&key, &known.uid);
                        }
                        claim.unseen.create_refused(&key);
                    }
                }
            }
        }
    }

    /// The process dies and another one lists everything.
    fn restart(&mut self) {
        self.unseen.clear();
        self.cache = self.truth.clone();
        self.shelf = empty_shelf();
        for member in self.truth.values() {
            self.shelf.observe(member.clone());
        }
        for claim in self.claims.values_mut() {
            claim.unseen = Expectations::default();
            claim.backoff = Backoff::default();
        }
    }

    fn view(&self, name: &Key) -> Option<BatchView> {
        let claim = self.claims.get(name)?;
        let uid = uid(name);
        let holder = Holder::Claim(uid.clone());
        let mine = self.cache.values().filter(|member| member.holder == holder);
        let held = mine.map(|member| Holding {
            key: member.key.clone(),
            precondition: member.precondition(),
            since: member.since,
            state: match &member.stage {
                Stage::Available => HoldingState::Done,
                Stage::Creating(trouble) => HoldingState::Starting(trouble.clone()),
                Stage::Failed { message } => HoldingState::Broken { message: message.clone() },
                Stage::Leaving => HoldingState::Leaving,
            },
        });
        Some(BatchView {
            key: name.clone(),
            uid,
            version: Version(1),
            leaving: false,
            want: claim.want,
            terms: self.terms,
            history: claim.history.clone(),
            content: Content::Plain,
            source: Source::Found {
                lot: self.shelf.lot(name, claim.created, claim.want),
                cold: ColdStart::Takes(Some(secs(2))),
            },
            held: held.collect(),
            backoff: claim.backoff,
            wave: 4,
        })
    }

    /// One look at a claim. After `writes` writes the process dies. Returns whether anything was done or said.
    fn reconcile(&mut self, name: &Key, mut writes: usize) -> bool {
        if !self.claims.get(name).is_some_and(|claim| claim.unseen.settled()) {
            return false;
        }
        let Some(view) = self.view(name) else { return false };
        let plan = batch::plan(&view, self.now);
        assert_eq!(check::batch_plan(&view, &plan), vec![], "{view:#?}");
        self.log.push(format!("{name}: {:?} {:?}", plan.actions, plan.answer));
        for action in &plan.actions {
            let count = match action {
                BatchAction::Create { count, .. } => *count,
                _ => 1,
            };
            for _ in 0..count {
                if writes == 0 {
                    self.restart();
                    return true;
                }
                writes -= 1;
                self.act(name, action);
            }
        }
        if writes == 0 {
            self.restart();
            return true;
        }
        let created = view_created(self, name);
        if plan.in_line > 0 {
            self.shelf.wait_for(name, created, plan.in_line);
        } else {
            self.shelf.leave(name);
        }
        let said = self.tell(name, &plan.answer);
        if let Some(claim) = self.claims.get_mut(name) {
            claim.backoff = plan.backoff;
        }
        said || !plan.actions.is_empty()
    }

    fn act(&mut self, name: &Key, action: &BatchAction) {
        let now = self.now;
        match action {
            BatchAction::Take { candidate, .. } => {
                self.shelf.take(candidate);
                let found = self.truth.get(&candidate.key);
                // The server's check of the precondition, and law 3 at the moment of truth.
                let Some(member) =
                    found.filter(|member| member.precondition() == candidate.precondition)
                else {
                    return;
                };
                let revision = Revision::new("v1");
                assert_eq!(check::hand_out(member, Rollout::OnReplenish, Some(&revision)), None);
                self.change(&candidate.key, |member| {
                    (member.holder, member.since) = (Holder::Claim(uid(name)), now);
                });
                self.wrote(name, &candidate.key);
            }
            BatchAction::Create { .. } => {
                let made = self.add(Holder::Claim(uid(name)), Stage::Creating(None));
                if let Some(claim) = self.claims.get_mut(name) {
                    claim.unseen.create(made, now);
                }
            }
            BatchAction::Discard { key, precondition, .. }
            | BatchAction::Reserve { key, precondition, .. } => {
                let told = &self.claims[name].history.delivered;
                assert!(!told.contains(key), "{key} is its user's and is removed");
                if self.truth.get(key).is_some_and(|it| it.precondition() == *precondition) {
                    let uid = precondition.uid.clone();
                    self.remove(key);
                    if let Some(claim) = self.claims.get_mut(name) {
                        claim.unseen.delete(uid, now);
                    }
                }
            }
            BatchAction::Tell { .. } => {}
            BatchAction::DeleteBatch { .. } => {
                self.claims.remove(name);
            }
        }
        self.check();
    }

    fn wrote(&mut self, name: &Key, key: &Key) {
        let version = self.truth[key].version;
        let now = self.now;
        if let Some(claim) = self.claims.get_mut(name) {
            claim.unseen.wrote(key.clone(), version, now);
        }
    }

    fn tell(&mut self, name: &Key, answer: &Answer) -> bool {
        let Some(claim) = self.claims.get_mut(name) else { return true };
        let (started, delivered, completed) = match answer {
            Answer::Claiming { started, delivered, .. } => (started, delivered, None),
            Answer::Completed { started, delivered, at, .. } => (started, delivered, Some(*at)),
            Answer::Over | Answer::Silent => return false,
        };
        let told = History {
            started: Some(*started),
            completed,
            claimed: delivered.count,
            delivered: delivered.names.clone(),
        };
        let news = claim.history != told;
        claim.history = told;
        news
    }

    /// Laws 1 and 3, over the truth.
    fn check(&self) {
        let held: Vec<(Key, u32, Vec<Key>)> = self
            .claims
            .iter()
            .map(|(name, claim)| {
                let mine = self
                    .truth
                    .values()
                    .filter(|it| it.holder == Holder::Claim(uid(name)) && !it.is_leaving());
                (name.clone(), claim.want, mine.map(|it| it.key.clone()).collect())
            })
            .collect();
        let holdings = held.iter().map(|(name, want, held)| (name, *want, held.as_slice()));
        assert_eq!(check::holdings(holdings), vec![], "{:#?}", self.log);
        for (name, claim) in &self.claims {
            assert!(claim.history.claimed <= claim.want, "{name} was told of too many");
        }
    }

    fn warm(&self) -> Vec<Key> {
        let warm = self.truth.values().filter(|it| matches!(it.holder, Holder::Pool(_)));
        warm.map(|it| it.key.clone()).collect()
    }
}

fn view_created(world: &World, name: &Key) -> Timestamp {
    world.claims[name].created
}

fn uid(name: &Key) -> Uid {
    Uid::new(format!("uid-{}", name.name))
}

fn empty_shelf() -> Shelf {
    let mut shelf =
        Shelf::new(key("pool"), Uid::new("pool"), Rollout::OnReplenish, Pick::SpreadNodes);
    shelf.follow(Rollout::OnReplenish, Some(Revision::new("v1")));
    shelf
}

#[derive(Clone, Debug)]
enum Op {
    Claim(u8, u32),
    Stock(u8),
    Start,
    Turn(u8, Stage),
    Steal(u8),
    ScaleDown(u8),
    UserDeletes(u8),
    Deliver(usize),
    Reconcile(u8, usize),
    Pass(i64),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let stage = prop_oneof![
        3 => Just(Stage::Available),
        1 => Just(Stage::Failed { message: "it ended".to_owned() }),
        1 => Just(Stage::Leaving),
    ];
    // Most looks get to their end; the others die after so many writes.
    let writes = prop_oneof![3 => Just(usize::MAX), 1 => 0..6usize];
    prop_oneof![
        2 => (0..3u8, 1..7u32).prop_map(|(claim, want)| Op::Claim(claim, want)),
        3 => (1..4u8).prop_map(Op::Stock),
        1 => Just(Op::Start),
        3 => (any::<u8>(), stage).prop_map(|(which, stage)| Op::Turn(which, stage)),
        1 => any::<u8>().prop_map(Op::Steal),
        1 => any::<u8>().prop_map(Op::ScaleDown),
        1 => any::<u8>().prop_map(Op::UserDeletes),
        5 => (1..10usize).prop_map(Op::Deliver),
        8 => (0..3u8, writes).prop_map(|(claim, writes)| Op::Reconcile(claim, writes)),
        2 => (0..20i64).prop_map(Op::Pass),
        1 => Just(Op::Restart),
    ]
}

fn happen(world: &mut World, op: &Op) {
    let claim = |number: &u8| key(&format!("c-{number}"));
    let pick = |keys: Vec<Key>, number: u8| {
        (!keys.is_empty()).then(|| keys[usize::from(number) % keys.len()].clone())
    };
    match op {
        Op::Claim(number, want) => {
            let created = world.now;
            world.claims.entry(claim(number)).or_insert(Claim {
                want: *want,
                created,
                history: History::default(),
                backoff: Backoff::default(),
                unseen: Expectations::default(),
            });
        }
        Op::Stock(count) => (0..*count).for_each(|_| {
            world.add(Holder::Pool(Uid::new("pool")), Stage::Available);
        }),
        Op::Start => {
            world.add(Holder::Pool(Uid::new("pool")), Stage::Creating(None));
        }
        Op::Turn(number, stage) => {
            let creating = |it: &&Member| matches!(it.stage, Stage::Creating(_));
            let keys = world.truth.values().filter(creating).map(|it| it.key.clone()).collect();
            if let Some(key) = pick(keys, *number) {
                world.change(&key, |member| member.stage = stage.clone());
            }
        }
        Op::Steal(number) => {
            if let Some(key) = pick(world.warm(), *number) {
                world.change(&key, |member| member.holder = Holder::Other);
            }
        }
        Op::ScaleDown(number) => {
            if let Some(key) = pick(world.warm(), *number) {
                world.remove(&key);
            }
        }
        Op::UserDeletes(number) => {
            let told =
                |key: &Key| world.claims.values().any(|it| it.history.delivered.contains(key));
            let keys = world.truth.keys().filter(|key| told(key)).cloned().collect();
            if let Some(key) = pick(keys, *number) {
                world.remove(&key);
            }
        }
        Op::Deliver(count) => world.deliver(*count),
        Op::Reconcile(number, writes) => {
            world.reconcile(&claim(number), *writes);
        }
        Op::Pass(seconds) => world.now += secs(*seconds),
        Op::Restart => world.restart(),
    }
    world.check();
}

fn terms() -> impl Strategy<Value = Terms> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(create, whole, reserve)| Terms {
        delivery: if whole { Delivery::AllOrNothing } else { Delivery::AsTheyCome },
        stock: if create { Stock::Create } else { Stock::Wait },
        handover: Handover::AsItIs,
        failed: if reserve { Failed::Reserve } else { Failed::Discard },
        patience: PATIENCE,
        readiness: secs(30),
        keep: None,
        ends: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// Never more than asked for, at any moment, whoever else takes from the pool and wherever the process dies; nothing is taken back that a user was told of; and
    /// when the faults stop every batch is over, whole or late, and then nothing is done any more.
    #[test]
    fn any_history_of_batches_ends_well(terms in terms(), ops in proptest::collection::vec(op(), 0..80)) {
        let mut world = World::new(terms);
        for op in &ops {
            happen(&mut world, op);
        }
        let names: Vec<Key> = world.claims.keys().cloned().collect();
        for _ in 0..200 {
            world.now += secs(1);
            let creating: Vec<Key> = world
                .truth
                .values()
                .filter(|it| matches!(it.stage, Stage::Creating(_)))
                .map(|it| it.key.clone())
                .collect();
            for key in creating {
                world.change(&key, |member| member.stage = Stage::Available);
            }
            if world.warm().len() < 6 {
                world.add(Holder::Pool(Uid::new("pool")), Stage::Available);
            }
            world.deliver(usize::MAX);
            for name in &names {
                while world.reconcile(name, usize::MAX) {
                    world.deliver(usize::MAX);
                    world.check();
                }
            }
        }
        for (name, claim) in &world.claims {
            let over = claim.history.completed.is_some();
            prop_assert!(over, "{name} is not over: {claim:?}\n{:#?}", world.log);
            let (began, ended) = (claim.history.started.unwrap(), claim.history.completed.unwrap());
            let whole = claim.history.claimed == claim.want;
            prop_assert!(whole || ended.duration_since(began) >= PATIENCE, "{name} gave up early");
            // What is left is what was told of.
            let live = world.truth.values().filter(|it| it.holder == Holder::Claim(uid(name)));
            for held in live.filter(|it| !it.is_leaving()) {
                prop_assert!(claim.history.delivered.contains(&held.key), "{} was never delivered", held.key);
            }
        }
    }

    /// A lot is what so many claims of one would be offered one after the other.
    #[test]
    fn a_lot_is_what_single_claims_would_get(nodes in proptest::collection::vec(proptest::option::of(0..4u8), 0..20), want in 1..12u32, ahead in 0..5u32) {
        let mut shelf = empty_shelf();
        for (number, node) in nodes.iter().enumerate() {
            shelf.observe(Member {
                key: key(&format!("s-{number:02}")),
                uid: Uid::new(format!("uid-{number}")),
                version: Version(1),
                created: Timestamp::UNIX_EPOCH,
                holder: Holder::Pool(Uid::new("pool")),
                revision: Revision::new(if number % 3 == 0 { "v0" } else { "v1" }),
                stage: if number % 5 == 4 { Stage::Creating(None) } else { Stage::Available },
                lock: Lock::Free,
                since: Timestamp::UNIX_EPOCH + secs(i64::try_from(number).unwrap() % 7),
                node: node.map(|node| sandbank_engine::NodeName::new(format!("n-{node}"))),
            });
        }
        let late = Timestamp::UNIX_EPOCH + secs(9);
        if ahead > 0 {
            shelf.wait_for(&key("early"), Timestamp::UNIX_EPOCH, ahead);
        }
        let lot = shelf.lot(&key("late"), late, want);
        prop_assert_eq!(lot.ahead, ahead);
        let left = shelf.ready().saturating_sub(ahead as usize);
        prop_assert_eq!(lot.candidates.len(), left.min(want as usize));
        shelf.leave(&key("early"));
        for candidate in &lot.candidates {
            let single = shelf.offer(&key("late"), late).candidate.unwrap();
            prop_assert_eq!(candidate, &single);
            shelf.take(&single);
        }
    }

    /// Nobody is overtaken, whatever each asks for: those that can be served now are the first in line, as far as what is ready goes.
    #[test]
    fn the_line_is_served_in_its_order(wants in proptest::collection::vec(1..5u32, 0..8), ready in 0..12usize) {
        let mut shelf = empty_shelf();
        for (number, want) in wants.iter().enumerate() {
            let created = Timestamp::UNIX_EPOCH + secs(i64::try_from(number).unwrap());
            shelf.wait_for(&key(&format!("c-{number}")), created, *want);
        }
        prop_assert_eq!(shelf.waiting(), wants.iter().sum::<u32>() as usize);
        for number in 0..ready {
            shelf.observe(Member {
                key: key(&format!("s-{number}")),
                uid: Uid::new(format!("uid-{number}")),
                version: Version(1),
                created: Timestamp::UNIX_EPOCH,
                holder: Holder::Pool(Uid::new("pool")),
                revision: Revision::new("v1"),
                stage: Stage::Available,
                lock: Lock::Free,
                since: Timestamp::UNIX_EPOCH,
                node: None,
            });
        }
        let mut left = ready;
        let mut served = Vec::new();
        for (number, want) in wants.iter().enumerate() {
            let created = Timestamp::UNIX_EPOCH + secs(i64::try_from(number).unwrap());
            let name = key(&format!("c-{number}"));
            let lot = shelf.lot(&name, created, *want);
            prop_assert_eq!(lot.candidates.len(), left.min(*want as usize));
            if left > 0 {
                served.push(name);
            }
            left = left.saturating_sub(*want as usize);
        }
        prop_assert_eq!(shelf.served().cloned().collect::<Vec<_>>(), served);
    }
}
