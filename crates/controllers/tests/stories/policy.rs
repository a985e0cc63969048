//! A template has one network policy for all its sandboxes.

use controllers::kinds::Kind;
use serde_json::json;

use crate::stage::{Stage, controller, template};

#[tokio::test(start_paused = true)]
async fn a_template_gets_its_policy_and_loses_it_when_somebody_else_takes_care() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    let policy = stage
        .until("the policy is there", async || {
            stage.get(Kind::NetworkPolicy, "python-network-policy").await
        })
        .await;
    assert_eq!(controller(&policy), ("SandboxTemplate".into(), "python".into()));
    let template_label = "agents.x-k8s.io/sandbox-template-ref-hash";
    let hash = policy["spec"]["podSelector"]["matchLabels"][template_label].clone();
    let labelled = stage
        .until("the template is labelled", async || {
            let template = stage.get(Kind::Template, "python").await?;
            template["metadata"]["labels"].get(template_label).cloned()
        })
        .await;
    assert_eq!(labelled, hash);

    // Somebody opens it up; it is closed again.
    stage
        .patch(Kind::NetworkPolicy, "python-network-policy", json!({"spec": {"ingress": [{}]}}))
        .await;
    stage
        .until("it is as it was", async || {
            let now = stage.get(Kind::NetworkPolicy, "python-network-policy").await?;
            (now["spec"] == policy["spec"]).then_some(())
        })
        .await;

    stage
        .patch(Kind::Template, "python", json!({"spec": {"networkPolicyManagement": "Unmanaged"}}))
        .await;
    stage
        .until("it is gone", async || {
            stage.get(Kind::NetworkPolicy, "python-network-policy").await.is_none().then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_strangers_policy_of_that_name_is_not_touched() {
    let stage = Stage::empty().await;
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    stage
        .create(
            Kind::NetworkPolicy,
            json!({"metadata": {"name": "python-network-policy"}, "spec": spec}),
        )
        .await;
    let mut stage = stage;
    stage.enter(|_| {});
    stage.create(Kind::Template, template("python", "ready")).await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.filled("warm", 1).await;
    let policy = stage.get(Kind::NetworkPolicy, "python-network-policy").await.unwrap();
    assert_eq!(policy["spec"]["podSelector"], json!({}));
}
