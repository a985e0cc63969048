//! What holds for every pool, whatever happens to it.

mod sim;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sandbank_engine::backoff::Backoff;
use sandbank_engine::check;
use sandbank_engine::claim::Answer;
use sandbank_engine::pool::{self, Pending, PoolView, Removal, Settings, Target, TemplateState};
use sandbank_engine::shelf::{Pick, Shelf};
use sandbank_engine::{
    Amount, Budget, Freshness, Holder, Key, Lock, Member, NodeName, Revision, Rounding, Stage,
    Strategy as Rollout, Trouble, TroubleKind, Uid, Version,
};
use sim::{Cluster, Fate};

/// Something that happens.
#[derive(Clone, Debug)]
enum Op {
    Claim(u8),
    Release(u8),
    Template(Option<u8>),
    Strategy(Rollout),
    Resize(u32),
    Deliver(usize),
    ReconcilePool,
    ReconcileClaim(u8),
    Pass(i64),
    Strike(u8, Stage),
    Steal(u8),
    Lock(u8),
    Fate(Fate),
}

fn rounding() -> impl Strategy<Value = Rounding> {
    prop_oneof![Just(Rounding::Down), Just(Rounding::Up)]
}

fn removal() -> impl Strategy<Value = Removal> {
    prop_oneof![Just(Removal::NewestFirst), Just(Removal::StaleThenOldest)]
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let amount =
        prop_oneof![(0..4u32).prop_map(Amount::Count), (0..101u32).prop_map(Amount::Percent)];
    prop_oneof![
        Just(Rollout::Recreate),
        Just(Rollout::OnReplenish),
        (amount.clone(), amount, rounding()).prop_map(|(max_unavailable, max_surge, rounding)| {
            Rollout::RollingUpdate(Budget { max_unavailable, max_surge, rounding })
        }),
    ]
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        Just(Stage::Creating(None)),
        Just(Stage::Creating(Some(Trouble {
            kind: TroubleKind::Unschedulable,
            message: "full".to_owned()
        }))),
        Just(Stage::Creating(Some(Trouble {
            kind: TroubleKind::ImagePull,
            message: "no such image".to_owned()
        }))),
        Just(Stage::Available),
        Just(Stage::Failed { message: "ended".to_owned() }),
        Just(Stage::Leaving),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..8u8).prop_map(Op::Claim),
        1 => (0..8u8).prop_map(Op::Release),
        1 => proptest::option::weighted(0.9, 0..4u8).prop_map(Op::Template),
        1 => rollout().prop_map(Op::Strategy),
        1 => (0..7u32).prop_map(Op::Resize),
        6 => (1..8usize).prop_map(Op::Deliver),
        6 => Just(Op::ReconcilePool),
        6 => (0..8u8).prop_map(Op::ReconcileClaim),
        4 => (0..4i64).prop_map(Op::Pass),
        2 => (1..20u8, stage()).prop_map(|(which, stage)| Op::Strike(which, stage)),
        1 => (1..20u8).prop_map(Op::Steal),
        1 => (1..20u8).prop_map(Op::Lock),
        1 => prop_oneof![Just(Fate::Ready), Just(Fate::Fail), Just(Fate::Stick), Just(Fate::Unschedulable)].prop_map(Op::Fate),
    ]
}

/// Whether nothing replaces stale sandboxes, as asked.
fn stays_stale(strategy: Rollout, target: u32) -> bool {
    match strategy {
        Rollout::OnReplenish => true,
        Rollout::RollingUpdate(budget) => budget.is_frozen(target),
        Rollout::Recreate => false,
    }
}

fn happen(cluster: &mut Cluster, op: &Op) {
    let claim = |number: &u8| format!("c-{number}");
    match op {
        Op::Claim(number) if !cluster.claims().contains(&claim(number)) => {
            cluster.claim(&claim(number))
        }
        Op::Claim(_) => {}
        Op::Release(number) => cluster.release(&claim(number)),
        Op::Template(revision) => {
            let revision = revision.map(|number| format!("v{number}"));
            cluster.set_template(revision.as_deref());
        }
        Op::Strategy(strategy) => cluster.set_strategy(*strategy),
        Op::Resize(target) => cluster.target = *target,
        Op::Deliver(count) => cluster.deliver(*count),
        Op::ReconcilePool => {
            cluster.reconcile_pool();
        }
        Op::ReconcileClaim(number) => {
            cluster.reconcile_claim(&claim(number));
        }
        Op::Pass(seconds) => cluster.pass(SignedDuration::from_secs(*seconds)),
        Op::Strike(number, stage) => cluster.strike(&format!("p-{number}"), stage.clone()),
        Op::Steal(number) => cluster.steal(&format!("p-{number}")),
        Op::Lock(number) => cluster.lock(&format!("p-{number}")),
        Op::Fate(fate) => cluster.fate = *fate,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Laws 1 to 4 hold at every step of any history (the cluster checks them), and when the faults stop the pool reaches what it was asked for, every claim has its
    /// sandbox, and then nothing is decided any more.
    #[test]
    fn any_history_ends_well(
        target in 0..6u32,
        strategy in rollout(),
        startup in proptest::option::of((1..4u32).prop_map(Amount::Count)),
        removal in removal(),
        ops in proptest::collection::vec(op(), 0..80),
    ) {
        let mut cluster = Cluster::new(target, strategy, "v0");
        (cluster.startup, cluster.removal) = (startup, removal);
        for op in &ops {
            happen(&mut cluster, op);
        }
        cluster.heal();
        cluster.set_template(Some("v9"));
        prop_assert!(cluster.settle().is_some(), "it never comes to rest: {:#?}", cluster.log);

        let plan = cluster.reconcile_pool();
        prop_assert_eq!(&plan.actions, &vec![]);
        prop_assert_eq!(cluster.available(), cluster.target as usize);
        prop_assert_eq!(plan.status.counts.warm, cluster.target);
        if !stays_stale(cluster.strategy, cluster.target) {
            prop_assert_eq!(plan.status.counts.updated, cluster.target);
        }
        for claim in cluster.claims() {
            let bound = matches!(cluster.answer(&claim), Some(Answer::Bound { .. }));
            prop_assert!(bound, "{claim} has {:?}", cluster.answer(&claim));
        }
    }

    /// Law 5: a rolling update alone never lets fewer be ready than its budget says, however late the cache is.
    #[test]
    fn a_rolling_update_keeps_its_floor(
        target in 1..8u32,
        unavailable in 0..4u32,
        surge in 0..4u32,
        delays in proptest::collection::vec((0..6usize, 0..3i64), 0..60),
    ) {
        let budget = Budget { max_unavailable: Amount::Count(unavailable), max_surge: Amount::Count(surge), rounding: Rounding::Down };
        let mut cluster = Cluster::new(target, Rollout::RollingUpdate(budget), "v1");
        prop_assert!(cluster.settle().is_some());
        cluster.set_template(Some("v2"));
        cluster.floor = Some(budget.bounds(target).floor as usize);
        for (seen, seconds) in delays {
            cluster.deliver(seen);
            cluster.reconcile_pool();
            cluster.pass(SignedDuration::from_secs(seconds));
        }
        prop_assert!(cluster.settle().is_some());
        let revision = if budget.is_frozen(target) { "v1" } else { "v2" };
        prop_assert!(cluster.warm().all(|member| member.revision == Revision::new(revision)));
    }
}

fn holder() -> impl Strategy<Value = Holder> {
    prop_oneof![
        6 => Just(Holder::Pool(Uid::new("pool"))),
        1 => Just(Holder::Pool(Uid::new("another pool"))),
        1 => Just(Holder::Claim(Uid::new("claim"))),
        1 => Just(Holder::Nobody),
        1 => Just(Holder::Other),
    ]
}

fn lock() -> impl Strategy<Value = Lock> {
    let taken = |age| Lock::Taken { since: Timestamp::UNIX_EPOCH - SignedDuration::from_secs(age) };
    prop_oneof![8 => Just(Lock::Free), 2 => (0..200i64).prop_map(taken)]
}

fn member(number: usize) -> impl Strategy<Value = Member> {
    (holder(), stage(), lock(), 0..3u8, 0..100i64, 0..100i64, proptest::option::of(0..3u8))
        .prop_map(move |(holder, stage, lock, revision, age, age_in_stage, node)| Member {
            key: Key::new("ns", format!("p-{number:02}")),
            uid: Uid::new(format!("uid-{number}")),
            version: Version(7),
            created: Timestamp::UNIX_EPOCH - SignedDuration::from_secs(age),
            holder,
            revision: Revision::new(format!("v{revision}")),
            stage,
            lock,
            since: Timestamp::UNIX_EPOCH - SignedDuration::from_secs(age_in_stage),
            node: node.map(|node| NodeName::new(format!("n-{node}"))),
        })
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    (0..14usize).prop_flat_map(|count| (0..count).map(member).collect::<Vec<_>>())
}

fn view() -> impl Strategy<Value = PoolView> {
    let target = prop_oneof![
        (0..8u32).prop_map(Target::Count),
        (0..5u32, 0..8u32, 0..8u32, 0..12u32).prop_map(
            |(min_idle, max_idle, min_total, max_total)| Target::Buffer {
                min_idle,
                max_idle,
                min_total,
                max_total
            }
        ),
    ];
    let pending = (
        proptest::collection::btree_set(0..20u8, 0..5),
        proptest::collection::btree_set(0..14u8, 0..3),
        proptest::collection::btree_set(0..14u8, 0..3),
        proptest::collection::btree_set(0..14u8, 0..2),
    )
        .prop_map(|(creating, deleting, handed_out, handing_out)| Pending {
            creating: creating
                .into_iter()
                .map(|number| Key::new("ns", format!("p-{number:02}")))
                .collect(),
            deleting: deleting
                .into_iter()
                .map(|number| Uid::new(format!("uid-{number}")))
                .collect(),
            handing_out: handing_out
                .into_iter()
                .map(|number| Uid::new(format!("uid-{number}")))
                .collect(),
            handed_out: handed_out
                .into_iter()
                .map(|number| Uid::new(format!("uid-{number}")))
                .collect(),
        });
    let name = Key::new("ns", "t");
    let template = prop_oneof![
        1 => Just(TemplateState::Missing { name: name.clone() }),
        1 => Just(TemplateState::Invalid { name: name.clone(), message: "no containers".to_owned() }),
        9 => Just(TemplateState::Found { name, revision: Revision::new("v1") }),
    ];
    let backoff = (0..5u32, -100..0i64).prop_map(|(failures, last)| Backoff {
        failures,
        last: (failures > 0).then(|| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(last)),
    });
    let startup = proptest::option::weighted(
        0.4,
        prop_oneof![(0..4u32).prop_map(Amount::Count), (0..101u32).prop_map(Amount::Percent)],
    );
    let options = (startup, removal(), 1..6u32);
    (target, template, rollout(), members(), 0..6u32, 0..4u32, pending, backoff, options).prop_map(
        |(target, template, strategy, members, claimed, waiting, pending, backoff, options)| {
            let (startup, removal, batch) = options;
            PoolView {
                key: Key::new("ns", "p"),
                uid: Uid::new("pool"),
                leaving: false,
                target,
                template,
                strategy,
                startup,
                removal,
                members,
                claimed,
                waiting,
                pending,
                backoff,
                refusal: None,
                settings: Settings {
                    readiness_grace: SignedDuration::from_secs(60),
                    batch,
                    lock_grace: SignedDuration::from_secs(120),
                },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// One plan from any view, however odd, breaks no law and does not depend on the order in which members were listed.
    #[test]
    fn any_view_gives_a_lawful_plan(view in view()) {
        let now = Timestamp::UNIX_EPOCH;
        let plan = pool::plan(&view, now);
        prop_assert_eq!(check::pool_plan(&view, &plan), vec![]);
        prop_assert_eq!(check::locks(&view, &plan, now), vec![]);
        let mut turned = view.clone();
        turned.members.reverse();
        prop_assert_eq!(&pool::plan(&turned, now), &plan);
        if let Some(wake_at) = plan.wake_at {
            prop_assert!(wake_at > now, "a wake-up that is over would spin");
        }
    }

    /// The shelf gives what a search through all members would find, in whatever order they came, went and changed.
    #[test]
    fn the_shelf_agrees_with_a_search(members in members(), strategy in rollout(), gone in proptest::collection::vec(0..14usize, 0..5)) {
        let pool = Uid::new("pool");
        let revision = Revision::new("v1");
        let mut shelf = Shelf::new(Key::new("ns", "p"), pool.clone(), strategy, Pick::Oldest);
        // Members come before the template is known; what it makes of them is sorted out then.
        for member in &members {
            shelf.observe(member.clone());
        }
        shelf.follow(strategy, Some(revision.clone()));
        for number in &gone {
            shelf.remove(&Key::new("ns", format!("p-{number:02}")));
        }
        let left = members.iter().enumerate().filter(|(number, _)| !gone.contains(number)).map(|(_, member)| member);
        let freshness = |member: &Member| if member.revision == revision { Freshness::Fresh } else { Freshness::Stale };
        let mut best: Vec<&Member> = left
            .filter(|member| member.holder == Holder::Pool(pool.clone()) && member.is_available())
            .filter(|member| strategy.hands_out(freshness(member)))
            .collect();
        best.sort_by_key(|member| (freshness(member), member.since, member.key.clone()));
        prop_assert_eq!(shelf.ready(), best.len());
        for expected in best {
            let offer = shelf.offer(&Key::new("ns", "c"), Timestamp::UNIX_EPOCH);
            let candidate = offer.candidate.expect("as many as the search found");
            prop_assert_eq!(&candidate.key, &expected.key);
            prop_assert!(shelf.take(&candidate).is_some());
        }
        prop_assert_eq!(shelf.offer(&Key::new("ns", "c"), Timestamp::UNIX_EPOCH).candidate, None);
    }

    /// Nobody is overtaken: while earlier claims wait, a later one is offered only what is left for it.
    #[test]
    fn first_come_first_served(ready in 0..6usize, waiting in 0..6usize) {
        let mut shelf = Shelf::new(Key::new("ns", "p"), Uid::new("pool"), Rollout::OnReplenish, Pick::SpreadNodes);
        shelf.follow(Rollout::OnReplenish, Some(Revision::new("v1")));
        for number in 0..waiting {
            shelf.wait(&Key::new("ns", format!("early-{number}")), Timestamp::UNIX_EPOCH);
        }
        for number in 0..ready {
            shelf.observe(Member {
                key: Key::new("ns", format!("p-{number}")),
                uid: Uid::new(format!("uid-{number}")),
                version: Version(1),
                created: Timestamp::UNIX_EPOCH,
                holder: Holder::Pool(Uid::new("pool")),
                revision: Revision::new("v1"),
                stage: Stage::Available,
                lock: Lock::Free,
                since: Timestamp::UNIX_EPOCH,
                node: Some(NodeName::new(format!("n-{}", number % 2))),
            });
        }
        let late = shelf.offer(&Key::new("ns", "late"), Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1));
        prop_assert_eq!(late.candidate.is_some(), ready > waiting);
        prop_assert_eq!(late.ahead as usize, waiting);
        prop_assert_eq!(shelf.served().count(), ready.min(waiting));
    }
}
