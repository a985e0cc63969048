//! Two controllers, one lease.

use std::time::Duration;

use controllers::lease::{LEASE_NAME, LeaseOptions};
use http::Method;
use serde_json::json;

use crate::stage::Stage;

async fn holder(stage: &Stage) -> Option<String> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/default/leases/{LEASE_NAME}");
    let lease = stage.send(Method::GET, &path, None).await.ok()?;
    lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty()).map(str::to_owned)
}

async fn led_by(stage: &Stage, who: &str) {
    stage
        .until(&format!("{who} leads"), async || {
            (holder(stage).await.as_deref() == Some(who)).then_some(())
        })
        .await;
}

async fn two() -> Stage {
    let mut stage = Stage::empty().await;
    stage.enter(|options| options.election = Some(LeaseOptions::new("default", "first")));
    led_by(&stage, "first").await;
    stage.enter(|options| options.election = Some(LeaseOptions::new("default", "second")));
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 2, json!({})).await;
    stage.filled("warm", 2).await;
    stage
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_at_once() {
    let mut stage = two().await;
    let first = stage.take();
    first.stop.cancel();
    first.task.await.unwrap().unwrap();
    let stopped = tokio::time::Instant::now();
    led_by(&stage, "second").await;
    assert!(stopped.elapsed() <= Duration::from_secs(6), "{:?}", stopped.elapsed());
    stage.claim("c", "warm").await;
    stage.ready("c").await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_after_its_term_and_not_before() {
    let mut stage = two().await;
    stage.take().task.abort();
    let died = tokio::time::Instant::now();
    led_by(&stage, "second").await;
    assert!(
        died.elapsed() >= Duration::from_secs(10) && died.elapsed() <= Duration::from_secs(22),
        "{:?}",
        died.elapsed()
    );
    stage.claim("c", "warm").await;
    stage.ready("c").await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_is_taken_stops() {
    let mut stage = Stage::empty().await;
    stage.enter(|options| options.election = Some(LeaseOptions::new("default", "first")));
    led_by(&stage, "first").await;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/default/leases/{LEASE_NAME}");
    let theft = json!({"spec": {"holderIdentity": "thief"}});
    stage.send(Method::PATCH, &path, Some(&theft)).await.unwrap();
    let ended = stage.take().task.await.unwrap();
    assert!(matches!(ended, Err(controllers::RunError::Election(_))), "{ended:?}");
}
