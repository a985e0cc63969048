//! The reasons for an object's state.

use controllers::kinds::Kind;
use controllers::why::{Standing, why};
use engine::Key;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test(start_paused = true)]
async fn the_chain_of_a_waiting_claim_ends_at_the_image_that_can_not_be_had() {
    let stage = Stage::open().await;
    stage.template("python", "broken").await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.claim("c", "warm").await;
    let options = dialects::x_k8s::Options::default();
    let chain = stage
        .until("the pod's trouble is known", async || {
            let chain = why(
                &stage.client,
                Kind::Claim,
                &Key::new("default", "c"),
                &options,
                stage.clock.now(),
            )
            .await
            .unwrap();
            (!chain.root_cause().reasons.is_empty() && chain.root_cause().kind == Kind::Pod)
                .then_some(chain)
        })
        .await;
    assert_ne!(chain.standing, Standing::Well);
    let cause = chain.root_cause();
    assert_eq!(cause.kind, Kind::Pod);
    assert!(cause.reasons[0].message.contains("no such image"), "{cause:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ready_claim_stands_well_and_leads_to_its_pod() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.filled("warm", 1).await;
    stage.claim("c", "warm").await;
    stage.ready("c").await;
    let options = dialects::x_k8s::Options::default();
    let key = Key::new("default", "c");
    let chain = why(&stage.client, Kind::Claim, &key, &options, stage.clock.now()).await.unwrap();
    assert_eq!(chain.standing, Standing::Well);
    assert_eq!(chain.depends_on[0].depends_on[0].kind, Kind::Pod);
    let missing = why(
        &stage.client,
        Kind::Claim,
        &Key::new("default", "nobody"),
        &options,
        stage.clock.now(),
    )
    .await
    .unwrap();
    assert_eq!(missing.standing, Standing::Missing);
}
