//! Controllers that die in the middle, and two that both believe they lead.

use std::time::Duration;

use sandbank_tests::simulator::history::alone;
use sandbank_tests::simulator::node::NodeTemper;
use sandbank_tests::simulator::weather::Weather;
use sandbank_tests::simulator::wire::Link;
use sandbank_tests::simulator::world::{Families, World};
use serde_json::{Value, json};

use crate::stage::{filled, play, ready_claim, ready_members};

/// Serves a claim by controllers that die after `writes` writes. Returns whether they had so many to make.
fn dies_after(writes: usize, spec: &Value) -> bool {
    let mut died = false;
    play(Weather::calm(), 1, [], async |world| {
        filled(world, 2, "Recreate").await;
        let wire = world.cast.wire(0);
        let before = wire.writes().len();
        wire.die_after(writes);
        world.user.create_claim_with("c", spec.clone()).await.unwrap();
        ready_claim(world, "c").await;
        ready_members(world, 2).await;
        world.pass(Duration::from_secs(5)).await;
        died = wire.writes().len() >= before + writes;
    });
    died
}

fn dies_after_each_write(spec: &Value) {
    let survived = (1..40).find(|writes| !dies_after(*writes, spec));
    assert!(survived.is_some_and(|writes| writes > 4), "survived {survived:?} writes");
}

#[test]
fn a_crash_between_any_two_writes_of_a_warm_claim_loses_nothing() {
    dies_after_each_write(&json!({"warmPoolRef": {"name": "p"}}));
}

#[test]
fn a_crash_between_any_two_writes_of_a_cold_claim_loses_nothing() {
    let env = json!([{"name": "A", "value": "1"}]);
    dies_after_each_write(&json!({"warmPoolRef": {"name": "p"}, "env": env}));
}

#[test]
fn a_crash_between_any_two_writes_of_a_rollout_loses_nothing() {
    for writes in (1..16).step_by(2) {
        play(Weather::calm(), 1, [], async |world| {
            filled(world, 3, "RollingUpdate").await;
            world.cast.wire(0).die_after(writes);
            world.user.edit_template("t", "image-1").await.unwrap();
        });
    }
}

/// The leader is cut off for longer than its term. It stops by itself, the other takes over, and claims are served meanwhile.
#[test]
fn a_second_replica_takes_over_and_the_first_comes_back() {
    let weather = Weather { outages: true, replicas: 2, ..Weather::calm() };
    play(weather, 2, [], async |world| {
        filled(world, 2, "Recreate").await;
        let leader = (0..2).find(|n| !world.cast.wire(*n).writes().is_empty());
        let leader = world.cast.wire(leader.expect("somebody filled the pool"));
        leader.set(Link::Out);
        world.user.create_claim("c", "p").await.unwrap();
        let before = leader.writes().len();
        ready_claim(world, "c").await;
        ready_members(world, 2).await;
        assert_eq!(leader.writes().len(), before, "somebody else did it");
        world.pass(Duration::from_secs(20)).await;
        leader.set(Link::Up);
        world.user.create_claim("d", "p").await.unwrap();
        ready_claim(world, "d").await;
    });
}

/// Two controllers without a lease: nothing but the preconditions of their writes keeps them apart. They may make too much, and never give one sandbox to two.
#[test]
fn two_that_both_lead_never_give_one_sandbox_to_two_claims() {
    alone(async {
        let mut world =
            World::open(1, Families::XK8s, &Weather::calm(), NodeTemper::default()).await;
        world.cast.enter(1);
        filled(&world, 6, "OnReplenish").await;
        world.cast.enter(1);
        world.pass(Duration::from_secs(1)).await;
        for n in 0..12 {
            world.user.create_claim(&format!("c{n}"), "p").await.unwrap();
        }
        for n in 0..12 {
            ready_claim_unjudged(&world, &format!("c{n}")).await;
        }
        world.pass(Duration::from_secs(60)).await;
        let bad: Vec<_> = world.breaches().into_iter().filter(|b| b.law != 4).collect();
        assert!(bad.is_empty(), "{}", world.report());
    });
}

/// As [`ready_claim`], where too many may be made.
async fn ready_claim_unjudged(world: &World, name: &str) {
    for _ in 0..600 {
        let claim = world.user.claim(name).await.unwrap();
        if sandbank_tests::simulator::view::is_true(&claim, "Ready") {
            return;
        }
        world.pass(Duration::from_millis(100)).await;
    }
    panic!("{name} never became ready\n{}", world.report());
}
