//! Others take from sets by the protocol of the family, or say that they will.

use std::collections::BTreeSet;
use std::time::Duration;

use controllers::kinds::Kind;
use http::Method;
use serde_json::json;

use super::{CLAIMED, LOCK, OWNER, event, full, image, name, names, open, take};

#[tokio::test(start_paused = true)]
async fn whoever_locked_a_sandbox_gets_it_whatever_the_set_wants() {
    let stage = open(3).await;
    let locked = stage.list(Kind::KruiseSandbox).await.remove(0);
    let lock = json!({"metadata": {"annotations": {LOCK: "a word", OWNER: "somebody"}}});
    let locked = stage.patch(Kind::KruiseSandbox, &name(&locked), lock).await;
    stage.patch(Kind::SandboxSet, "demo", json!({"spec": {"replicas": 0}})).await;
    stage
        .until("the others are gone", async || {
            (stage.list(Kind::KruiseSandbox).await.len() == 1).then_some(())
        })
        .await;
    stage
        .until("the locked one counts, and not as available", async || {
            let set = stage.get(Kind::SandboxSet, "demo").await?;
            (set["status"]["replicas"] == 1 && set["status"]["availableReplicas"] == 0)
                .then_some(())
        })
        .await;
    // A template edit, too, has to wait.
    stage.patch(Kind::SandboxSet, "demo", image("nginx:1.27")).await;
    stage.pass(Duration::from_secs(60)).await;
    take(&stage, &locked, "somebody").await;
    full(&stage, 0).await;
    stage.pass(Duration::from_secs(600)).await;
    let left = stage.list(Kind::KruiseSandbox).await;
    assert_eq!(left.iter().map(name).collect::<Vec<_>>(), [name(&locked)]);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_nobody_comes_back_for_is_stranded() {
    let stage = open(2).await;
    let locked = name(&stage.list(Kind::KruiseSandbox).await[0]);
    let lock =
        json!({"metadata": {"annotations": {LOCK: "a word", OWNER: "__manager_scale_down"}}});
    stage.patch(Kind::KruiseSandbox, &locked, lock).await;
    stage
        .until("it does not count as available", async || {
            let set = stage.get(Kind::SandboxSet, "demo").await?;
            (set["status"]["availableReplicas"] == 1).then_some(())
        })
        .await;
    stage.pass(Duration::from_secs(110)).await;
    assert!(names(&stage).await.contains(&locked), "two minutes are not over");
    stage.pass(Duration::from_secs(15)).await;
    full(&stage, 2).await;
    assert!(!names(&stage).await.contains(&locked));
    let told = event(&stage, "StrandedLock").await;
    assert!(told["message"].as_str().unwrap().contains(&locked), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_and_somebody_outside_never_both_have_a_sandbox() {
    let stage = open(12).await;
    let warm = stage.list(Kind::KruiseSandbox).await;
    let takes = warm.iter().enumerate().map(async |(number, sandbox)| {
        // Spread over the moment in which the set removes them.
        stage.pass(Duration::from_millis(number as u64 % 4)).await;
        let meta = &sandbox["metadata"];
        let patch = json!({"metadata": {
            "uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "ownerReferences": null,
            "labels": {CLAIMED: "true"}, "annotations": {LOCK: "a word", OWNER: "somebody"},
        }});
        let path = format!("{}/{}", Kind::KruiseSandbox.collection("default"), name(sandbox));
        let taken = stage.send(Method::PATCH, &path, Some(&patch)).await.is_ok();
        taken.then(|| name(sandbox))
    });
    let (_, taken) = tokio::join!(
        stage.patch(Kind::SandboxSet, "demo", json!({"spec": {"replicas": 0}})),
        futures::future::join_all(takes),
    );
    let taken: BTreeSet<String> = taken.into_iter().flatten().collect();
    full(&stage, 0).await;
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(names(&stage).await, taken);
    assert!(!taken.is_empty() && taken.len() < 12, "{} of 12 were taken", taken.len());
}
