//! A claim that no warm sandbox can serve.

use controllers::kinds::Kind;
use serde_json::{Value, json};

use crate::stage::{Stage, condition, controller, template};

async fn with_env(policy: &str) -> Stage {
    let stage = Stage::open().await;
    let mut object = template("python", "ready");
    object["spec"]["envVarsInjectionPolicy"] = policy.into();
    stage.create(Kind::Template, object).await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.filled("warm", 1).await;
    let spec = json!({"warmPoolRef": {"name": "warm"}, "env": [{"name": "MODE", "value": "fast"}]});
    stage.create(Kind::Claim, json!({"metadata": {"name": "c"}, "spec": spec})).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn variables_make_a_cold_start_of_the_claims_own_name() {
    let stage = with_env("Allowed").await;
    let claim = stage.ready("c").await;
    assert_eq!(claim["status"]["sandbox"]["name"], "c");
    let sandbox = stage.get(Kind::Sandbox, "c").await.unwrap();
    assert_eq!(controller(&sandbox), ("SandboxClaim".into(), "c".into()));
    assert_eq!(sandbox["metadata"]["labels"]["agents.x-k8s.io/launch-type"], "cold");
    let pod = stage.get(Kind::Pod, "c").await.unwrap();
    assert_eq!(pod["spec"]["containers"][0]["env"], json!([{"name": "MODE", "value": "fast"}]));
    stage.filled("warm", 1).await;
}

#[tokio::test(start_paused = true)]
async fn variables_that_the_template_forbids_are_refused_for_good() {
    let stage = with_env("Disallowed").await;
    stage
        .until("the claim is refused", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            (condition(&claim, "Ready")["reason"] == "EnvVarsInjectionRejected").then_some(())
        })
        .await;
    stage.wire.clear();
    stage.pass(std::time::Duration::from_secs(600)).await;
    assert_eq!(stage.wire.writes(), Vec::<String>::new());
    assert!(stage.get(Kind::Sandbox, "c").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_serves_cold() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("cold", "python", 0, json!({})).await;
    stage.claim("c", "cold").await;
    let claim = stage.ready("c").await;
    assert_eq!(claim["status"]["sandbox"]["name"], "c");
    let sandboxes: Vec<Value> = stage.list(Kind::Sandbox).await;
    assert_eq!(sandboxes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_sandbox_is_replaced() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.filled("warm", 1).await;
    stage.claim("c", "warm").await;
    let first = stage.ready("c").await["status"]["sandbox"]["name"].as_str().unwrap().to_owned();
    stage.delete(Kind::Sandbox, &first).await;
    stage
        .until("the claim has another one", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            let name = claim["status"]["sandbox"]["name"].as_str()?;
            (name != first && condition(&claim, "Ready")["status"] == "True").then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_name_is_taken_says_so() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("cold", "python", 0, json!({})).await;
    let pod = json!({"spec": {"containers": [{"name": "main", "image": "ready"}]}});
    stage
        .create(Kind::Sandbox, json!({"metadata": {"name": "c"}, "spec": {"podTemplate": pod}}))
        .await;
    stage.claim("c", "cold").await;
    stage
        .until("the claim says so", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            let message = condition(&claim, "Ready")["message"].as_str()?.to_owned();
            message.contains("different claim name").then_some(())
        })
        .await;
}
