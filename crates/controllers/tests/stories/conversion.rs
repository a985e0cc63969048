//! Claims made as v1alpha1 keep the meaning they had there.

use controllers::kinds::Kind;
use http::Method;
use serde_json::{Value, json};

use crate::stage::Stage;

async fn old_claim(stage: &Stage, name: &str, warmpool: Option<&str>) {
    let mut spec = json!({"sandboxTemplateRef": {"name": "python"}});
    if let Some(warmpool) = warmpool {
        spec["warmpool"] = warmpool.into();
    }
    let claim = json!({
        "apiVersion": "extensions.agents.x-k8s.io/v1alpha1", "kind": "SandboxClaim",
        "metadata": {"name": name}, "spec": spec,
    });
    let path = "/apis/extensions.agents.x-k8s.io/v1alpha1/namespaces/default/sandboxclaims";
    stage.send(Method::POST, path, Some(&claim)).await.unwrap();
}

async fn served_from(stage: &Stage, claim: &str) -> String {
    let claim: Value = stage.ready(claim).await;
    claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn default_takes_from_any_pool_of_the_template_none_from_no_pool_and_a_name_from_that_pool() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("a", "python", 1, json!({})).await;
    stage.pool("b", "python", 1, json!({})).await;
    stage.filled("a", 1).await;
    stage.filled("b", 1).await;

    old_claim(&stage, "any", None).await;
    let any = served_from(&stage, "any").await;
    assert!(any.starts_with("a-") || any.starts_with("b-"), "{any}");
    stage.filled("a", 1).await;
    stage.filled("b", 1).await;

    old_claim(&stage, "cold", Some("none")).await;
    assert_eq!(served_from(&stage, "cold").await, "cold");

    old_claim(&stage, "named", Some("b")).await;
    let named = served_from(&stage, "named").await;
    assert!(named.starts_with("b-"), "{named}");

    let path = "/apis/extensions.agents.x-k8s.io/v1alpha1/namespaces/default/sandboxclaims/named";
    let read = stage.send(Method::GET, path, None).await.unwrap();
    assert_eq!(read["spec"]["sandboxTemplateRef"]["name"], "python");
    assert_eq!(read["spec"]["warmpool"], "b");
    assert!(stage.get(Kind::Pool, "shadow-pool-python").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn default_without_any_pool_starts_cold() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    old_claim(&stage, "c", Some("default")).await;
    assert_eq!(served_from(&stage, "c").await, "c");
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_suspended_by_its_replicas() {
    let stage = Stage::open().await;
    let pod = json!({"spec": {"containers": [{"name": "main", "image": "ready"}]}});
    stage
        .create(Kind::Sandbox, json!({"metadata": {"name": "s"}, "spec": {"podTemplate": pod}}))
        .await;
    stage.until("its pod is there", async || stage.get(Kind::Pod, "s").await.map(|_| ())).await;
    let path = "/apis/agents.x-k8s.io/v1alpha1/namespaces/default/sandboxes/s";
    stage.send(Method::PATCH, path, Some(&json!({"spec": {"replicas": 0}}))).await.unwrap();
    stage
        .until("its pod is gone", async || stage.get(Kind::Pod, "s").await.is_none().then_some(()))
        .await;
    let read = stage.send(Method::GET, path, None).await.unwrap();
    assert_eq!(read["spec"]["replicas"], 0);
}
