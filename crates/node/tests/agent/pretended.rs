//! With containers that exist only in memory: what the agent decides and writes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use sandbank_node::{
    Capacity,
    runtime::{ContainerId, PodId},
};
use serde_json::json;

use crate::world::{World, condition, container};

fn simple() -> serde_json::Value {
    json!({ "containers": [{ "name": "main", "image": "any" }] })
}

#[tokio::test]
async fn a_pod_becomes_ready_by_one_binding_and_one_status_write() {
    let (world, _) = World::fake(None).await;
    let versions = Arc::new(AtomicU32::new(0));
    let seen = versions.clone();
    let pods = world.pods();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ready = Some(ready);
        let mut changes =
            std::pin::pin!(watcher(pods, watcher::Config::default()).applied_objects());
        while let Some(Ok(pod)) = changes.next().await {
            seen.fetch_add(1, Ordering::SeqCst);
            let pod = serde_json::to_value(pod).unwrap();
            if condition(&pod, "Ready")["status"] == "True"
                && let Some(ready) = ready.take()
            {
                ready.send(pod).unwrap();
            }
        }
    });
    world.create("one", simple()).await;
    let pod = is_ready.await.unwrap();
    assert!(versions.load(Ordering::SeqCst) <= 3, "created, bound, ready");
    assert_eq!(pod["status"]["phase"], "Running");
    let types: Vec<_> =
        pod["status"]["conditions"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
    let order =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    assert_eq!(types, order);
    assert_eq!(container(&pod)["restartCount"], 0);
    assert!(pod["status"]["podIP"].is_string() && pod["status"]["qosClass"].is_string());
    for reason in ["Scheduled", "Created", "Started"] {
        world.until_event("one", reason).await;
    }
    world.end().await;
}

/// Typed clients refuse a list of the newer form in which one event does not tell its time.
#[tokio::test]
async fn what_is_told_of_a_pod_is_whole_in_the_newer_form_of_events() {
    use k8s_openapi::api::events::v1::Event;
    let (world, _) = World::fake(None).await;
    world.create("told", simple()).await;
    world.until_ready("told").await;
    world.until_event("told", "Started").await;
    let events: kube::Api<Event> = kube::Api::default_namespaced(world.client.clone());
    let events = events.list(&Default::default()).await.unwrap();
    assert!(!events.items.is_empty());
    for event in events {
        assert!(event.event_time.is_some() && event.action.is_some(), "{event:?}");
        assert_eq!(event.regarding.and_then(|pod| pod.name).as_deref(), Some("told"));
    }
    world.end().await;
}

#[tokio::test]
async fn a_pod_that_does_not_fit_waits_and_goes_when_room_is_made() {
    let capacity = Capacity { cpu_millis: 1000, memory_bytes: 1 << 30, pods: 10 };
    let (world, _) = World::fake(Some(capacity)).await;
    let hungry = |memory: &str| {
        json!({ "containers": [{
            "name": "main", "image": "any", "resources": { "requests": { "memory": memory } }
        }] })
    };
    world.create("first", hungry("600Mi")).await;
    world.until_ready("first").await;
    world.create("second", hungry("600Mi")).await;
    let waiting = world
        .until("second", "it should not fit", |pod| {
            condition(pod, "PodScheduled")["reason"] == "Unschedulable"
        })
        .await;
    assert_eq!(
        condition(&waiting, "PodScheduled")["message"],
        "0/1 nodes are available: 1 Insufficient memory."
    );
    assert_eq!(waiting["status"]["phase"], "Pending");
    world.until_event("second", "FailedScheduling").await;
    world.delete("first").await;
    let pod = world.until_ready("second").await;
    assert_eq!(condition(&pod, "PodScheduled")["status"], "True");
    world.end().await;
}

#[tokio::test]
async fn a_field_this_node_does_not_do_is_named() {
    let (world, _) = World::fake(None).await;
    let mut spec = simple();
    spec["volumes"] = json!([{ "name": "far", "nfs": { "server": "files", "path": "/" } }]);
    world.create("odd", spec).await;
    let pod = world
        .until("odd", "it should be refused", |pod| pod["status"]["reason"] == "Unsupported")
        .await;
    let why = "this node does not do spec.volumes[0].nfs";
    assert_eq!(condition(&pod, "Ready")["message"], why);
    assert_eq!(container(&pod)["state"]["waiting"]["message"], why);
    assert_eq!(world.until_event("odd", "Unsupported").await, why);
    world.end().await;
}

#[tokio::test]
async fn a_container_that_ends_is_restarted_at_once_and_then_after_a_pause() {
    let (world, runtime) = World::fake(None).await;
    let pod = world.create("again", simple()).await;
    let id = ContainerId { pod: PodId(pod.metadata.uid.unwrap()), name: "main".into() };
    world.until_ready("again").await;
    runtime.end(&id, 1);
    let pod = world
        .until("again", "it should run again", |pod| {
            container(pod)["restartCount"] == 1 && container(pod)["ready"] == true
        })
        .await;
    assert_eq!(container(&pod)["lastState"]["terminated"]["exitCode"], 1);
    runtime.end(&id, 2);
    let pod = world
        .until("again", "it should pause", |pod| {
            container(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let message = container(&pod)["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.starts_with("back-off 10s restarting failed container=main"), "{message}");
    assert_eq!(condition(&pod, "Ready")["status"], "False");
    world.until_event("again", "BackOff").await;
    world.end().await;
}

#[tokio::test]
async fn a_pod_that_never_restarts_ends_as_its_containers_do() {
    let (world, runtime) = World::fake(None).await;
    for (name, code, phase) in [("good", 0, "Succeeded"), ("bad", 3, "Failed")] {
        let mut spec = simple();
        spec["restartPolicy"] = json!("Never");
        let pod = world.create(name, spec).await;
        world.until_ready(name).await;
        runtime
            .end(&ContainerId { pod: PodId(pod.metadata.uid.unwrap()), name: "main".into() }, code);
        let pod =
            world.until(name, "it should be over", |pod| pod["status"]["phase"] == phase).await;
        assert_eq!(container(&pod)["state"]["terminated"]["exitCode"], code);
        world.delete(name).await;
    }
    world.end().await;
}

#[tokio::test]
async fn init_containers_run_one_after_the_other_before_the_rest() {
    let (world, runtime) = World::fake(None).await;
    let mut spec = simple();
    spec["initContainers"] = json!([
        { "name": "proxy", "image": "any", "restartPolicy": "Always" },
        { "name": "prepare", "image": "any" },
    ]);
    let pod = world.create("steps", spec).await;
    let id = |name: &str| ContainerId {
        pod: PodId(pod.metadata.uid.clone().unwrap()),
        name: name.into(),
    };
    let waiting = world
        .until("steps", "the second should run", |pod| {
            !pod["status"]["initContainerStatuses"][1]["state"]["running"].is_null()
        })
        .await;
    assert_eq!(container(&waiting)["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(condition(&waiting, "Initialized")["status"], "False");
    runtime.end(&id("prepare"), 0);
    let pod = world.until_ready("steps").await;
    assert_eq!(condition(&pod, "Initialized")["status"], "True");
    assert!(!pod["status"]["initContainerStatuses"][0]["state"]["running"].is_null());
    world.end().await;
}
