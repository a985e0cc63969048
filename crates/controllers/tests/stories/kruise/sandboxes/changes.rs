//! A sandbox's template changes while its pod runs.

use controllers::kinds::Kind;
use serde_json::{Value, json};

use crate::stage::{Stage, condition};

fn container(image: &str, cpu: &str) -> Value {
    json!({"name": "main", "image": image,
           "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"cpu": "9", "memory": "128Mi"}}})
}

async fn running(stage: &Stage) -> (Value, Value) {
    let spec = json!({"template": {"spec": {"containers": [container("ready:1", "1")]}}});
    stage.sandbox("s", "ready:1", spec).await;
    let sandbox = stage.runs("s").await;
    (sandbox, stage.life("s").await)
}

async fn change(stage: &Stage, template: Value) -> Value {
    stage.patch(Kind::KruiseSandbox, "s", json!({"spec": {"template": template}})).await
}

#[tokio::test(start_paused = true)]
async fn labels_and_annotations_reach_the_pod() {
    let stage = Stage::open().await;
    let (_, life) = running(&stage).await;
    change(&stage, json!({"metadata": {"labels": {"app": null, "tier": "gold"}, "annotations": {"note": "x"}}})).await;
    let pod = stage
        .until("the pod has the new label", async || {
            let pod = stage.get(Kind::Pod, "s").await?;
            (pod["metadata"]["labels"]["tier"] == "gold").then_some(pod)
        })
        .await;
    assert_eq!(pod["metadata"]["annotations"]["note"], "x");
    assert!(pod["metadata"]["labels"].get("app").is_none());
    assert_eq!(pod["metadata"]["uid"], life);
    let sandbox = stage
        .until("the status speaks of it", async || {
            let sandbox = stage.get(Kind::KruiseSandbox, "s").await?;
            (sandbox["status"]["observedGeneration"] == 2).then_some(sandbox)
        })
        .await;
    assert_eq!(condition(&sandbox, "InplaceUpdate"), Value::Null);
    assert_eq!(pod["metadata"]["labels"]["pod-template-hash"], sandbox["status"]["updateRevision"]);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_changed_in_the_running_pod_again_and_again() {
    let stage = Stage::open().await;
    let (_, life) = running(&stage).await;
    for image in ["soon:2", "soon:3"] {
        change(&stage, json!({"spec": {"containers": [container(image, "1")]}})).await;
        let updating = stage.reason("s", "InplaceUpdate", "InplaceUpdating").await;
        assert_eq!(condition(&updating, "Ready")["reason"], "InplaceUpdating");
        let done = stage.reason("s", "InplaceUpdate", "Succeeded").await;
        assert_eq!(condition(&done, "Ready")["status"], "True");
        let pod = stage.get(Kind::Pod, "s").await.unwrap();
        assert_eq!(pod["spec"]["containers"][0]["image"], image);
        assert_eq!(pod["metadata"]["uid"], life);
    }
}

#[tokio::test(start_paused = true)]
async fn resources_are_changed_through_the_resize_subresource() {
    let stage = Stage::open().await;
    let (_, life) = running(&stage).await;
    change(&stage, json!({"spec": {"containers": [container("ready:1", "2")]}})).await;
    stage.reason("s", "InplaceUpdate", "Succeeded").await;
    let pod = stage.get(Kind::Pod, "s").await.unwrap();
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"], "2");
    assert_eq!(pod["metadata"]["uid"], life);
    assert!(stage.wire.writes().iter().any(|write| write.ends_with("/pods/s/resize")));
}

#[tokio::test(start_paused = true)]
async fn a_resize_that_the_node_cant_do_fails_and_the_image_changes_all_the_same() {
    let stage = Stage::open().await;
    running(&stage).await;
    change(&stage, json!({"spec": {"containers": [container("ready:2", "9")]}})).await;
    let failed = stage.reason("s", "InplaceUpdate", "Failed").await;
    let message = condition(&failed, "InplaceUpdate")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("infeasible") && message.contains("not to be had"), "{message}");
    assert_eq!(condition(&failed, "Ready")["status"], "True");
    let pod = stage.get(Kind::Pod, "s").await.unwrap();
    assert_eq!(pod["spec"]["containers"][0]["image"], "ready:2");
    stage.told("InplaceUpdateFailed").await;
}

#[tokio::test(start_paused = true)]
async fn what_no_running_pod_can_change_is_refused_and_said() {
    let stage = Stage::open().await;
    let (_, life) = running(&stage).await;
    let mut other = container("ready:2", "1");
    other["command"] = json!(["x"]);
    change(&stage, json!({"spec": {"containers": [other]}})).await;
    stage.reason("s", "InplaceUpdate", "Failed").await;
    stage.told("InplaceUpdateForbidden").await;
    let pod = stage.get(Kind::Pod, "s").await.unwrap();
    assert_eq!(
        (&pod["metadata"]["uid"], &pod["spec"]["containers"][0]["image"]),
        (&life, &json!("ready:1"))
    );

    // A change of the class of service is one of them.
    let mut guaranteed = container("ready:1", "9");
    guaranteed["resources"]["requests"] = guaranteed["resources"]["limits"].clone();
    change(&stage, json!({"spec": {"containers": [guaranteed]}})).await;
    stage
        .until("the class is named", async || {
            let sandbox = stage.get(Kind::KruiseSandbox, "s").await?;
            condition(&sandbox, "InplaceUpdate")["message"]
                .as_str()?
                .contains("QoS class")
                .then_some(())
        })
        .await;

    // Taken back, nothing is wrong any more.
    change(&stage, json!({"spec": {"containers": [container("ready:1", "1")]}})).await;
    stage
        .until("it is forgotten", async || {
            let sandbox = stage.get(Kind::KruiseSandbox, "s").await?;
            (condition(&sandbox, "InplaceUpdate") == Value::Null).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_image_in_place_is_explained_and_repaired() {
    let stage = Stage::open().await;
    running(&stage).await;
    change(&stage, json!({"spec": {"containers": [container("broken:2", "1")]}})).await;
    stage
        .until("it says why it is not ready", async || {
            let sandbox = stage.get(Kind::KruiseSandbox, "s").await?;
            condition(&sandbox, "Ready")["message"]
                .as_str()?
                .contains("no such image")
                .then_some(())
        })
        .await;
    change(&stage, json!({"spec": {"containers": [container("ready:3", "1")]}})).await;
    stage.reason("s", "InplaceUpdate", "Succeeded").await;
    stage.runs("s").await;
}
