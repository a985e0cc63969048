//! Claims of several sandboxes, and short ways to say what their stories need.

use std::collections::BTreeSet;

use controllers::kinds::Kind;
use http::Method;
use serde_json::{Value, json};

use crate::stage::Stage;

mod faults;
mod limits;
mod prepared;
mod warm;

const GROUP: &str = "agents.kruise.io";

impl Stage {
    async fn set(&self, name: &str, image: &str, replicas: u32) {
        let spec = json!({"replicas": replicas, "template": {"spec": {"containers": [{"name": "main", "image": image}]}}});
        self.create(Kind::SandboxSet, json!({"metadata": {"name": name}, "spec": spec})).await;
    }

    async fn stocked(&self, set: &str, ready: u64) {
        self.until(&format!("set {set} has {ready} available"), async || {
            let status = self.get(Kind::SandboxSet, set).await?["status"].clone();
            let says = |field: &str| status[field].as_u64().unwrap_or(0);
            (says("availableReplicas") == ready && says("replicas") == ready).then_some(())
        })
        .await;
    }

    async fn ask(&self, name: &str, set: &str, spec: Value) -> Value {
        let mut spec = spec;
        spec["templateName"] = json!(set);
        self.create(Kind::KruiseClaim, json!({"metadata": {"name": name}, "spec": spec})).await
    }

    /// Waits until the claim is over and returns it.
    async fn over(&self, claim: &str) -> Value {
        self.until(&format!("claim {claim} is over"), async || {
            let claim = self.get(Kind::KruiseClaim, claim).await?;
            (claim["status"]["phase"] == "Completed").then_some(claim)
        })
        .await
    }

    /// The sandboxes that carry the claim's mark.
    async fn of_claim(&self, claim: &Value) -> Vec<Value> {
        let sandboxes = self.list(Kind::KruiseSandbox).await;
        let mine = |it: &Value| note(it, "owner") == claim["metadata"]["uid"];
        sandboxes.into_iter().filter(mine).collect()
    }

    async fn stocked_set(replicas: u32) -> Stage {
        let stage = Stage::open().await;
        stage.set("demo", "ready", replicas).await;
        stage.stocked("demo", replicas.into()).await;
        stage
    }
}

fn note(object: &Value, key: &str) -> Value {
    object["metadata"]["annotations"][format!("{GROUP}/{key}")].clone()
}

fn label(object: &Value, key: &str) -> Value {
    object["metadata"]["labels"][format!("{GROUP}/{key}")].clone()
}

fn names(sandboxes: &[Value]) -> BTreeSet<String> {
    sandboxes.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn told(claim: &Value) -> BTreeSet<String> {
    let listed = claim["status"]["sandboxes"].as_array().cloned().unwrap_or_default();
    listed.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Waits for an event about this claim.
async fn event(stage: &Stage, claim: &str, reason: &str) -> String {
    stage
        .until(&format!("event {reason} on {claim}"), async || {
            let path = "/api/v1/namespaces/default/events";
            let events = stage.send(Method::GET, path, None).await.ok()?;
            let told = events["items"]
                .as_array()?
                .iter()
                .find(|it| it["reason"] == reason && it["involvedObject"]["name"] == claim)?;
            told["message"].as_str().map(str::to_owned)
        })
        .await
}
