//! Sets say why they do not get on.

use std::time::Duration;

use controllers::kinds::Kind;
use http::Method;
use serde_json::{Value, json};

use super::{demo, event, full, image, open, says};
use crate::stage::{Stage, condition};
use crate::wire::Fault;

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
