//! Sets: what their stories have in common.

use std::collections::BTreeSet;

use controllers::kinds::Kind;
use futures::StreamExt;
use http::Method;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::stage::{Stage, condition};

mod fill;
mod follow;
mod takeover;
mod takers;
mod trouble;

const POOL: &str = "agents.kruise.io/sandbox-pool";
const CLAIMED: &str = "agents.kruise.io/sandbox-claimed";
const HASH: &str = "agents.kruise.io/template-hash";
const LOCK: &str = "agents.kruise.io/lock";
const OWNER: &str = "agents.kruise.io/owner";

/// The manifest of the family's own page on warm pools.
fn demo(replicas: u32) -> Value {
    json!({"metadata": {"name": "demo"}, "spec": {
        "replicas": replicas,
        "persistentContents": ["ip"],
        "template": {
            "metadata": {"annotations": {"foo": "bar"}},
            "spec": {"containers": [{"name": "nginx", "image": "nginx:alpine"}]},
        },
    }})
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "nginx", "image": image}]}}}})
}

async fn open(replicas: u32) -> Stage {
    let stage = Stage::open().await;
    stage.create(Kind::SandboxSet, demo(replicas)).await;
    full(&stage, replicas).await;
    stage
}

/// Waits until the set has so many, all of them available and of the present template.
async fn full(stage: &Stage, count: u32) -> Value {
    stage
        .until(&format!("the set has {count} available"), async || {
            let set = stage.get(Kind::SandboxSet, "demo").await?;
            let fields =
                ["replicas", "availableReplicas", "updatedReplicas", "updatedAvailableReplicas"];
            let all = fields.iter().all(|field| set["status"][*field] == count);
            (all && set["status"]["observedGeneration"] == set["metadata"]["generation"])
                .then_some(set)
        })
        .await
}

async fn says(stage: &Stage, kind: &str, reason: &str) -> Value {
    stage
        .until(&format!("the set's {kind} says {reason}"), async || {
            let set = stage.get(Kind::SandboxSet, "demo").await?;
            let found = condition(&set, kind);
            (found["reason"] == reason).then_some(found)
        })
        .await
}

async fn event(stage: &Stage, reason: &str) -> Value {
    stage
        .until(&format!("an event says {reason}"), async || {
            let path = "/api/v1/namespaces/default/events";
            let events = stage.send(Method::GET, path, None).await.unwrap();
            events["items"].as_array()?.iter().find(|it| it["reason"] == reason).cloned()
        })
        .await
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

async fn names(stage: &Stage) -> BTreeSet<String> {
    stage.list(Kind::KruiseSandbox).await.iter().map(name).collect()
}

/// The one conditional write by which any program of the family takes a sandbox from its set.
async fn take(stage: &Stage, sandbox: &Value, owner: &str) {
    let meta = &sandbox["metadata"];
    let patch = json!({"metadata": {
        "uid": meta["uid"], "resourceVersion": meta["resourceVersion"],
        "ownerReferences": null,
        "labels": {CLAIMED: "true"},
        "annotations": {LOCK: "a word", OWNER: owner},
    }});
    stage.patch(Kind::KruiseSandbox, &name(sandbox), patch).await;
}

/// What the set's status said, each state once, from now on.
fn watch_counts(stage: &Stage) -> Arc<Mutex<Vec<(u64, u64)>>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
        Kind::SandboxSet.group(),
        Kind::SandboxSet.version(),
        Kind::SandboxSet.name(),
    ));
    let api: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), "default", &resource);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    tokio::spawn(async move {
        let mut events = watcher(api, watcher::Config::default()).boxed();
        while let Some(event) = events.next().await {
            let Ok(Event::Apply(set) | Event::InitApply(set)) = event else { continue };
            let count = |field: &str| set.data["status"][field].as_u64().unwrap_or(0);
            let state = (count("replicas"), count("availableReplicas"));
            let mut told = told.lock();
            if told.last() != Some(&state) {
                told.push(state);
            }
        }
    });
    seen
}
