//! A node that only says that pods run. What a pod does is written in its image:
//! `ready` runs at once, `soon` after three seconds, `slow` after ten, `broken` can't be pulled, `done` has ended well.

use std::collections::BTreeSet;
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
    let mut started: BTreeSet<String> = BTreeSet::new();
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
        if !started.insert(uid) {
            continue;
        }
        address += 1;
        let image = pod
            .spec
            .and_then(|spec| spec.containers.into_iter().next())
            .and_then(|c| c.image)
            .unwrap_or_default();
        let ip = format!("10.1.{}.{}", address / 250, address % 250 + 1);
        tokio::spawn(async move {
            let (delay, status) = life(&image, &ip);
            tokio::time::sleep(delay).await;
            // A pod that was deleted meanwhile has no status to write.
            let _ = api
                .patch_status(
                    &name,
                    &PatchParams::default(),
                    &Patch::Merge(json!({ "status": status })),
                )
                .await;
        });
    }
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
