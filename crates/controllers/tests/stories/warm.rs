//! A claim takes a warm sandbox.

use controllers::kinds::Kind;
use serde_json::json;

use crate::stage::{Stage, condition, controller};

async fn filled_pool() -> Stage {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 2, json!({})).await;
    stage.filled("warm", 2).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn a_claim_takes_a_ready_sandbox_and_the_pool_refills() {
    let stage = filled_pool().await;
    let members: Vec<String> = stage
        .list(Kind::Sandbox)
        .await
        .iter()
        .map(|s| s["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    stage.claim("c", "warm").await;
    let claim = stage.ready("c").await;
    let name = claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned();
    assert!(members.contains(&name), "{name} was warm");
    assert_eq!(claim["status"]["sandbox"]["podIPs"].as_array().unwrap().len(), 1);
    assert_eq!(condition(&claim, "Ready")["reason"], "DependenciesReady");

    let sandbox = stage.get(Kind::Sandbox, &name).await.unwrap();
    assert_eq!(controller(&sandbox), ("SandboxClaim".into(), "c".into()));
    assert_eq!(sandbox["metadata"]["labels"]["agents.x-k8s.io/launch-type"], "warm");
    assert!(sandbox["metadata"]["labels"].get("agents.x-k8s.io/warm-pool-sandbox").is_none());

    stage.filled("warm", 2).await;
    assert_eq!(stage.list(Kind::Sandbox).await.len(), 3);
    // The pod loses the pool's label when nobody waits any more.
    stage
        .until("the pod is not the pool's any more", async || {
            let pod = stage.get(Kind::Pod, &name).await?;
            pod["metadata"]["labels"]
                .get("agents.x-k8s.io/warm-pool-sandbox")
                .is_none()
                .then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_warm_claim_costs_two_writes_until_it_is_ready_and_one_look() {
    let stage = filled_pool().await;
    let looks = stage.metrics().reconciles("claim");
    stage.wire.clear();
    stage.claim("c", "warm").await;
    let claim = stage.ready("c").await;
    let sandbox = claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned();
    let concerns = |write: &String| {
        write.contains("sandboxclaims/c") || write.contains(&format!("/{sandbox}"))
    };
    let writes: Vec<String> = stage.wire.writes().into_iter().filter(concerns).collect();
    let (bind, tell) = (format!("sandboxes/{sandbox}"), "sandboxclaims/c/status");
    assert!(writes[0].ends_with(&bind) && writes[1].ends_with(tell), "{writes:#?}");

    stage
        .until("the annotations followed", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            let annotation =
                |key: &str| claim["metadata"]["annotations"][key].as_str().map(str::to_owned);
            annotation("agents.x-k8s.io/claim-first-ready-at")?;
            annotation("agents.x-k8s.io/controller-first-observed-at")?;
            (annotation("agents.x-k8s.io/sandbox-name")? == sandbox).then_some(())
        })
        .await;
    stage.filled("warm", 2).await;
    stage.pass(std::time::Duration::from_secs(60)).await;
    let mut writes: Vec<String> = stage.wire.writes().into_iter().filter(concerns).collect();
    writes.sort();
    let base = "namespaces/default";
    let expected = [
        format!("PATCH /api/v1/{base}/pods/{sandbox}"),
        format!("PATCH /apis/agents.x-k8s.io/v1beta1/{base}/sandboxes/{sandbox}"),
        format!("PATCH /apis/agents.x-k8s.io/v1beta1/{base}/sandboxes/{sandbox}/status"),
        format!("PATCH /apis/extensions.agents.x-k8s.io/v1beta1/{base}/sandboxclaims/c"),
        format!("PATCH /apis/extensions.agents.x-k8s.io/v1beta1/{base}/sandboxclaims/c/status"),
    ];
    assert_eq!(writes, expected);
    let looks = stage.metrics().reconciles("claim") - looks;
    assert_eq!(looks, 1);
}

#[tokio::test(start_paused = true)]
async fn forty_claims_of_a_pool_of_ten_each_get_a_sandbox_of_their_own() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 10, json!({})).await;
    stage.filled("warm", 10).await;
    for n in 0..40 {
        stage.claim(&format!("c{n:02}"), "warm").await;
    }
    let mut names = std::collections::BTreeSet::new();
    for n in 0..40 {
        let claim = stage.ready(&format!("c{n:02}")).await;
        names.insert(claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(names.len(), 40);
    stage.filled("warm", 10).await;
    assert_eq!(stage.list(Kind::Sandbox).await.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_claim_waits_for_a_sandbox_that_is_nearly_ready_rather_than_start_one_cold() {
    let stage = Stage::open().await;
    stage.template("python", "soon").await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage
        .until("a member is on its way", async || {
            (!stage.list(Kind::Pod).await.is_empty()).then_some(())
        })
        .await;
    stage.claim("c", "warm").await;
    let claim = stage.ready("c").await;
    assert_ne!(
        claim["status"]["sandbox"]["name"], "c",
        "a cold sandbox would have the claim's name"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_claim_takes_its_sandbox_with_it() {
    let stage = filled_pool().await;
    stage.claim("c", "warm").await;
    let claim = stage.ready("c").await;
    let name = claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned();
    stage.delete(Kind::Claim, "c").await;
    stage
        .until("sandbox and pod are gone", async || {
            let gone = stage.get(Kind::Sandbox, &name).await.is_none()
                && stage.get(Kind::Pod, &name).await.is_none();
            gone.then_some(())
        })
        .await;
    stage.filled("warm", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_missing_pool_says_so_and_is_served_when_the_pool_appears() {
    let stage = Stage::open().await;
    stage.claim("c", "warm").await;
    let said = stage
        .until("the claim says what is missing", async || {
            let claim = stage.get(Kind::Claim, "c").await?;
            let ready = condition(&claim, "Ready");
            ready["reason"]
                .as_str()
                .map(|reason| (reason.to_owned(), ready["message"].as_str().unwrap().to_owned()))
        })
        .await;
    assert_eq!(
        said,
        ("WarmPoolNotFound".to_owned(), "SandboxWarmPool \"warm\" not found".to_owned())
    );
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.ready("c").await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_somebody_else_took_back_is_told_again() {
    let stage = filled_pool().await;
    stage.claim("c", "warm").await;
    let told = stage.ready("c").await["status"]["sandbox"].clone();
    let name = told["name"].as_str().unwrap().to_owned();
    let lies = [
        (Kind::Claim, "c", json!({"status": null})),
        (Kind::Claim, "c", json!({"status": {"sandbox": {"name": "another"}}})),
        (Kind::Sandbox, name.as_str(), json!({"status": {"conditions": [], "podIPs": []}})),
    ];
    for (kind, object, lie) in lies {
        stage.patch(kind, &format!("{object}/status"), lie).await;
        stage
            .until("both say what is so", async || {
                let claim = stage.get(Kind::Claim, "c").await?;
                let sandbox = stage.get(Kind::Sandbox, &name).await?;
                let ready = [&claim, &sandbox].map(|o| condition(o, "Ready")["status"] == "True");
                (ready == [true, true] && claim["status"]["sandbox"] == told).then_some(())
            })
            .await;
    }
}
