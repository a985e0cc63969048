//! A node that only says that pods run. What a pod does is written in its image:
//! `ready` runs at once, `soon` after three seconds, `slow` after ten, `broken` can't be pulled, `done` has ended well, `here` has the address of this machine.
//! A pod whose image or resources change has a container of the new image with the new resources a moment later; more than eight processors are not to be had.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};

/// How long a pod of the image `ready` takes.
pub const START: Duration = Duration::from_millis(200);

/// Runs pods until the task is dropped.
pub async fn run(client: kube::Client) {
    let pods: Api<Pod> = Api::all(client.clone());
    let mut events = watcher(pods, watcher::Config::default()).boxed();
    let mut started: BTreeMap<String, Runs> = BTreeMap::new();
    let mut address = 0_u32;
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
        let (Some(namespace), Some(name), Some(uid)) =
            (pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)
        else {
            continue;
        };
        let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        if pod.metadata.deletion_timestamp.is_some() {
            tokio::spawn(async move {
                // Gone already is as good.
                let _ = api.delete(&name, &DeleteParams::default().grace_period(0)).await;
            });
            continue;
        }
        let containers = pod.spec.map(|spec| json!(spec.containers)).unwrap_or_default();
        match started.get_mut(&uid) {
            None => {}
            Some(runs) if runs.containers == containers => continue,
            Some(runs) => {
                let (delay, status) = runs.change(containers);
                tokio::spawn(write_status(api, name, delay, status));
                continue;
            }
        }
        let runs = Runs { changes: 0, given: containers.clone(), containers };
        address += 1;
        let image = runs.containers[0]["image"].as_str().unwrap_or_default().to_owned();
        let ip = format!("10.1.{}.{}", address / 250, address % 250 + 1);
        let (delay, mut status) = life(&image, &ip);
        if status["phase"] == "Running" {
            status["containerStatuses"] = runs.statuses();
        }
        started.insert(uid, runs);
        tokio::spawn(write_status(api, name, delay, status));
    }
}

/// The most processors that a container may ask for.
const PROCESSORS: u64 = 8;

/// What a pod runs, and how often that was changed.
struct Runs {
    changes: u32,
    containers: Value,
    /// The same with what the containers were given.
    given: Value,
}

impl Runs {
    /// The status after a change, and how long it takes.
    fn change(&mut self, containers: Value) -> (Duration, Value) {
        let before = std::mem::replace(&mut self.given, containers.clone());
        (self.changes, self.containers) = (self.changes + 1, containers);
        let mut conditions = vec![json!({"type": "Ready", "status": "True"})];
        for (n, container) in self.given.as_array_mut().into_iter().flatten().enumerate() {
            let cpu = container["resources"]["requests"]["cpu"].as_str();
            if cpu.and_then(|cpu| cpu.parse().ok()).is_some_and(|cpu: u64| cpu > PROCESSORS) {
                container["resources"] = before[n]["resources"].clone();
                conditions.push(
                    json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible",
                                       "message": "so many processors are not to be had"}),
                );
            }
        }
        let image = self.containers[0]["image"].as_str().unwrap_or_default();
        match image.split(':').next() {
            Some("broken") => (START, life(image, "").1),
            Some("soon") => (
                Duration::from_secs(3),
                json!({"phase": "Running", "conditions": conditions, "containerStatuses": self.statuses()}),
            ),
            _ => (
                START,
                json!({"phase": "Running", "conditions": conditions, "containerStatuses": self.statuses()}),
            ),
        }
    }

    fn statuses(&self) -> Value {
        let containers = self.given.as_array().cloned().unwrap_or_default();
        let status = |container: &Value| {
            let image = container["image"].as_str().unwrap_or_default();
            json!({
                "name": container["name"], "image": image, "imageID": format!("id-of-{image}"),
                "containerID": format!("pretended://{}", self.changes), "ready": true, "restartCount": self.changes,
                "resources": container["resources"], "state": {"running": {}},
            })
        };
        containers.iter().map(status).collect()
    }
}

async fn write_status(api: Api<Pod>, name: String, delay: Duration, status: Value) {
    tokio::time::sleep(delay).await;
    // A pod that was deleted meanwhile has no status to write.
    let patch = Patch::Merge(json!({ "status": status }));
    let _ = api.patch_status(&name, &PatchParams::default(), &patch).await;
}

fn life(image: &str, ip: &str) -> (Duration, Value) {
    let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
    let running = json!({
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [condition("PodScheduled", true), condition("Ready", true)],
    });
    match image.split(':').next().unwrap_or_default() {
        "soon" => (Duration::from_secs(3), running),
        "slow" => (Duration::from_secs(10), running),
        "here" => {
            let mut running = running;
            (running["podIP"], running["podIPs"]) =
                (json!("127.0.0.1"), json!([{"ip": "127.0.0.1"}]));
            (START, running)
        }
        "broken" => {
            let waiting =
                json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
            let container = json!({"name": "main", "ready": false, "restartCount": 0, "image": image, "imageID": "", "state": waiting});
            let conditions = [condition("PodScheduled", true), condition("Ready", false)];
            (
                START,
                json!({"phase": "Pending", "conditions": conditions, "containerStatuses": [container]}),
            )
        }
        "done" => (START, json!({"phase": "Succeeded", "podIP": ip, "podIPs": [{"ip": ip}]})),
        _ => (START, running),
    }
}
