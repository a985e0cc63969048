//! Programs outside that take sandboxes from our sets by the lock protocol, as the family's HTTP front does.

use std::time::Duration;

use http::Method;
use sandbank_tests::simulator::family::Family;
use sandbank_tests::simulator::kruise::Kruise;
use sandbank_tests::simulator::kruise::outsider::Taken;
use sandbank_tests::simulator::user::NAMESPACE;
use serde_json::json;

use super::stage::{available, filled, full, offered, over, story};

const NOW: &str = "2030-01-01T00:01:00Z";

/// What somebody outside took is theirs: the set lets go of it and makes another.
#[test]
fn one_taken_from_outside_is_replaced_and_left_alone() {
    story([], async |world| {
        let warm = filled(world, 2).await;
        let people = world.user.kruise();
        let taken = people.take(offered(world).await, "key-1", NOW).await.unwrap();
        let Taken::Yes(name) = taken else { panic!("nobody else was there: {taken:?}") };
        let now = full(world, 2).await;
        assert!(warm.contains(&name) && !now.contains(&name));
        world.user.kruise().scale_set("s", 0).await.unwrap();
        world.pass(Duration::from_secs(600)).await;
        let sandbox = people.sandbox(&name).await.unwrap();
        assert_eq!(Kruise::holder_of(&sandbox).map(|holder| holder.life), Some("key-1"));
    });
}

/// Our claim has chosen one, and its write is on its way when somebody outside takes that one. One of the two writes is refused, and each gets its own.
#[test]
fn of_us_and_somebody_outside_each_gets_one_of_its_own() {
    story([], async |world| {
        let warm = filled(world, 1).await;
        let people = world.user.kruise();
        let bind = world.cast.wire(0).hold_next(Method::PATCH, &format!("/sandboxes/{}", warm[0]));
        people.claim("a", "s", 1).await.unwrap();
        bind.arrived().await;
        let taken = people.take(offered(world).await, "key-1", NOW).await.unwrap();
        assert_eq!(taken, Taken::Yes(warm[0].clone()));
        bind.open();
        let told = over(world, "a").await;
        assert!(told.len() == 1 && !told.contains(&warm[0]));
    });
}

/// The other way round: what somebody outside saw is ours when it writes.
#[test]
fn somebody_outside_who_is_late_is_refused() {
    story([], async |world| {
        let warm = filled(world, 1).await;
        let people = world.user.kruise();
        let seen = offered(world).await;
        people.claim("a", "s", 1).await.unwrap();
        assert_eq!(over(world, "a").await, warm);
        assert_eq!(people.take(seen, "key-1", NOW).await.unwrap(), Taken::Lost(warm[0].clone()));
    });
}

/// The set decided to remove one, and somebody outside takes it before the delete arrives.
#[test]
fn a_delete_on_its_way_does_not_hit_what_was_taken_from_outside() {
    story([], async |world| {
        let warm = filled(world, 1).await;
        let people = world.user.kruise();
        let seen = offered(world).await;
        let delete =
            world.cast.wire(0).hold_next(Method::DELETE, &format!("/sandboxes/{}", warm[0]));
        people.scale_set("s", 0).await.unwrap();
        delete.arrived().await;
        assert_eq!(people.take(seen, "key-1", NOW).await.unwrap(), Taken::Yes(warm[0].clone()));
        delete.open();
        world.pass(Duration::from_secs(5)).await;
        let there = world.bystander.view(|view| view.get("sbx", NAMESPACE, &warm[0]).is_some());
        assert!(there, "{}", world.report());
    });
}

/// openkruise/agents #410: one that was locked and never taken was counted as available for ever, and never given to anybody.
#[test]
fn a_stranded_lock_expires() {
    story([], async |world| {
        let warm = filled(world, 2).await;
        let people = world.user.kruise();
        let locked = people.lock(offered(world).await, "key-1").await.unwrap();
        let Taken::Yes(name) = locked else { panic!("nobody else was there: {locked:?}") };
        world
            .until("the set counts it as what it is", |view| {
                let status = &view.get("sbs", NAMESPACE, "s")?["status"];
                (status["availableReplicas"] == 1 && status["replicas"] == 2).then_some(())
            })
            .await;
        // Claims pass it over, and the set neither removes nor replaces it while it may still be taken.
        let spec = json!({"templateName": "s", "createOnNoStock": false});
        people.claim_with("a", spec).await.unwrap();
        let told = over(world, "a").await;
        assert!(warm.contains(&told[0]) && told[0] != name);
        world.pass(Duration::from_secs(100)).await;
        assert!(world.bystander.view(|view| view.get("sbx", NAMESPACE, &name).is_some()));
        let now = full(world, 2).await;
        assert!(!now.contains(&name), "it was replaced");
        let said = world.bystander.view(|view| {
            view.all("events").any(|(_, event)| {
                event["reason"] == "StrandedLock"
                    || event["message"]
                        .as_str()
                        .or(event["note"].as_str())
                        .unwrap_or_default()
                        .contains("locked")
            })
        });
        assert!(said, "an event says so");
    });
}

/// The whole set is locked by somebody outside when it shrinks: it waits for them rather than delete under them.
#[test]
fn scaling_down_respects_locks() {
    story([], async |world| {
        filled(world, 2).await;
        let people = world.user.kruise();
        people.lock(offered(world).await, "key-1").await.unwrap();
        let locked = world.bystander.view(|view| {
            let open = available(view);
            view.all("sbx").map(|(place, _)| place.2.clone()).find(|name| !open.contains(name))
        });
        people.scale_set("s", 0).await.unwrap();
        world.pass(Duration::from_secs(10)).await;
        let left: Vec<String> = world
            .bystander
            .view(|view| view.all("sbx").map(|(place, _)| place.2.clone()).collect());
        assert_eq!(left, locked.into_iter().collect::<Vec<_>>());
    });
}
