//! Two families side by side: one engine, and neither is in the other's way.

use std::time::Duration;

use apiserver::testing::{Fault, Rule};
use controllers::kinds::Kind;
use controllers::why::{Standing, why};
use engine::Key;
use serde_json::{Value, json};

use crate::stage::Stage;

fn set(name: &str, image: &str, replicas: u32) -> Value {
    let container = json!({"name": "main", "image": image});
    let spec = json!({"replicas": replicas, "template": {"spec": {"containers": [container]}}});
    json!({"metadata": {"name": name}, "spec": spec})
}

async fn stocked(stage: &Stage, name: &str, ready: u32) {
    stage
        .until(&format!("set {name} has {ready} available"), async || {
            let status = stage.get(Kind::SandboxSet, name).await?["status"].clone();
            (status["availableReplicas"] == ready && status["replicas"] == ready).then_some(())
        })
        .await;
}

fn creates(stage: &Stage, kind: Kind) -> usize {
    let path = format!("POST {}", kind.collection("default"));
    stage.wire.writes().iter().filter(|write| **write == path).count()
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_late_makes_no_pool_of_any_family_ask_twice() {
    let mut stage = Stage::empty().await;
    let late = Rule::new(Fault::DelayWatch(Duration::from_secs(2))).resource("sandboxes");
    let faults = stage.server.faults(3).rule(late);
    stage.enter_through(&faults);
    stage.template("python", "ready").await;
    stage.pool("same-name", "python", 5, json!({})).await;
    stage.create(Kind::SandboxSet, set("same-name", "ready", 5)).await;
    stage.filled("same-name", 5).await;
    stocked(&stage, "same-name", 5).await;
    let claim =
        json!({"metadata": {"name": "two"}, "spec": {"templateName": "same-name", "replicas": 2}});
    stage.create(Kind::KruiseClaim, claim).await;
    stage
        .until("the claim has both", async || {
            let claim = stage.get(Kind::KruiseClaim, "two").await?;
            (claim["status"]["claimedReplicas"] == 2).then_some(())
        })
        .await;
    stage.pass(Duration::from_secs(60)).await;
    stocked(&stage, "same-name", 5).await;
    assert!(faults.struck() > 0);
    assert_eq!((creates(&stage, Kind::Sandbox), creates(&stage, Kind::KruiseSandbox)), (5, 7));
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_family_that_is_not_installed_holds_up_no_other_and_begins_when_it_is() {
    let mut stage = Stage::undefined().await;
    for crd in dialects::x_k8s::crds::crds() {
        stage.define(&crd).await;
    }
    stage.enter(|_| {});
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 2, json!({})).await;
    stage.filled("warm", 2).await;
    let served = |family: &str| {
        let line = format!("sandbank_family_served{{family=\"{family}\"}} 1");
        stage.metrics().encode().contains(&line)
    };
    assert_eq!((served("x-k8s"), served("kruise")), (true, false));

    for crd in dialects::kruise::crds::crds() {
        stage.define(&crd).await;
    }
    stage.create(Kind::SandboxSet, set("demo", "ready", 2)).await;
    stocked(&stage, "demo", 2).await;
    assert!(served("kruise"));
}

#[tokio::test(start_paused = true)]
async fn the_chain_of_a_set_claim_ends_at_the_image_that_can_not_be_had() {
    let stage = Stage::open().await;
    stage.create(Kind::SandboxSet, set("demo", "broken", 1)).await;
    let claim = json!({"metadata": {"name": "c"}, "spec": {"templateName": "demo", "createOnNoStock": false}});
    stage.create(Kind::KruiseClaim, claim).await;
    let options = dialects::x_k8s::Options::default();
    let ask = async |kind, name: &str| {
        let key = Key::new("default", name);
        why(&stage.client, kind, &key, &options, stage.clock.now()).await.unwrap()
    };
    let chain = stage
        .until("the pod's trouble is known", async || {
            let chain = ask(Kind::KruiseClaim, "c").await;
            let cause = chain.root_cause();
            (cause.kind == Kind::Pod && !cause.reasons.is_empty()).then(|| chain.clone())
        })
        .await;
    assert_eq!(chain.standing, Standing::Waiting);
    assert!(chain.root_cause().reasons[0].message.contains("no such image"), "{chain:?}");
    assert_eq!(ask(Kind::KruiseSandbox, "nobody").await.standing, Standing::Missing);

    stage.create(Kind::SandboxSet, set("good", "ready", 1)).await;
    stocked(&stage, "good", 1).await;
    assert_eq!(ask(Kind::SandboxSet, "good").await.standing, Standing::Well);
}
