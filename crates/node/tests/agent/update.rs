//! Pods that change while they run: another image, other resources.

use std::process::Command;

use serde_json::{Value, json};

use crate::{
    root,
    world::{World, condition, container},
};
use sandbank_node::Capacity;

const CPU: [&str; 2] = ["cpu.cfs_quota_us", "cpu.max"];
const MEMORY: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];

/// Loads an image that says of itself which version it is.
fn load(world: &World, name: &str) {
    let folder = world.dir.path().join("image");
    let copied = Command::new("cp").arg("-r").arg(root::folder()).arg(&folder).status();
    assert!(copied.expect("every machine has it").success());
    std::fs::write(folder.join("etc/version"), name).expect("writable");
    let images = world.node.as_ref().expect("it runs").images();
    images.load(&folder, Some(name)).expect("a root file system");
    std::fs::remove_dir_all(folder).expect("ours");
}

fn sleeper(name: &str, image: &str) -> Value {
    json!({ "name": name, "image": image, "command": ["sleep", "1000"] })
}

fn image(name: &str, image: &str) -> Value {
    json!({ "spec": { "containers": [{ "name": name, "image": image }] } })
}

fn resources(cpu: &str, memory: &str) -> Value {
    json!({
        "limits": { "cpu": cpu, "memory": memory },
        "requests": { "cpu": "100m", "memory": "32Mi" },
    })
}

fn resize(name: &str, resources: &Value) -> Value {
    json!({ "spec": { "containers": [{ "name": name, "resources": resources }] } })
}

#[tokio::test]
async fn another_image_restarts_that_container_and_no_other() {
    let world = World::real().await;
    load(&world, "tools:1");
    load(&world, "tools:2");
    let spec = json!({
        // A container that is replaced has not ended, so this does not apply.
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [sleeper("main", "tools:1"), sleeper("other", "tools:1")],
    });
    world.create("changes", spec).await;
    let before = world.until_ready("changes").await;
    world.patch("changes", None, image("main", "tools:2")).await;
    let after = world
        .until("changes", "it should run the new image", |pod| {
            container(pod)["image"] == "tools:2" && condition(pod, "Ready")["status"] == "True"
        })
        .await;
    let (old, new) = (container(&before), container(&after));
    assert_eq!((&old["restartCount"], &new["restartCount"]), (&json!(0), &json!(1)));
    assert_ne!(old["imageID"], new["imageID"]);
    assert_eq!(new["lastState"]["terminated"]["containerID"], old["containerID"]);
    assert_eq!(after["status"]["observedGeneration"], 2);
    let other = |pod: &Value| pod["status"]["containerStatuses"][1].clone();
    assert_eq!(other(&before), other(&after));
    let (said, _) = world.run(&after, "main", "cat /etc/version").await;
    assert_eq!(said, "tools:2");
    let why = world.until_event("changes", "Killing").await;
    assert_eq!(why, "Container main definition changed, will be restarted");
    world.delete("changes").await;
    world.end().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_had_leaves_none_running_until_it_is_taken_back() {
    let world = World::real().await;
    load(&world, "tools:1");
    let spec = json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [sleeper("main", "tools:1"), sleeper("other", "tools:1")],
    });
    world.create("fails", spec).await;
    let before = world.until_ready("fails").await;
    // Nobody listens there.
    world.patch("fails", None, image("main", "127.0.0.1:1/none:1")).await;
    let waiting = world
        .until("fails", "it should say that there is no such image", |pod| {
            let reason = container(pod)["state"]["waiting"]["reason"].as_str();
            matches!(reason, Some("ErrImagePull" | "ImagePullBackOff"))
        })
        .await;
    let status = container(&waiting);
    assert_eq!((&status["restartCount"], &status["ready"]), (&json!(0), &json!(false)));
    assert_eq!(status["imageID"], container(&before)["imageID"], "nothing else has run");
    assert!(status["lastState"]["terminated"].is_object());
    assert_eq!(condition(&waiting, "Ready")["status"], "False");
    assert_eq!(waiting["status"]["containerStatuses"][1]["ready"], true);
    world.patch("fails", None, image("main", "tools:1")).await;
    let pod = world.until_ready("fails").await;
    assert_eq!(container(&pod)["restartCount"], 1);
    world.delete("fails").await;
    world.end().await;
}

#[tokio::test]
async fn a_resize_reaches_the_kernel_and_is_known_to_the_next_agent() {
    let mut world = World::real().await;
    load(&world, "tools:1");
    let mut main = sleeper("main", "tools:1");
    main["resources"] = resources("200m", "64Mi");
    let spec = json!({ "terminationGracePeriodSeconds": 1, "containers": [main] });
    world.create("grows", spec).await;
    let before = world.until_ready("grows").await;
    assert_eq!(container(&before)["resources"], resources("200m", "64Mi"));
    assert!(world.kernel_limit(&before, "main", &CPU).starts_with("20000"));

    let larger = resources("400m", "128Mi");
    world.patch("grows", Some("resize"), resize("main", &larger)).await;
    let after = world
        .until("grows", "it should have more", |pod| container(pod)["resources"] == larger)
        .await;
    assert!(world.kernel_limit(&after, "main", &CPU).starts_with("40000"));
    assert_eq!(world.kernel_limit(&after, "main", &MEMORY), (128 << 20).to_string());
    assert_eq!(container(&after)["allocatedResources"], larger["requests"]);
    assert_eq!(container(&after)["containerID"], container(&before)["containerID"]);
    let settled = world
        .until("grows", "the resize should be done", |pod| {
            condition(pod, "PodResizeInProgress").is_null()
        })
        .await;
    assert!(condition(&settled, "PodResizePending").is_null());
    assert_eq!(settled["status"]["observedGeneration"], 2);
    world.until_event("grows", "ResizeCompleted").await;

    // What is asked while there is no agent is done by the next one, which knows what the container has.
    world.node.take().expect("it runs").stop().await;
    let smaller = resources("300m", "96Mi");
    world.patch("grows", Some("resize"), resize("main", &smaller)).await;
    assert!(world.kernel_limit(&after, "main", &CPU).starts_with("40000"));
    world.start_again().await;
    let last = world
        .until("grows", "it should have less", |pod| container(pod)["resources"] == smaller)
        .await;
    assert!(world.kernel_limit(&last, "main", &CPU).starts_with("30000"));
    assert_eq!(world.kernel_limit(&last, "main", &MEMORY), (96 << 20).to_string());
    assert_eq!(container(&last)["restartCount"], 0);

    world.delete("grows").await;
    world.end().await;
}

#[tokio::test]
async fn a_resize_waits_for_room_or_never_gets_it() {
    let capacity = Capacity { cpu_millis: 1000, memory_bytes: 1 << 30, pods: 10 };
    let (world, _) = World::fake(Some(capacity)).await;
    let asks = |cpu: &str| json!({ "requests": { "cpu": cpu } });
    let spec = |cpu: &str| json!({ "containers": [{ "name": "main", "image": "any", "resources": asks(cpu) }] });
    for name in ["one", "two"] {
        world.create(name, spec("400m")).await;
        world.until_ready(name).await;
    }
    world.patch("one", Some("resize"), resize("main", &asks("2"))).await;
    let pod = world
        .until("one", "it can't have that", |pod| {
            condition(pod, "PodResizePending")["reason"] == "Infeasible"
        })
        .await;
    let pending = condition(&pod, "PodResizePending");
    assert_eq!(
        pending["message"],
        "Node didn't have enough capacity: cpu, requested: 2000, capacity: 1000"
    );
    assert_eq!((&pending["status"], &pending["observedGeneration"]), (&json!("True"), &json!(2)));
    assert_eq!(container(&pod)["resources"], asks("400m"));
    world.until_event("one", "ResizeInfeasible").await;

    world.patch("one", Some("resize"), resize("main", &asks("700m"))).await;
    let pod = world
        .until("one", "it has to wait", |pod| {
            condition(pod, "PodResizePending")["reason"] == "Deferred"
        })
        .await;
    assert_eq!(
        condition(&pod, "PodResizePending")["message"],
        "Node didn't have enough resource: cpu, requested: 700, used: 400, capacity: 1000"
    );
    assert_eq!(container(&pod)["allocatedResources"], json!({ "cpu": "400m" }));
    world.delete("two").await;
    let pod = world
        .until("one", "there is room now", |pod| container(pod)["resources"] == asks("700m"))
        .await;
    assert_eq!(container(&pod)["restartCount"], 0);
    world
        .until("one", "nothing is pending", |pod| condition(pod, "PodResizePending").is_null())
        .await;
    // The room it has now is not there for others.
    world.create("three", spec("400m")).await;
    world.until_event("three", "FailedScheduling").await;
    world.end().await;
}

#[tokio::test]
async fn a_container_that_cannot_follow_is_restarted_as_it_asked_to_be() {
    let (world, _) = World::fake(None).await;
    let spec = json!({ "containers": [{
        "name": "main", "image": "any", "resources": resources("200m", "64Mi"),
        "resizePolicy": [
            { "resourceName": "memory", "restartPolicy": "RestartContainer" },
            { "resourceName": "cpu", "restartPolicy": "NotRequired" },
        ],
    }] });
    world.create("fixed", spec).await;
    world.until_ready("fixed").await;
    for (cpu, memory, restarts) in [("300m", "64Mi", 0), ("300m", "128Mi", 1)] {
        let wanted = resources(cpu, memory);
        world.patch("fixed", Some("resize"), resize("main", &wanted)).await;
        let pod = world
            .until("fixed", "it should have what it asked for", |pod| {
                let status = container(pod);
                status["resources"] == wanted
                    && status["ready"] == true
                    && condition(pod, "PodResizeInProgress").is_null()
            })
            .await;
        assert_eq!(container(&pod)["restartCount"], restarts);
    }
    let why = world.until_event("fixed", "Killing").await;
    assert_eq!(why, "Container main resize requires restart");
    world.end().await;
}
