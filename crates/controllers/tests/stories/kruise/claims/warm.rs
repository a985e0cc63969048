//! Warm ones, in one write each; against other claims, and beside other programs.

use std::collections::BTreeSet;
use std::time::Duration;

use controllers::kinds::Kind;
use serde_json::{Value, json};

use super::{GROUP, event, label, names, note, told};
use crate::stage::{Stage, condition};

#[tokio::test(start_paused = true)]
async fn three_of_five_warm_ones_are_claimed_and_the_set_refills() {
    let stage = Stage::stocked_set(5).await;
    let warm = names(&stage.list(Kind::KruiseSandbox).await);
    let spec = json!({"replicas": 3, "labels": {"team": "red"}, "annotations": {"note": "n"},
                      "shutdownTime": "2031-01-01T00:00:00Z", "pauseTime": "2030-12-01T00:00:00Z"});
    stage.ask("c", "demo", spec).await;
    let claim = stage.over("c").await;
    let status = &claim["status"];
    assert_eq!(status["message"], "Successfully claimed 3/3 sandboxes");
    assert_eq!(status["claimedReplicas"], 3);
    assert_eq!(condition(&claim, "Completed")["reason"], "AllReplicasClaimed");
    assert!(status["completionTime"].is_string() && status["claimStartTime"].is_string());
    assert_eq!(event(&stage, "c", "SandboxClaimed").await, "Claimed 3 sandbox(es), total: 3/3");
    event(&stage, "c", "ClaimCompleted").await;
    let mine = stage.of_claim(&claim).await;
    assert_eq!(names(&mine), told(&claim));
    assert!(names(&mine).is_subset(&warm), "all were warm");
    for sandbox in &mine {
        assert!(sandbox["metadata"].get("ownerReferences").is_none());
        assert_eq!(label(sandbox, "sandbox-claimed"), "true");
        assert_eq!(label(sandbox, "claim-name"), "c");
        assert_eq!(sandbox["metadata"]["labels"]["team"], "red");
        assert_eq!(sandbox["spec"]["shutdownTime"], "2031-01-01T00:00:00Z");
        assert_eq!(sandbox["spec"]["pauseTime"], "2030-12-01T00:00:00Z");
    }
    stage.stocked("demo", 5).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 8);
    for name in names(&mine) {
        stage
            .until("the pod follows", async || {
                let pod = stage.get(Kind::Pod, &name).await?;
                let labels = &pod["metadata"]["labels"];
                (labels[format!("{GROUP}/owner")] == claim["metadata"]["uid"]
                    && labels["team"] == "red"
                    && pod["metadata"]["annotations"]["note"] == "n")
                    .then_some(())
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_warm_claim_costs_one_write_for_each_sandbox_and_one_for_itself() {
    for count in [1, 3] {
        let stage = Stage::stocked_set(4).await;
        stage.wire.clear();
        stage.ask("c", "demo", json!({"replicas": count})).await;
        let claim = stage.over("c").await;
        let mine = told(&claim);
        let concerns = |write: &String| {
            write.contains("sandboxclaims/c") || mine.iter().any(|name| write.contains(name))
        };
        // What follows when the claim is told, such as the pod's label, is nobody's wait.
        let until_told: Vec<String> = stage.wire.writes().into_iter().filter(concerns).collect();
        let (last, binds) = until_told[..=count].split_last().unwrap();
        assert!(last.ends_with("sandboxclaims/c/status"), "{until_told:#?}");
        assert!(binds.iter().all(|it| it.starts_with("PATCH") && it.contains("/sandboxes/")));
        stage.stocked("demo", 4).await;
        stage.pass(Duration::from_secs(60)).await;
        let writes = stage.wire.writes();
        assert_eq!(
            writes.iter().filter(|it| it.contains("sandboxclaims")).count(),
            1,
            "{writes:#?}"
        );
        // Claimed and replaced: the bind and the pod's label; the new sandbox, its pod and its status. What is said of set and claim is shared by all of a batch.
        let reports = |it: &&String| it.contains("sandboxclaims") || it.contains("sandboxsets");
        assert_eq!(writes.iter().filter(|it| !reports(it)).count(), 5 * count, "{writes:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_are_claimed_in_few_reports() {
    let stage = Stage::stocked_set(100).await;
    stage.wire.clear();
    stage.ask("c", "demo", json!({"replicas": 100})).await;
    let claim = stage.over("c").await;
    assert_eq!((told(&claim).len(), stage.of_claim(&claim).await.len()), (100, 100));
    let writes = stage.wire.writes();
    let reports = writes.iter().filter(|it| it.contains("sandboxclaims")).count();
    assert!(reports <= 2, "{reports}");
    stage.stocked("demo", 100).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn two_claims_race_for_the_last_one() {
    let stage = Stage::open().await;
    stage.set("demo", "soon", 1).await;
    stage.stocked("demo", 1).await;
    for name in ["a", "b"] {
        stage.ask(name, "demo", json!({"createOnNoStock": false})).await;
    }
    let (a, b) = (stage.over("a").await, stage.over("b").await);
    assert_eq!((told(&a).len(), told(&b).len()), (1, 1));
    assert_ne!(told(&a), told(&b));
    stage.stocked("demo", 1).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn claims_are_served_in_the_order_in_which_they_came() {
    let stage = Stage::open().await;
    stage.set("demo", "ready", 0).await;
    for name in ["a", "b", "c"] {
        stage.ask(name, "demo", json!({"replicas": 2, "createOnNoStock": false})).await;
        stage.pass(Duration::from_millis(50)).await;
    }
    let started = stage
        .until("all wait", async || {
            let claims = stage.list(Kind::KruiseClaim).await;
            claims.iter().all(|it| it["status"]["phase"] == "Claiming").then_some(claims)
        })
        .await;
    assert_eq!(condition(&started[0], "Completed")["reason"], "NoStock");
    assert_eq!(condition(&started[2], "Completed")["reason"], "InLine");
    stage.patch(Kind::SandboxSet, "demo", json!({"spec": {"replicas": 1}})).await;
    let first = stage.over("a").await;
    let last = stage.over("c").await;
    let ended = |claim: &Value| claim["status"]["completionTime"].as_str().unwrap().to_owned();
    assert!(ended(&first) <= ended(&last));
    let all: Vec<BTreeSet<String>> =
        [first, stage.over("b").await, last].iter().map(told).collect();
    assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), 6);
}

/// Another program of the family takes sandboxes with a lock and one conditional write, beside us.
#[tokio::test(start_paused = true)]
async fn a_claimer_from_outside_is_respected() {
    let stage = Stage::stocked_set(3).await;
    let warm = stage.list(Kind::KruiseSandbox).await;
    let mark = |it: &Value, owner_references: Value, claimed: &str| {
        json!({"metadata": {
            "resourceVersion": it["metadata"]["resourceVersion"],
            "ownerReferences": owner_references,
            "labels": {"agents.kruise.io/sandbox-claimed": claimed},
            "annotations": {"agents.kruise.io/lock": "theirs", "agents.kruise.io/owner": "key-1"},
        }})
    };
    let (taken, locked) = (&warm[0], &warm[1]);
    let name = |it: &Value| it["metadata"]["name"].as_str().unwrap().to_owned();
    stage.patch(Kind::KruiseSandbox, &name(taken), mark(taken, json!([]), "true")).await;
    let owners = locked["metadata"]["ownerReferences"].clone();
    stage.patch(Kind::KruiseSandbox, &name(locked), mark(locked, owners, "false")).await;
    stage.ask("c", "demo", json!({"replicas": 3})).await;
    let claim = stage.over("c").await;
    assert_eq!(told(&claim).len(), 3);
    assert!(!told(&claim).contains(&name(taken)) && !told(&claim).contains(&name(locked)));
    let theirs = stage.get(Kind::KruiseSandbox, &name(taken)).await.unwrap();
    assert_eq!(note(&theirs, "owner"), "key-1");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_claim_leaves_its_sandboxes_and_a_deleted_sandbox_is_not_replaced() {
    let stage = Stage::stocked_set(3).await;
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let claim = stage.over("c").await;
    let mine = told(&claim);
    let first = mine.first().unwrap();
    stage.delete(Kind::KruiseSandbox, first).await;
    stage.pass(Duration::from_secs(30)).await;
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
    stage.delete(Kind::KruiseClaim, "c").await;
    stage.pass(Duration::from_secs(30)).await;
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
    // A claim of the same name is another claim.
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let again = stage.over("c").await;
    assert!(told(&again).is_disjoint(&mine));
}
