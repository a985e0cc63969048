//! Sets: they fill, follow their template, give way to whoever takes from them, and say why they do not get on.

use std::collections::BTreeSet;
use std::time::Duration;

use controllers::kinds::Kind;
use futures::StreamExt;
use http::Method;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::stage::{Stage, condition, controller};
use crate::wire::Fault;

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
fn follow(stage: &Stage) -> Arc<Mutex<Vec<(u64, u64)>>> {
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

#[tokio::test(start_paused = true)]
async fn a_set_fills_with_three_writes_a_sandbox_and_then_rests() {
    let stage = open(10).await;
    stage.pass(Duration::from_secs(60)).await;
    let set = stage.get(Kind::SandboxSet, "demo").await.unwrap();
    let status = &set["status"];
    let revision = status["updateRevision"].as_str().unwrap();
    assert!(revision.bytes().all(|byte| b"456789bcdf".contains(&byte)), "{revision}");
    assert_eq!(status["selector"], format!("{CLAIMED}=false,{POOL}=demo"));
    assert_eq!(status["currentRevision"], format!("demo-{revision}"));
    assert_eq!(condition(&set, "Available")["status"], "True");
    assert_eq!(set["spec"]["updateStrategy"]["maxUnavailable"], "20%");

    for sandbox in stage.list(Kind::KruiseSandbox).await {
        assert_eq!(controller(&sandbox), ("SandboxSet".to_owned(), "demo".to_owned()));
        let pod = stage.get(Kind::Pod, &name(&sandbox)).await.unwrap();
        assert_eq!(pod["metadata"]["annotations"]["foo"], "bar");
        for object in [&sandbox, &pod] {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels[POOL], "demo");
            assert_eq!(labels[CLAIMED], "false");
            assert_eq!(labels[HASH], revision);
        }
    }
    let template = stage.get(Kind::KruiseTemplate, &format!("demo-{revision}")).await.unwrap();
    assert_eq!(template["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], false);

    let writes = stage.wire.writes();
    let count = |verb: &str, part: &str, end: &str| {
        let fits = |w: &&String| w.starts_with(verb) && w.contains(part) && w.ends_with(end);
        writes.iter().filter(fits).count()
    };
    assert_eq!(count("POST", "", "/sandboxes"), 10, "{writes:#?}");
    assert_eq!(count("POST", "", "/pods"), 10);
    assert_eq!(count("PATCH", "/sandboxes/", "/status"), 10, "{writes:#?}");
    assert_eq!(count("POST", "", "/sandboxtemplates"), 1);
    assert!(count("PATCH", "/sandboxsets/", "/status") <= 6, "{writes:#?}");
    assert_eq!(count("PATCH", "/sandboxes/", "") - count("PATCH", "/sandboxes/", "/status"), 0);
    // Nothing more is written once all is as it should be.
    stage.wire.clear();
    stage.pass(Duration::from_secs(3600)).await;
    assert_eq!(stage.wire.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_seen_in_four_stages() {
    let stage = open(3).await;
    stage.pass(Duration::from_secs(10)).await;
    let seen = follow(&stage);
    stage.until("the watch begins", async || (!seen.lock().is_empty()).then_some(())).await;
    let taken = stage.list(Kind::KruiseSandbox).await.remove(0);
    take(&stage, &taken, "somebody").await;
    stage
        .until("the set is full again", async || {
            (seen.lock().len() > 1 && seen.lock().last() == Some(&(3, 3))).then_some(())
        })
        .await;
    assert_eq!(*seen.lock(), [(3, 3), (2, 2), (3, 2), (3, 3)]);
    assert!(stage.get(Kind::KruiseSandbox, &name(&taken)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refill_never_makes_one_too_many() {
    let stage = open(20).await;
    let seen = follow(&stage);
    stage.patch(Kind::SandboxSet, "demo/scale", json!({"spec": {"replicas": 300}})).await;
    // Others take meanwhile, as fast as they can.
    for round in 0..10 {
        stage.pass(Duration::from_millis(60)).await;
        let warm = stage.list(Kind::KruiseSandbox).await.into_iter().find(|sandbox| {
            condition(sandbox, "Ready")["status"] == "True" && controller(sandbox).0 == "SandboxSet"
        });
        if let Some(warm) = warm {
            take(&stage, &warm, &format!("somebody-{round}")).await;
        }
    }
    full(&stage, 300).await;
    let sandboxes = stage.list(Kind::KruiseSandbox).await;
    let taken = sandboxes.iter().filter(|sandbox| controller(sandbox).0 != "SandboxSet").count();
    assert_eq!(sandboxes.len(), 300 + taken);
    assert!(seen.lock().iter().all(|(replicas, _)| *replicas <= 300), "{:?}", seen.lock());
    let writes = stage.wire.writes();
    assert!(writes.iter().all(|write| !write.starts_with("DELETE")), "{writes:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_keeps_most_of_the_set_available() {
    let stage = open(10).await;
    let before = names(&stage).await;
    let old = full(&stage, 10).await["status"]["updateRevision"].clone();
    let seen = follow(&stage);
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
    let seen = follow(&stage);
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

#[tokio::test(start_paused = true)]
async fn what_the_cluster_refuses_is_said_until_it_is_over() {
    let stage = open(1).await;
    for _ in 0..6 {
        stage.wire.break_next(Method::POST, "/sandboxes", Fault::Refuse);
    }
    stage.patch(Kind::SandboxSet, "demo", json!({"spec": {"replicas": 2}})).await;
    let refused = says(&stage, "Progressing", "CreateRefused").await;
    assert!(refused["message"].as_str().unwrap().contains("exceeded quota"), "{refused}");
    event(&stage, "CreateSandboxFailed").await;
    full(&stage, 2).await;
    assert!(stage.wire.is_whole());
    assert_eq!(
        condition(&stage.get(Kind::SandboxSet, "demo").await.unwrap(), "Progressing")["reason"],
        "Filled"
    );
}

#[tokio::test(start_paused = true)]
async fn a_quota_on_pods_is_named_on_the_set() {
    let stage = open(1).await;
    for _ in 0..8 {
        stage.wire.break_next(Method::POST, "/pods", Fault::Refuse);
    }
    stage.patch(Kind::SandboxSet, "demo", json!({"spec": {"replicas": 2}})).await;
    let refused = says(&stage, "Progressing", "PodRefused").await;
    assert_eq!(refused["status"], "False");
    assert!(refused["message"].as_str().unwrap().contains("exceeded quota"), "{refused}");
    full(&stage, 2).await;
    let writes = stage.wire.writes();
    assert!(!writes.iter().any(|write| write.starts_with("DELETE")), "it only has to wait");
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

#[tokio::test(start_paused = true)]
async fn a_broken_image_is_named_and_its_cure_works_at_once() {
    let stage = Stage::open().await;
    let mut set = demo(2);
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("broken:1");
    stage.create(Kind::SandboxSet, set).await;
    let told = says(&stage, "Progressing", "ImagePull").await;
    assert_eq!(told["status"], "False");
    assert!(told["message"].as_str().unwrap().contains("no such image"), "{told}");
    event(&stage, "SandboxSetNotProgressing").await;
    stage.patch(Kind::SandboxSet, "demo", image("nginx:alpine")).await;
    full(&stage, 2).await;
}

#[tokio::test(start_paused = true)]
async fn sandboxes_that_end_again_and_again_are_started_more_and_more_rarely() {
    let stage = Stage::open().await;
    let mut set = demo(2);
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("done:1");
    stage.create(Kind::SandboxSet, set).await;
    let told = says(&stage, "Progressing", "BackingOff").await;
    assert!(told["message"].as_str().unwrap().contains("in a row failed"), "{told}");
    event(&stage, "FailedSandboxDeleted").await;
    stage.pass(Duration::from_secs(600)).await;
    stage.wire.clear();
    stage.pass(Duration::from_secs(1800)).await;
    let creates = stage.wire.writes().iter().filter(|w| w.ends_with("/sandboxes")).count();
    assert!((1..=14).contains(&creates), "{creates} in half an hour");
}

#[tokio::test(start_paused = true)]
async fn no_more_start_at_once_than_the_set_allows() {
    let stage = Stage::open().await;
    let mut set = demo(6);
    set["spec"]["scaleStrategy"] = json!({"maxUnavailable": 2});
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("soon:1");
    stage.create(Kind::SandboxSet, set).await;
    let limited = says(&stage, "ScalingLimited", "StartupLimit").await;
    assert_eq!(limited["status"], "True");
    let seen = follow(&stage);
    full(&stage, 6).await;
    assert!(
        seen.lock().iter().all(|(replicas, available)| replicas - available <= 2),
        "{:?}",
        seen.lock()
    );
    assert_eq!(says(&stage, "ScalingLimited", "NotLimited").await["status"], "False");
    // Zero is a wish, too.
    stage
        .patch(
            Kind::SandboxSet,
            "demo",
            json!({"spec": {"replicas": 7, "scaleStrategy": {"maxUnavailable": 0}}}),
        )
        .await;
    says(&stage, "ScalingLimited", "StartupLimit").await;
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 6);
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

#[tokio::test(start_paused = true)]
async fn what_can_not_be_is_refused_or_said() {
    let stage = Stage::open().await;
    let both = json!({"templateRef": {"name": "base"}});
    let key = json!({"template": {"metadata": {"labels": {"e2b.agents.kruise.io/x": "y"}}}});
    let table = [
        (both, "exactly one of template and templateRef"),
        (json!({"template": null}), "exactly one of template and templateRef"),
        (json!({"replicas": -1}), "replicas"),
        (json!({"template": {"spec": {"containers": []}}}), "containers"),
        (json!({"updateStrategy": {"maxUnavailable": "many"}}), "maxUnavailable"),
        (json!({"scaleStrategy": {"maxUnavailable": -1}}), "maxUnavailable"),
        (key, "e2b.agents.kruise.io/"),
    ];
    for (change, expected) in table {
        let mut set = demo(1);
        set["apiVersion"] = json!(Kind::SandboxSet.api_version());
        set["kind"] = json!("SandboxSet");
        merge(&mut set["spec"], &change);
        let path = Kind::SandboxSet.collection("default");
        let error = stage.send(Method::POST, &path, Some(&set)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{change}: {error}");
    }
    // What no schema can tell is told by the controllers.
    let mut set = demo(1);
    set["spec"]["volumeClaimTemplates"] =
        json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]);
    set["spec"]["runtimes"] = json!([{"name": "agent-runtime"}]);
    stage.create(Kind::SandboxSet, set).await;
    let told = says(&stage, "Progressing", "TemplateInvalid").await;
    assert!(told["message"].as_str().unwrap().contains("not mounted"), "{told}");
    let served = says(&stage, "FieldsServed", "NotServed").await;
    assert!(served["message"].as_str().unwrap().contains("agent-runtime"), "{served}");
    assert!(stage.list(Kind::KruiseSandbox).await.is_empty());
}

/// A JSON merge patch.
fn merge(to: &mut Value, change: &Value) {
    let Some(members) = change.as_object() else {
        *to = change.clone();
        return;
    };
    for (key, value) in members {
        if value.is_null() {
            to.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut to[key], value);
        }
    }
}
