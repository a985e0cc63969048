//! Answers are lost, controllers die: what was promised still holds.

use std::collections::BTreeSet;

use std::time::Duration;

use controllers::kinds::Kind;
use http::Method;
use serde_json::json;

use crate::stage::{Stage, condition, controller};
use crate::wire::Fault;

async fn filled_pool() -> Stage {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 3, json!({})).await;
    stage.filled("warm", 3).await;
    stage
}

async fn held_by(stage: &Stage, claim: &str) -> Vec<String> {
    let sandboxes = stage.list(Kind::Sandbox).await;
    let held =
        sandboxes.iter().filter(|s| controller(s) == ("SandboxClaim".to_owned(), claim.to_owned()));
    held.map(|s| s["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_bind_whose_answer_is_lost_gives_the_claim_one_sandbox_not_two() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let stage = filled_pool().await;
        stage.wire.break_next(Method::PATCH, "/sandboxes/", fault);
        stage.claim("c", "warm").await;
        stage.ready("c").await;
        assert!(stage.wire.is_whole());
        assert_eq!(held_by(&stage, "c").await.len(), 1, "{fault:?}");
        stage.filled("warm", 3).await;
        assert_eq!(stage.list(Kind::Sandbox).await.len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_is_lost_is_not_made_twice() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let stage = Stage::open().await;
        stage.template("python", "ready").await;
        stage.wire.break_next(Method::POST, "/sandboxes", fault);
        stage.wire.break_next(Method::POST, "/pods", fault);
        stage.pool("warm", "python", 3, json!({})).await;
        stage.filled("warm", 3).await;
        assert!(stage.wire.is_whole());
        assert_eq!(stage.list(Kind::Sandbox).await.len(), 3, "{fault:?}");
        assert_eq!(stage.list(Kind::Pod).await.len(), 3, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_arrives_after_its_answer_was_lost_does_not_make_one_too_many() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.wire.break_next(Method::POST, "/sandboxes", Fault::Late(Duration::from_secs(3)));
    stage.pool("warm", "python", 3, json!({})).await;
    stage.filled("warm", 3).await;
    stage.pass(Duration::from_secs(30)).await;
    assert!(stage.wire.is_whole());
    let writes = stage.wire.writes();
    let of = |method: &str| {
        writes.iter().filter(|w| w.starts_with(method) && w.contains("/sandboxes")).count()
    };
    assert_eq!((of("POST"), of("DELETE")), (3, 0), "{writes:#?}");
    assert_eq!(stage.list(Kind::Sandbox).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_whose_answer_is_lost_is_found_again() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let stage = Stage::open().await;
        stage.template("python", "ready").await;
        stage.pool("cold", "python", 0, json!({})).await;
        stage.wire.break_next(Method::POST, "/sandboxes", fault);
        stage.claim("c", "cold").await;
        stage.ready("c").await;
        assert_eq!(held_by(&stage, "c").await, ["c"], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_lost_is_written_again() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let stage = filled_pool().await;
        stage.wire.break_next(Method::PATCH, "/sandboxclaims/c/status", fault);
        stage.claim("c", "warm").await;
        stage.ready("c").await;
        assert_eq!(held_by(&stage, "c").await.len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_dies_between_the_two_writes_of_a_claim_is_continued_by_the_next() {
    let mut stage = filled_pool().await;
    // The second write never arrives, and the process is gone.
    stage.wire.break_next(Method::PATCH, "/sandboxclaims/c/status", Fault::LoseRequest);
    stage.claim("c", "warm").await;
    let bound = stage
        .until("the sandbox is the claim's", async || held_by(&stage, "c").await.into_iter().next())
        .await;
    stage.take().task.abort();
    stage.enter(|_| {});
    let claim = stage.ready("c").await;
    assert_eq!(claim["status"]["sandbox"]["name"], bound.as_str());
    assert_eq!(held_by(&stage, "c").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_controllers_without_a_lease_never_give_one_sandbox_to_two_claims() {
    let mut stage = filled_pool().await;
    stage.enter(|options| options.seed = 8);
    for n in 0..12 {
        stage.claim(&format!("c{n}"), "warm").await;
    }
    let mut names = BTreeSet::new();
    for n in 0..12 {
        let claim = stage.ready(&format!("c{n}")).await;
        names.insert(claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_shrinks_while_claims_come_never_deletes_what_was_claimed() {
    let stage = filled_pool().await;
    for n in 0..3 {
        stage.claim(&format!("c{n}"), "warm").await;
    }
    stage.patch(Kind::Pool, "warm", json!({"spec": {"replicas": 0}})).await;
    for n in 0..3 {
        let claim = stage.ready(&format!("c{n}")).await;
        let name = claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned();
        let sandbox = stage.get(Kind::Sandbox, &name).await.unwrap();
        assert_eq!(controller(&sandbox), ("SandboxClaim".to_owned(), format!("c{n}")));
        assert!(sandbox["metadata"].get("deletionTimestamp").is_none());
    }
    // A removal that lost to a claim is not waited for: no event will ever settle it.
    stage.patch(Kind::Pool, "warm", json!({"spec": {"replicas": 4}})).await;
    let begun = tokio::time::Instant::now();
    stage.filled("warm", 4).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "the pool idled for {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_a_quota_refuses_says_so_and_is_served_when_there_is_room() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("cold", "python", 0, json!({})).await;
    for _ in 0..8 {
        stage.wire.break_next(Method::POST, "/sandboxes", Fault::Refuse);
    }
    stage.claim("c", "cold").await;
    stage
        .until("the claim says why nothing happens", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            let ready = condition(&claim, "Ready");
            (ready["reason"] == "ReconcilerError"
                && ready["message"].as_str()?.contains("exceeded quota"))
            .then_some(())
        })
        .await;
    stage.ready("c").await;
    assert!(stage.wire.is_whole());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_a_quota_refuses_asks_seldom_and_fills_when_there_is_room() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    for _ in 0..20 {
        stage.wire.break_next(Method::POST, "/sandboxes", Fault::Refuse);
    }
    stage.pool("warm", "python", 100, json!({})).await;
    stage.until("the refusals are over", async || stage.wire.is_whole().then_some(())).await;
    // Waves of four with pauses between them, never a hundred at once.
    let asked = stage.wire.writes().iter().filter(|w| w.ends_with("/sandboxes")).count();
    assert!(asked <= 24, "{asked}");
    stage.filled("warm", 100).await;
}
