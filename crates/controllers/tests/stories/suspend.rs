//! A sandbox is suspended and resumed, and what else can become of its pod.

use controllers::kinds::Kind;
use serde_json::{Value, json};

use crate::stage::{Stage, condition};

fn by_hand(name: &str, more: Value) -> Value {
    let mut spec = json!({"podTemplate": {"spec": {"containers": [{"name": "main", "image": "ready", "ports": [{"containerPort": 8888}]}]}}});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": spec})
}

async fn ready(stage: &Stage, name: &str) -> Value {
    stage
        .until("the sandbox is ready", async || {
            let sandbox = stage.get(Kind::Sandbox, name).await?;
            (condition(&sandbox, "Ready")["status"] == "True").then_some(sandbox)
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn a_suspended_sandbox_loses_its_pod_and_gets_it_back() {
    let stage = Stage::open().await;
    stage.create(Kind::Sandbox, by_hand("s", json!({}))).await;
    let sandbox = ready(&stage, "s").await;
    assert_eq!(condition(&sandbox, "Suspended")["reason"], "NotSuspended");
    let first = stage.get(Kind::Pod, "s").await.unwrap()["metadata"]["uid"].clone();

    stage.patch(Kind::Sandbox, "s", json!({"spec": {"operatingMode": "Suspended"}})).await;
    let suspended = stage
        .until("it is suspended", async || {
            let sandbox = stage.get(Kind::Sandbox, "s").await?;
            (condition(&sandbox, "Suspended")["status"] == "True").then_some(sandbox)
        })
        .await;
    assert_eq!(condition(&suspended, "Suspended")["reason"], "PodTerminated");
    assert_eq!(condition(&suspended, "Ready")["reason"], "SandboxSuspended");
    assert!(stage.get(Kind::Pod, "s").await.is_none());
    assert!(suspended["status"].get("podIPs").is_none());

    stage.patch(Kind::Sandbox, "s", json!({"spec": {"operatingMode": "Running"}})).await;
    ready(&stage, "s").await;
    assert_ne!(stage.get(Kind::Pod, "s").await.unwrap()["metadata"]["uid"], first);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_made_again_and_a_finished_one_is_not() {
    let stage = Stage::open().await;
    stage.create(Kind::Sandbox, by_hand("s", json!({}))).await;
    ready(&stage, "s").await;
    let first = stage.get(Kind::Pod, "s").await.unwrap()["metadata"]["uid"].clone();
    stage.delete(Kind::Pod, "s").await;
    stage
        .until("there is another pod", async || {
            let pod = stage.get(Kind::Pod, "s").await?;
            (pod["metadata"]["uid"] != first).then_some(())
        })
        .await;

    let mut done = by_hand("d", json!({}));
    done["spec"]["podTemplate"]["spec"]["containers"][0]["image"] = "done".into();
    stage.create(Kind::Sandbox, done).await;
    let finished = stage
        .until("it is finished", async || {
            let sandbox = stage.get(Kind::Sandbox, "d").await?;
            (condition(&sandbox, "Finished")["status"] == "True").then_some(sandbox)
        })
        .await;
    assert_eq!(condition(&finished, "Ready")["reason"], "PodSucceeded");
    assert!(stage.get(Kind::Pod, "d").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_service_and_a_volume_are_made_with_it() {
    let stage = Stage::open().await;
    let volume = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    stage
        .create(
            Kind::Sandbox,
            by_hand("s", json!({"service": true, "volumeClaimTemplates": [volume]})),
        )
        .await;
    let sandbox = ready(&stage, "s").await;
    assert_eq!(sandbox["status"]["serviceFQDN"], "s.default.svc.cluster.local");
    assert_eq!(condition(&sandbox, "Ready")["message"], "Pod is Ready; Service Exists");
    let service = stage.get(Kind::Service, "s").await.unwrap();
    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["ports"][0]["port"], 8888);
    assert!(stage.get(Kind::Volume, "data-s").await.is_some());
    let pod = stage.get(Kind::Pod, "s").await.unwrap();
    let mounted = pod["spec"]["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .any(|v| v["persistentVolumeClaim"]["claimName"] == "data-s");
    assert!(mounted);
}

#[tokio::test(start_paused = true)]
async fn a_strangers_pod_in_the_way_is_left_alone_and_named() {
    let stage = Stage::open().await;
    stage
        .create(Kind::Pod, json!({"metadata": {"name": "s"}, "spec": {"containers": [{"name": "main", "image": "ready"}]}}))
        .await;
    stage.create(Kind::Sandbox, by_hand("s", json!({}))).await;
    stage
        .until("the sandbox says what is in its way", async || {
            let sandbox = stage.get(Kind::Sandbox, "s").await?;
            let ready = condition(&sandbox, "Ready");
            (ready["reason"] == "ReconcilerError"
                && ready["message"].as_str()?.contains("does not belong"))
            .then_some(())
        })
        .await;
    // When the stranger is gone the sandbox goes on, although no watch shows that pod.
    stage.delete(Kind::Pod, "s").await;
    ready(&stage, "s").await;
}
