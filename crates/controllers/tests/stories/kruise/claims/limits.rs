//! What a claim waits for, how long, and what it is told; what is refused at the door.

use std::time::Duration;

use controllers::kinds::Kind;
use http::Method;
use serde_json::{Value, json};

use super::{event, told};
use crate::stage::{Stage, condition};

#[tokio::test(start_paused = true)]
async fn a_claim_before_its_set_waits_for_it() {
    let stage = Stage::open().await;
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let waiting = stage
        .until("the claim says what is missing", async || {
            let claim = stage.get(Kind::KruiseClaim, "c").await?;
            (condition(&claim, "Completed")["reason"] == "WarmPoolNotFound").then_some(claim)
        })
        .await;
    event(&stage, "c", "NoAvailableSandboxes").await;
    assert_eq!(waiting["status"]["phase"], "Claiming");
    assert_eq!(waiting["status"]["message"], "Claiming sandboxes: 0/2 claimed");
    stage.set("demo", "ready", 2).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["message"], "Successfully claimed 2/2 sandboxes");
}

#[tokio::test(start_paused = true)]
async fn a_claim_gives_up_after_its_timeout_with_what_it_has() {
    let stage = Stage::stocked_set(1).await;
    stage
        .patch(Kind::SandboxSet, "demo", json!({"spec": {"scaleStrategy": {"maxUnavailable": 0}}}))
        .await;
    let spec = json!({"replicas": 2, "createOnNoStock": false, "claimTimeout": "5s"});
    stage.ask("c", "demo", spec.clone()).await;
    stage.ask("lost", "nowhere", spec).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["message"], "Timeout reached after 5s, claimed 1/2 sandboxes");
    assert_eq!(condition(&claim, "Completed")["reason"], "TimeoutReached");
    assert_eq!(condition(&claim, "TimedOut")["reason"], "ClaimTimeoutReached");
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
    let lost = stage.over("lost").await;
    assert_eq!(lost["status"]["message"], "SandboxSet nowhere not found");
    assert_eq!(condition(&lost, "Completed")["reason"], "SandboxSetNotFound");
    assert_eq!(lost["status"]["claimedReplicas"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_goes_after_its_time_and_its_sandboxes_stay() {
    let stage = Stage::stocked_set(2).await;
    stage.ask("short", "demo", json!({"ttlAfterCompleted": "10s"})).await;
    stage.ask("long", "demo", json!({"ttlAfterCompleted": "-1s"})).await;
    let claim = stage.over("short").await;
    stage.over("long").await;
    stage.pass(Duration::from_secs(8)).await;
    assert!(stage.get(Kind::KruiseClaim, "short").await.is_some());
    stage
        .until("it is gone", async || {
            stage.get(Kind::KruiseClaim, "short").await.is_none().then_some(())
        })
        .await;
    event(&stage, "short", "SandboxClaimTTLDelete").await;
    stage.pass(Duration::from_secs(7200)).await;
    assert!(stage.get(Kind::KruiseClaim, "long").await.is_some());
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_and_taken_back_is_told_again() {
    let stage = Stage::stocked_set(3).await;
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let before = told(&stage.over("c").await);
    for lie in [json!({"status": {"claimedReplicas": 0}}), json!({"status": null})] {
        stage.patch(Kind::KruiseClaim, "c/status", lie).await;
        stage
            .until("the claim says what it has", async || {
                let claim = stage.get(Kind::KruiseClaim, "c").await?;
                (claim["status"]["claimedReplicas"] == 2 && told(&claim) == before).then_some(())
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_set_can_not_do_is_said() {
    let stage = Stage::stocked_set(1).await;
    let spec =
        json!({"claimTimeout": "3s", "inplaceUpdate": {"resources": {"requests": {"cpu": "1"}}}});
    stage.ask("c", "demo", spec).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["claimedReplicas"], 0);
    let why = condition(&claim, "Completed")["message"].as_str().unwrap().to_owned();
    assert!(why.contains("has no requests.cpu"), "{why}");
    stage.stocked("demo", 1).await;
}

#[tokio::test(start_paused = true)]
async fn bad_claims_are_refused_at_the_door() {
    let stage = Stage::stocked_set(1).await;
    stage.ask("c", "demo", json!({"replicas": 1, "dynamicVolumesMount": null})).await;
    let path = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxclaims";
    let refused = async |spec: Value| {
        let body = json!({"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxClaim", "metadata": {"name": "bad"}, "spec": spec});
        stage.send(Method::POST, path, Some(&body)).await.unwrap_err().to_string()
    };
    let table = [
        (json!({"templateName": "demo", "replicas": 0}), "spec.replicas"),
        (
            json!({"templateName": "demo", "claimTimeout": "500ms"}),
            "claimTimeout must be at least 1s",
        ),
        (
            json!({"templateName": "demo", "waitReadyTimeout": "0s"}),
            "waitReadyTimeout must be at least 1s",
        ),
        (json!({"templateName": "demo", "claimTimeout": "soon"}), "spec.claimTimeout"),
        (
            json!({"templateName": "demo", "labels": {"agents.kruise.io/sandbox-id": "x"}}),
            "labels may not set agents.kruise.io/sandbox-id",
        ),
        (
            json!({"templateName": "demo", "annotations": {"agents.kruise.io/sandbox-id": "x"}}),
            "annotations may not set agents.kruise.io/sandbox-id",
        ),
        (json!({"replicas": 1}), "templateName"),
    ];
    for (spec, expected) in table {
        let said = refused(spec.clone()).await;
        assert!(said.contains(expected), "{spec}: {said}");
    }
    let changed = stage
        .send(Method::PATCH, &format!("{path}/c"), Some(&json!({"spec": {"replicas": 2}})))
        .await
        .unwrap_err()
        .to_string();
    assert!(changed.contains("replicas is immutable"), "{changed}");
    let plain = stage.get(Kind::KruiseClaim, "c").await.unwrap();
    let spec = &plain["spec"];
    assert_eq!((&spec["claimTimeout"], &spec["ttlAfterCompleted"]), (&json!("1m"), &json!("60m")));
    assert_eq!(
        (&spec["createOnNoStock"], &spec["waitReadyTimeout"]),
        (&json!(true), &json!("30s"))
    );
}
