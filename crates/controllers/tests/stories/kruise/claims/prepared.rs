//! Sandboxes that are started, changed or told something before they are delivered.

use std::sync::Arc;

use controllers::kinds::Kind;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{event, label, names, note, told};
use crate::stage::{Stage, condition};

#[tokio::test(start_paused = true)]
async fn without_stock_sandboxes_are_started_for_the_claim() {
    let stage = Stage::open().await;
    stage.set("demo", "soon", 0).await;
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let claim = stage.over("c").await;
    let mine = stage.of_claim(&claim).await;
    assert_eq!((mine.len(), told(&claim)), (2, names(&mine)));
    for sandbox in &mine {
        assert_eq!(note(sandbox, "sandbox-priority"), "100");
        assert!(sandbox["metadata"].get("ownerReferences").is_none());
        assert_eq!(condition(sandbox, "Ready")["status"], "True", "delivered when ready");
    }
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 2, "the set was asked for none");
}

/// A start that takes longer than the limit is not thrown away and begun again until the time is over.
#[tokio::test(start_paused = true)]
async fn a_slow_start_is_waited_for() {
    let stage = Stage::open().await;
    stage.set("demo", "slow", 0).await;
    stage.ask("c", "demo", json!({"waitReadyTimeout": "2s"})).await;
    stage
        .until("the claim says that it is slow", async || {
            let claim = stage.get(Kind::KruiseClaim, "c").await?;
            (condition(&claim, "Completed")["reason"] == "SlowStart").then_some(())
        })
        .await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["claimedReplicas"], 1);
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_image_is_told_and_its_sandboxes_are_discarded_or_kept() {
    for keep in [false, true] {
        let stage = Stage::open().await;
        stage.set("demo", "broken", 0).await;
        let spec =
            json!({"claimTimeout": "20s", "waitReadyTimeout": "5s", "reserveFailedSandbox": keep});
        stage.ask("c", "demo", spec).await;
        let claim = stage.over("c").await;
        assert_eq!(claim["status"]["claimedReplicas"], 0);
        let why = condition(&claim, "Completed")["message"].as_str().unwrap().to_owned();
        assert!(why.contains("no such image"), "{why}");
        let left = stage
            .until("what failed is seen to", async || {
                let left = stage.list(Kind::KruiseSandbox).await;
                let aside = |it: &Value| label(it, "reserved-failed-sandbox") == "true";
                left.iter().all(aside).then_some(left)
            })
            .await;
        assert_eq!(left.is_empty(), !keep, "{}", left.len());
    }
}

/// The change takes effect in the running pod, and the claim is over when it has.
#[tokio::test(start_paused = true)]
async fn an_image_changed_at_claim_is_verified_before_the_claim_is_over() {
    let stage = Stage::stocked_set(2).await;
    let warm = names(&stage.list(Kind::KruiseSandbox).await);
    let spec = json!({"replicas": 2, "inplaceUpdate": {"image": "ready:2"}});
    stage.ask("c", "demo", spec).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["claimedReplicas"], 2);
    for sandbox in stage.of_claim(&claim).await {
        let name = sandbox["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(warm.contains(&name));
        assert_eq!(sandbox["spec"]["template"]["spec"]["containers"][0]["image"], "ready:2");
        assert_eq!(condition(&sandbox, "InplaceUpdate")["status"], "True", "{sandbox:#}");
        let pod = stage.get(Kind::Pod, &name).await.unwrap();
        assert_eq!(pod["status"]["containerStatuses"][0]["imageID"], "id-of-ready:2");
    }
    stage.stocked("demo", 2).await;
    let old = |it: &Value| it["spec"]["template"]["spec"]["containers"][0]["image"] == "ready";
    assert_eq!(stage.list(Kind::KruiseSandbox).await.iter().filter(|it| old(it)).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn variables_without_a_runtime_are_said_to_be_undeliverable() {
    let stage = Stage::stocked_set(1).await;
    stage.ask("c", "demo", json!({"envVars": {"A": "1"}})).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["claimedReplicas"], 1);
    assert_eq!(condition(&claim, "EnvVarsDelivered")["status"], "False");
    assert_eq!(condition(&claim, "EnvVarsDelivered")["reason"], "NoRuntime");
    assert!(event(&stage, "c", "EnvVarsNotDelivered").await.contains("no runtime"));
}

/// In real time: paused time would run out while the network is waited for.
#[tokio::test]
async fn the_runtime_inside_is_told_before_the_claim_is_over() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (note_it, listener) = (heard.clone(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let port = listener.local_addr().unwrap().port();
    let init = async move |body: String| {
        note_it.lock().push(serde_json::from_str::<Value>(&body).unwrap());
        http::StatusCode::NO_CONTENT
    };
    let app = axum::Router::new().route("/init", axum::routing::post(init));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let stage = Stage::open().await;
    let block = |port: u16| {
        json!({
            "metadata": {"annotations": {"agents.kruise.io/runtime-url": format!("http://127.0.0.1:{port}")}},
            "spec": {"containers": [{"name": "main", "image": "here"}]},
        })
    };
    for (name, replicas, port) in [("warm", 1, port), ("cold", 0, port), ("deaf", 0, 1)] {
        let spec = json!({"replicas": replicas, "template": block(port)});
        stage.create(Kind::SandboxSet, json!({"metadata": {"name": name}, "spec": spec})).await;
    }
    stage.stocked("warm", 1).await;
    for name in ["warm", "cold"] {
        stage.ask(name, name, json!({"envVars": {"NAME": name}})).await;
        let claim = stage.over(name).await;
        assert_eq!(claim["status"]["claimedReplicas"], 1);
        assert_eq!(condition(&claim, "EnvVarsDelivered"), Value::Null);
        let sandbox = stage.of_claim(&claim).await.remove(0);
        assert_eq!(condition(&sandbox, "RuntimeInitialized")["status"], "True");
        let told = heard.lock().pop().unwrap();
        assert_eq!(told["envVars"]["NAME"], name);
        assert_eq!(told["accessToken"], note(&sandbox, "runtime-access-token"));
    }
    // Nobody listens: the sandbox is of no use, and the claim says why.
    stage.ask("deaf", "deaf", json!({"claimTimeout": "5s", "envVars": {"A": "1"}})).await;
    let claim = stage.over("deaf").await;
    assert_eq!(claim["status"]["claimedReplicas"], 0);
    let why = condition(&claim, "Completed")["message"].as_str().unwrap().to_owned();
    assert!(why.contains("runtime"), "{why}");
    // Told to leave it alone, the claim takes what it gets.
    stage.ask("quiet", "deaf", json!({"skipInitRuntime": true})).await;
    assert_eq!(stage.over("quiet").await["status"]["claimedReplicas"], 1);
    assert!(heard.lock().is_empty());
    server.abort();
}
