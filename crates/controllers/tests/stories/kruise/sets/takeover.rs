//! Sets that another controller of the family has run so far.

use std::collections::BTreeSet;
use std::time::Duration;

use controllers::kinds::Kind;
use serde_json::{Value, json};

use super::{CLAIMED, HASH, POOL, demo, full, image, names};
use crate::stage::Stage;

/// A set and its sandboxes as the family's other controller leaves them: defaults filled in, a string of its own for the revision.
async fn theirs(stage: &Stage, block: Value) {
    let mut set = demo(2);
    set["spec"].as_object_mut().unwrap().remove("template");
    let fields = block.as_object().unwrap();
    for (field, value) in fields {
        set["spec"][field] = value.clone();
    }
    let set = stage.create(Kind::SandboxSet, set).await;
    let status = json!({"replicas": 2, "availableReplicas": 2, "updatedReplicas": 2, "updatedAvailableReplicas": 2,
                        "updateRevision": "78dd8599cf", "currentRevision": "demo-78dd8599cf", "observedGeneration": 1});
    stage.patch(Kind::SandboxSet, "demo/status", json!({"status": status})).await;
    for number in 0..2 {
        let mut spec = block.clone();
        spec["persistentContents"] = json!(["ip"]);
        let labels = json!({POOL: "demo", "agents.kruise.io/sandbox-template": "demo", CLAIMED: "false", HASH: "78dd8599cf"});
        if spec["template"].is_object() {
            spec["template"]["metadata"]["labels"] = labels.clone();
            spec["template"]["metadata"]["creationTimestamp"] = Value::Null;
            spec["template"]["spec"]["containers"][0]["resources"] = json!({});
        }
        let owner = json!({"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxSet", "name": "demo",
                           "uid": set["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true});
        let sandbox = json!({"metadata": {"name": format!("demo-{number}"), "labels": labels, "ownerReferences": [owner]}, "spec": spec});
        stage.create(Kind::KruiseSandbox, sandbox).await;
    }
}

#[tokio::test(start_paused = true)]
async fn taking_over_a_set_recreates_nothing() {
    let mut stage = Stage::empty().await;
    let template = json!({"metadata": {"annotations": {"foo": "bar"}}, "spec": {
        "containers": [{"name": "nginx", "image": "nginx:alpine", "imagePullPolicy": "IfNotPresent"}],
        "automountServiceAccountToken": false, "restartPolicy": "Always",
    }});
    theirs(&stage, json!({"template": template})).await;
    stage.enter(|_| {});
    let set = full(&stage, 2).await;
    stage.pass(Duration::from_secs(600)).await;
    assert_eq!(set["status"]["updateRevision"], "78dd8599cf", "the string is kept");
    assert_eq!(names(&stage).await, BTreeSet::from(["demo-0".to_owned(), "demo-1".to_owned()]));
    assert!(stage.get(Kind::KruiseTemplate, "demo-78dd8599cf").await.is_some());

    // Another process after us finds the string in our own words.
    let first = stage.take();
    first.stop.cancel();
    first.task.await.unwrap().unwrap();
    stage.enter(|options| options.seed = 8);
    stage.pass(Duration::from_secs(600)).await;
    assert_eq!(names(&stage).await.len(), 2);
    // From here on an edit is an edit.
    stage.patch(Kind::SandboxSet, "demo", image("nginx:1.27")).await;
    let set = full(&stage, 2).await;
    assert_ne!(set["status"]["updateRevision"], "78dd8599cf");
    assert!(!names(&stage).await.contains("demo-0"));
}

#[tokio::test(start_paused = true)]
async fn taking_over_a_set_that_refers_to_a_template_recreates_nothing_until_that_changes() {
    let mut stage = Stage::empty().await;
    let template = |image: &str| json!({"template": {"spec": {"containers": [{"name": "main", "image": image}]}}});
    let base = json!({"metadata": {"name": "base"}, "spec": template("ready:1")});
    stage.create(Kind::KruiseTemplate, base).await;
    theirs(&stage, json!({"templateRef": {"name": "base"}})).await;
    stage.enter(|_| {});
    let set = full(&stage, 2).await;
    stage.pass(Duration::from_secs(600)).await;
    assert_eq!(set["status"]["updateRevision"], "78dd8599cf");
    assert!(names(&stage).await.contains("demo-0"));
    stage.patch(Kind::KruiseTemplate, "base", json!({"spec": template("ready:2")})).await;
    stage
        .until("theirs are replaced", async || {
            (!names(&stage).await.contains("demo-0") && !names(&stage).await.contains("demo-1"))
                .then_some(())
        })
        .await;
    full(&stage, 2).await;
}
