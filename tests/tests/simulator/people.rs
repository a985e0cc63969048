//! What people do that nobody planned for.

use std::time::Duration;

use apiserver::testing::{Fault, Rule};
use sandbank_tests::simulator::user::NAMESPACE;
use sandbank_tests::simulator::view::condition;
use serde_json::json;

use crate::races::members_now;
use crate::stage::{filled, late_news, members, play, ready_claim, ready_members, story};

#[test]
fn a_pool_whose_template_comes_later_fills_when_it_comes() {
    story([], async |world| {
        world.user.create_pool("p", "t", 2, json!({"type": "Recreate"})).await.unwrap();
        world.user.create_claim("c", "p").await.unwrap();
        world
            .until("the claim says what is missing", |view| {
                let claim = view.get("sandboxclaims", NAMESPACE, "c")?;
                (condition(claim, "Ready")?["reason"] == "TemplateNotFound").then_some(())
            })
            .await;
        world.user.create_template("t", "image-0").await.unwrap();
        ready_claim(world, "c").await;
        ready_members(world, 2).await;
    });
}

#[test]
fn a_sandbox_without_its_pools_label_is_still_its_pools() {
    story([], async |world| {
        filled(world, 3, "Recreate").await;
        let warm = members_now(world);
        world.user.unlabel_sandbox(&warm[0]).await.unwrap();
        world.user.create_claim("c", "p").await.unwrap();
        ready_claim(world, "c").await;
        world.user.scale_pool("p", 5).await.unwrap();
        ready_members(world, 5).await;
    });
}

/// The sandbox that was started for the old claim has the claim's name. The new claim sees it, refuses to touch it, and gets its own when it is gone.
#[test]
fn a_cold_claim_made_anew_waits_for_its_name() {
    let late = Duration::from_secs(2);
    let faults = [Rule::new(Fault::DelayWatch(late)).resource("sandboxes")];
    play(late_news(late), 1, faults, async |world| {
        world.user.create_template("t", "image-0").await.unwrap();
        world.user.create_pool("p", "t", 0, json!({"type": "Recreate"})).await.unwrap();
        for _ in 0..4 {
            world.user.create_claim("c", "p").await.unwrap();
            ready_claim(world, "c").await;
            world.pass(Duration::from_secs(5)).await;
            world.user.delete_claim("c").await.unwrap();
        }
        world.user.create_claim("c", "p").await.unwrap();
        ready_claim(world, "c").await;
    });
}

/// A time to live of nothing after the sandbox has finished.
#[test]
fn a_claim_without_time_to_live_goes_when_its_sandbox_has_finished() {
    story([], async |world| {
        filled(world, 1, "Recreate").await;
        let lifecycle = json!({"ttlSecondsAfterFinished": 0, "shutdownPolicy": "Delete"});
        let spec = json!({"warmPoolRef": {"name": "p"}, "lifecycle": lifecycle});
        world.user.create_claim_with("c", spec).await.unwrap();
        let sandbox = ready_claim(world, "c").await;
        world.user.report_pod(&sandbox, "Succeeded", false).await.unwrap();
        world
            .until("claim and sandbox are gone", |view| {
                let claim = view.get("sandboxclaims", NAMESPACE, "c");
                let sandbox = view.get("sandboxes", NAMESPACE, &sandbox);
                (claim.is_none() && sandbox.is_none()).then_some(())
            })
            .await;
    });
}

#[test]
fn a_claim_whose_time_is_over_before_it_came_gets_nothing() {
    story([], async |world| {
        filled(world, 1, "Recreate").await;
        let at = world.user.in_seconds(-60).to_string();
        let lifecycle = json!({"shutdownTime": at, "shutdownPolicy": "Retain"});
        let spec = json!({"warmPoolRef": {"name": "p"}, "lifecycle": lifecycle});
        world.user.create_claim_with("c", spec).await.unwrap();
        world
            .until("the claim is told", |view| {
                let claim = view.get("sandboxclaims", NAMESPACE, "c")?;
                (condition(claim, "Ready")?["reason"] == "ClaimExpired").then_some(())
            })
            .await;
        world.pass(Duration::from_secs(5)).await;
        assert_eq!(members_now(world).len(), 1);
    });
}

/// A pool goes and comes back under its name: the old one's sandboxes go with it, those of claims stay.
#[test]
fn a_pool_made_anew_starts_from_nothing_and_claims_keep_what_they_have() {
    story([], async |world| {
        filled(world, 3, "Recreate").await;
        world.user.create_claim("c", "p").await.unwrap();
        let kept = ready_claim(world, "c").await;
        let before = ready_members(world, 3).await;
        world.user.delete_pool("p").await.unwrap();
        world.user.create_pool("p", "t", 2, json!({"type": "Recreate"})).await.unwrap();
        let after = world
            .until("the new pool is full", |view| {
                let now: Vec<String> = members(view).into_iter().map(|(name, _)| name).collect();
                (now.len() == 2 && now.iter().all(|name| !before.contains(name))).then_some(now)
            })
            .await;
        assert!(!after.contains(&kept));
        assert_eq!(ready_claim(world, "c").await, kept);
    });
}
