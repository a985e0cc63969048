//! Sets follow their template, written in them or referred to, and remember what it was.

use std::collections::BTreeSet;
use std::time::Duration;

use controllers::kinds::Kind;
use serde_json::json;

use super::{POOL, event, full, image, name, names, open, says, take, watch_counts};
use crate::stage::Stage;

#[tokio::test(start_paused = true)]
async fn a_rolling_update_keeps_most_of_the_set_available() {
    let stage = open(10).await;
    let before = names(&stage).await;
    let old = full(&stage, 10).await["status"]["updateRevision"].clone();
    let seen = watch_counts(&stage);
    stage.patch(Kind::SandboxSet, "demo", image("nginx:1.27")).await;
    let set = full(&stage, 10).await;
    assert_ne!(set["status"]["updateRevision"], old);
    assert!(names(&stage).await.is_disjoint(&before));
    let least = seen.lock().iter().map(|(_, available)| *available).min().unwrap();
    assert!(least >= 8, "a fifth may be missing: {:?}", seen.lock());
    event(&stage, "RollingUpdate").await;
    // Both templates are written down.
    assert_eq!(stage.list(Kind::KruiseTemplate).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_surge_replaces_without_a_gap_and_a_frozen_update_not_at_all() {
    let stage = open(3).await;
    let strategy = json!({"spec": {"updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}}});
    stage.patch(Kind::SandboxSet, "demo", strategy).await;
    let seen = watch_counts(&stage);
    stage.patch(Kind::SandboxSet, "demo", image("nginx:1.27")).await;
    full(&stage, 3).await;
    assert!(seen.lock().iter().all(|(replicas, available)| *available >= 3 && *replicas <= 4));

    let frozen = json!({"spec": {"updateStrategy": {"maxUnavailable": 0, "maxSurge": 0}}});
    stage.patch(Kind::SandboxSet, "demo", frozen).await;
    let before = names(&stage).await;
    stage.patch(Kind::SandboxSet, "demo", image("nginx:1.28")).await;
    says(&stage, "Progressing", "RolloutFrozen").await;
    stage.pass(Duration::from_secs(600)).await;
    assert_eq!(names(&stage).await, before);
    assert_eq!(stage.get(Kind::SandboxSet, "demo").await.unwrap()["status"]["updatedReplicas"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_set_follows_the_template_it_refers_to_and_waits_for_one_that_is_missing() {
    let stage = Stage::open().await;
    let spec = json!({"replicas": 2, "templateRef": {"name": "base", "kind": "SandboxTemplate"}});
    stage.create(Kind::SandboxSet, json!({"metadata": {"name": "demo"}, "spec": spec})).await;
    let missing = says(&stage, "Progressing", "TemplateNotFound").await;
    assert!(missing["message"].as_str().unwrap().contains("base"), "{missing}");

    let template = |image: &str| {
        json!({"metadata": {"name": "base"}, "spec": {"template": {
        "metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "main", "image": image}]}}}})
    };
    stage.create(Kind::KruiseTemplate, template("ready:1")).await;
    let set = full(&stage, 2).await;
    assert_eq!(set["status"]["currentRevision"], "base");
    let before = names(&stage).await;
    for sandbox in stage.list(Kind::KruiseSandbox).await {
        assert_eq!(sandbox["spec"]["templateRef"]["name"], "base");
        assert!(sandbox["spec"]["template"].is_null());
        let pod = stage.get(Kind::Pod, &name(&sandbox)).await.unwrap();
        assert_eq!(pod["metadata"]["labels"][POOL], "demo");
        assert_eq!(pod["metadata"]["labels"]["app"], "x");
    }

    stage.patch(Kind::KruiseTemplate, "base", json!({"spec": template("ready:2")["spec"]})).await;
    stage
        .until("all are of the new template", async || {
            let pods = stage.list(Kind::Pod).await;
            let new = pods.iter().filter(|pod| pod["spec"]["containers"][0]["image"] == "ready:2");
            (pods.len() == 2 && new.count() == 2).then_some(())
        })
        .await;
    let after = full(&stage, 2).await;
    assert_ne!(after["status"]["updateRevision"], set["status"]["updateRevision"]);
    assert!(names(&stage).await.is_disjoint(&before));
    // Only the user's own template exists: one that is referred to need not be written down.
    assert_eq!(stage.list(Kind::KruiseTemplate).await.len(), 1);

    stage.delete(Kind::KruiseTemplate, "base").await;
    says(&stage, "Progressing", "TemplateNotFound").await;
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 2, "what exists is kept");
}

#[tokio::test(start_paused = true)]
async fn the_newest_ten_templates_are_kept_and_every_one_that_is_in_use() {
    let stage = open(1).await;
    let first = full(&stage, 1).await["status"]["currentRevision"].as_str().unwrap().to_owned();
    let claimed = stage.list(Kind::KruiseSandbox).await.remove(0);
    take(&stage, &claimed, "somebody").await;
    full(&stage, 1).await;
    stage.patch(Kind::SandboxSet, "demo", json!({"spec": {"replicas": 0}})).await;
    for number in 1..13 {
        stage.pass(Duration::from_secs(2)).await;
        stage.patch(Kind::SandboxSet, "demo", image(&format!("nginx:{number}"))).await;
        full(&stage, 0).await;
    }
    let templates = async || -> BTreeSet<String> {
        stage.list(Kind::KruiseTemplate).await.iter().map(name).collect()
    };
    stage
        .until("the oldest are gone", async || (templates().await.len() == 11).then_some(()))
        .await;
    assert!(templates().await.contains(&first), "a claimed sandbox was made from it");
    stage.delete(Kind::KruiseSandbox, &name(&claimed)).await;
    stage
        .until("nobody needs the first one", async || {
            (templates().await.len() == 10 && !templates().await.contains(&first)).then_some(())
        })
        .await;
    // One that is deleted by hand and still the present one comes back.
    let present = stage.get(Kind::SandboxSet, "demo").await.unwrap()["status"]["currentRevision"]
        .as_str()
        .unwrap()
        .to_owned();
    stage.delete(Kind::KruiseTemplate, &present).await;
    stage.until("it is back", async || templates().await.contains(&present).then_some(())).await;
}
