//! Lives end: of claims and of sandboxes.

use std::time::Duration;

use controllers::kinds::Kind;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::stage::{Stage, condition};

async fn bound(lifecycle: Value, image: &str) -> (Stage, String) {
    let stage = Stage::open().await;
    stage.template("python", image).await;
    stage.pool("warm", "python", 1, json!({})).await;
    let spec = json!({"warmPoolRef": {"name": "warm"}, "lifecycle": lifecycle});
    stage.create(Kind::Claim, json!({"metadata": {"name": "c"}, "spec": spec})).await;
    let name = stage
        .until("the claim has a sandbox", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            claim["status"]["sandbox"]["name"].as_str().map(str::to_owned)
        })
        .await;
    (stage, name)
}

fn in_a_minute() -> String {
    "2030-01-01T00:01:00Z".to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_retained_claim_loses_its_sandbox_and_says_that_it_expired() {
    let (stage, sandbox) = bound(json!({"shutdownTime": in_a_minute()}), "ready").await;
    stage.ready("c").await;
    stage
        .until("its sandbox is gone", async || {
            stage.get(Kind::Sandbox, &sandbox).await.is_none().then_some(())
        })
        .await;
    let begin: jiff::Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    assert!(stage.clock.now().duration_since(begin) >= SignedDuration::from_secs(60));
    let claim = stage.get(Kind::Claim, "c").await.unwrap();
    assert_eq!(condition(&claim, "Ready")["reason"], "ClaimExpired");
    // And it stays so: an expired claim gets nothing new.
    stage.pass(Duration::from_secs(120)).await;
    assert_eq!(
        condition(&stage.get(Kind::Claim, "c").await.unwrap(), "Ready")["reason"],
        "ClaimExpired"
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_with_the_policy_delete_goes_with_its_sandbox() {
    let (stage, sandbox) =
        bound(json!({"shutdownTime": in_a_minute(), "shutdownPolicy": "Delete"}), "ready").await;
    stage
        .until("all of it is gone", async || {
            let gone = stage.get(Kind::Claim, "c").await.is_none()
                && stage.get(Kind::Sandbox, &sandbox).await.is_none();
            gone.then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_claim_goes_after_its_time_to_live() {
    let stage = Stage::open().await;
    stage.template("job", "done").await;
    stage.pool("cold", "job", 0, json!({})).await;
    let lifecycle = json!({"ttlSecondsAfterFinished": 30, "shutdownPolicy": "Delete"});
    let spec = json!({"warmPoolRef": {"name": "cold"}, "lifecycle": lifecycle});
    stage.create(Kind::Claim, json!({"metadata": {"name": "c"}, "spec": spec})).await;
    stage
        .until("it is finished", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            (condition(&claim, "Finished")["status"] == "True").then_some(())
        })
        .await;
    let finished = stage.clock.now();
    stage
        .until("it is gone", async || stage.get(Kind::Claim, "c").await.is_none().then_some(()))
        .await;
    let lived = stage.clock.now().duration_since(finished);
    assert!(
        lived >= SignedDuration::from_secs(28) && lived <= SignedDuration::from_secs(32),
        "{lived:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_sandbox_loses_its_pod_and_can_be_brought_back() {
    let stage = Stage::open().await;
    let pod = json!({"spec": {"containers": [{"name": "main", "image": "ready"}]}});
    let spec = json!({"podTemplate": pod, "shutdownTime": in_a_minute()});
    stage.create(Kind::Sandbox, json!({"metadata": {"name": "s"}, "spec": spec})).await;
    stage
        .until("it expired and its pod is gone", async || {
            let sandbox = stage.get(Kind::Sandbox, "s").await?;
            let expired = condition(&sandbox, "Ready")["reason"] == "SandboxExpired";
            (expired && stage.get(Kind::Pod, "s").await.is_none()).then_some(())
        })
        .await;
    stage.patch(Kind::Sandbox, "s", json!({"spec": {"shutdownTime": null}})).await;
    stage
        .until("it is ready again", async || {
            let sandbox = stage.get(Kind::Sandbox, "s").await?;
            (condition(&sandbox, "Ready")["status"] == "True").then_some(())
        })
        .await;
}
