//! Races for warm sandboxes, and between what is known and what is.

use std::time::Duration;

use apiserver::testing::{Fault, Rule};
use http::Method;
use sandbank_tests::simulator::kruise::people::template;
use sandbank_tests::simulator::user::NAMESPACE;
use sandbank_tests::simulator::view::{View, is_true};
use sandbank_tests::simulator::world::Families;
use serde_json::json;

use super::stage::{available, creations, filled, filled_with, full, held, over, story};
use crate::stage::{late_news, play_in};

#[test]
fn two_claims_race_for_the_last_ones_and_share_what_there_is() {
    story([], async |world| {
        let warm = filled(world, 3).await;
        let stock = |n: u32| json!({"templateName": "s", "replicas": n, "createOnNoStock": false});
        world.user.kruise().claim_with("a", stock(2)).await.unwrap();
        world.user.kruise().claim_with("b", stock(2)).await.unwrap();
        let (a, b) = (over(world, "a").await, over(world, "b").await);
        assert_eq!((a.len(), b.len()), (2, 2));
        let warm_ones = a.iter().chain(&b).filter(|name| warm.contains(name)).count();
        assert_eq!(warm_ones, 3, "what was warm went first");
        full(world, 3).await;
    });
}

/// A batch of more than there is takes all that is warm and starts the rest for itself.
#[test]
fn a_batch_larger_than_the_set_is_served_whole() {
    story([], async |world| {
        let warm = filled(world, 3).await;
        world.user.kruise().claim("a", "s", 7).await.unwrap();
        let told = over(world, "a").await;
        assert_eq!(told.len(), 7);
        assert!(warm.iter().all(|name| told.contains(name)));
        assert_eq!(world.bystander.view(|view| held(view, "a")).len(), 7);
        full(world, 3).await;
    });
}

/// The write that gives one away is on its way while the set shrinks to nothing.
#[test]
fn scaling_down_does_not_hit_a_fresh_claim() {
    story([], async |world| {
        let warm = filled(world, 1).await;
        let bind = world.cast.wire(0).hold_next(Method::PATCH, &format!("/sandboxes/{}", warm[0]));
        world.user.kruise().claim("a", "s", 1).await.unwrap();
        bind.arrived().await;
        world.user.kruise().scale_set("s", 0).await.unwrap();
        world.pass(Duration::from_secs(2)).await;
        bind.open();
        assert_eq!(over(world, "a").await, warm);
    });
}

/// The template changes after sandboxes were chosen and before they are given.
#[test]
fn a_template_change_does_not_hit_a_fresh_claim() {
    story([], async |world| {
        filled(world, 2).await;
        let bind = world.cast.wire(0).hold_next(Method::PATCH, "/sandboxes/s-");
        world.user.kruise().claim("a", "s", 2).await.unwrap();
        bind.arrived().await;
        world.user.kruise().edit_set("s", template("image-1")).await.unwrap();
        world.pass(Duration::from_millis(20)).await;
        bind.open();
        assert_eq!(over(world, "a").await.len(), 2);
        world.until("the set is new", |view| updated(view, 2).then_some(())).await;
    });
}

fn updated(view: &View, count: u64) -> bool {
    let Some(set) = view.get("sbs", NAMESPACE, "s") else { return false };
    let told = |field: &str| set["status"][field].as_u64() == Some(count);
    told("updatedAvailableReplicas") && told("replicas")
}

/// A set that refers to a template follows that template, without a change of the set itself.
#[test]
fn a_set_follows_the_template_it_refers_to() {
    story([], async |world| {
        let people = world.user.kruise();
        people.create_template("u", "image-0").await.unwrap();
        let spec = json!({"replicas": 4, "templateRef": {"name": "u"}});
        people.create_set_with("s", spec).await.unwrap();
        let before = full(world, 4).await;
        people.edit_template("u", "image-1").await.unwrap();
        let after = world
            .until("all are new", |view| {
                let names = available(view);
                let old = names.iter().any(|name| before.contains(name));
                (names.len() == 4 && !old && updated(view, 4)).then_some(names)
            })
            .await;
        for name in after {
            let pod = world.bystander.view(|view| view.get("pods", NAMESPACE, &name).cloned());
            assert_eq!(pod.unwrap()["spec"]["containers"][0]["image"], "image-1");
        }
    });
}

/// openkruise/agents: an informer that was late made a set of n grow beyond n.
#[test]
fn a_late_cache_does_not_make_a_set_grow() {
    let late = Duration::from_secs(4);
    let faults = [Rule::new(Fault::DelayWatch(late)).resource("sandboxes")];
    play_in(Families::Kruise, late_news(late), 1, faults, async |world| {
        filled(world, 30).await;
        assert_eq!(creations(world), 30);
        world.user.kruise().scale_set("s", 40).await.unwrap();
        full(world, 40).await;
        assert_eq!(creations(world), 40);
    });
}

/// Refill after a batch makes what was taken, and no more, whatever answers get lost.
#[test]
fn refill_never_overshoots() {
    let lost = |fault| Rule::new(fault).methods([Method::POST]).resource("sandboxes").chance(0.4);
    story([lost(Fault::FailAfterCommit), lost(Fault::LoseAnswer)], async |world| {
        filled(world, 12).await;
        let spec = json!({"templateName": "s", "replicas": 12, "createOnNoStock": false});
        world.user.kruise().claim_with("a", spec).await.unwrap();
        assert_eq!(over(world, "a").await.len(), 12);
        full(world, 12).await;
        assert_eq!(creations(world), 24);
    });
}

/// How many may start at once is a limit also while sandboxes come and go.
#[test]
fn no_more_start_at_once_than_may() {
    story([], async |world| {
        filled_with(world, 6, json!({"scaleStrategy": {"maxUnavailable": 2}})).await;
        let spec = json!({"templateName": "s", "replicas": 6, "createOnNoStock": false});
        world.user.kruise().claim_with("a", spec).await.unwrap();
        let mut most = 0;
        world
            .until("the set is full again", |view| {
                let starting = view
                    .all("sbx")
                    .filter(|(_, s)| !s["metadata"]["ownerReferences"].is_null())
                    .filter(|(_, s)| !is_true(s, "Ready"))
                    .count();
                most = most.max(starting);
                let claim = view.get("sbc", NAMESPACE, "a")?;
                (claim["status"]["phase"] == "Completed" && available(view).len() == 6)
                    .then_some(())
            })
            .await;
        assert_eq!(most, 2);
    });
}

/// The set goes; what it gave away stays.
#[test]
fn a_deleted_set_takes_its_warm_ones_along_and_no_others() {
    story([], async |world| {
        filled(world, 3).await;
        world.user.kruise().claim("a", "s", 2).await.unwrap();
        let told = over(world, "a").await;
        full(world, 3).await;
        world.user.kruise().delete_set("s").await.unwrap();
        world
            .until("only what was claimed is left", |view| {
                let mut left: Vec<&str> =
                    view.all("sbx").map(|(place, _)| place.2.as_str()).collect();
                left.sort_unstable();
                (left.len() == 2 && left.iter().all(|name| told.iter().any(|t| t == name)))
                    .then_some(())
            })
            .await;
        world.user.kruise().delete_claim("a").await.unwrap();
        world.pass(Duration::from_secs(60)).await;
        let ready =
            world.bystander.view(|view| view.all("sbx").filter(|s| is_true(s.1, "Ready")).count());
        assert_eq!(ready, 2, "the end of a claim ends nothing else");
    });
}

/// A claim may come before its set, and says meanwhile what it waits for.
#[test]
fn a_claim_before_its_set_waits_for_it() {
    story([], async |world| {
        world.user.kruise().claim("a", "s", 2).await.unwrap();
        world
            .until("the claim says what is missing", |view| {
                let claim = view.get("sbc", NAMESPACE, "a")?;
                let completed = sandbank_tests::simulator::view::condition(claim, "Completed")?;
                (completed["status"] == "False").then_some(())
            })
            .await;
        filled(world, 2).await;
        assert_eq!(over(world, "a").await.len(), 2);
    });
}

/// What is started for it would end at once, and then be missing again: a claim whose sandboxes' time is over gets none, instead of making them without end.
#[test]
fn a_claim_whose_sandboxes_end_before_they_are_there_starts_none_again_and_again() {
    story([], async |world| {
        filled(world, 0).await;
        let ends = world.user.in_seconds(-5).to_string();
        let spec = json!({"templateName": "s", "replicas": 3, "shutdownTime": ends});
        world.user.kruise().claim_with("a", spec).await.unwrap();
        assert!(over(world, "a").await.is_empty());
        assert_eq!(creations(world), 0);
    });
}

/// Another claim of the same name gets sandboxes of its own.
#[test]
fn a_claim_made_anew_gets_others() {
    story([], async |world| {
        filled(world, 2).await;
        world.user.kruise().claim("a", "s", 2).await.unwrap();
        let first = over(world, "a").await;
        world.user.kruise().delete_claim("a").await.unwrap();
        world.user.kruise().claim("a", "s", 2).await.unwrap();
        let second = over(world, "a").await;
        assert!(second.iter().all(|name| !first.contains(name)));
        assert_eq!(second.len(), 2);
    });
}

/// Families do not see each other, although both call their sandboxes Sandbox.
#[test]
fn pools_of_both_families_live_side_by_side() {
    play_in(Families::Both, late_news(Duration::ZERO), 1, [], async |world| {
        crate::stage::filled(world, 2, "Recreate").await;
        filled(world, 2).await;
        world.user.create_claim("c", "p").await.unwrap();
        world.user.kruise().claim("c", "s", 2).await.unwrap();
        crate::stage::ready_claim(world, "c").await;
        assert_eq!(over(world, "c").await.len(), 2);
        crate::stage::ready_members(world, 2).await;
        full(world, 2).await;
    });
}
