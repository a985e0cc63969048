//! A pool fills, shrinks, replaces what fails, and says why it does not get on.

use std::time::Duration;

use controllers::kinds::Kind;
use serde_json::json;

use crate::stage::{Stage, condition, controller};

#[tokio::test(start_paused = true)]
async fn a_member_costs_three_writes() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 5, json!({})).await;
    stage.filled("warm", 5).await;
    stage.pass(Duration::from_secs(60)).await;
    let writes = stage.wire.writes();
    let count = |verb: &str, end: &str| {
        writes.iter().filter(|w| w.starts_with(verb) && w.ends_with(end)).count()
    };
    assert_eq!(count("POST", "/sandboxes"), 5, "{writes:#?}");
    assert_eq!(count("POST", "/pods"), 5);
    let statuses =
        writes.iter().filter(|w| w.contains("/sandboxes/") && w.ends_with("/status")).count();
    assert_eq!(statuses, 5, "{writes:#?}");
    let patches =
        writes.iter().filter(|w| w.starts_with("PATCH") && !w.ends_with("/status")).count();
    assert_eq!(patches, 1, "only the template's label: {writes:#?}");
    let pool_reports =
        writes.iter().filter(|w| w.ends_with("sandboxwarmpools/warm/status")).count();
    assert!(pool_reports <= 5, "{pool_reports}");
    // Nothing more is written once all is as it should be.
    stage.wire.clear();
    stage.pass(Duration::from_secs(3600)).await;
    assert_eq!(stage.wire.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_pool_scales_through_its_subresource_in_both_directions() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.filled("warm", 1).await;
    stage.patch(Kind::Pool, "warm/scale", json!({"spec": {"replicas": 4}})).await;
    stage.filled("warm", 4).await;
    stage.patch(Kind::Pool, "warm", json!({"spec": {"replicas": 0}})).await;
    stage.filled("warm", 0).await;
    assert!(stage.list(Kind::Sandbox).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_deleted_by_hand_is_replaced() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 2, json!({})).await;
    stage.filled("warm", 2).await;
    let first = stage.list(Kind::Sandbox).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    stage.delete(Kind::Sandbox, &first).await;
    stage
        .until("another one took its place", async || {
            let sandboxes = stage.list(Kind::Sandbox).await;
            let other = sandboxes.iter().all(|s| s["metadata"]["name"] != first.as_str());
            (other && sandboxes.len() == 2).then_some(())
        })
        .await;
    stage.filled("warm", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_with_a_broken_image_says_so() {
    let stage = Stage::open().await;
    stage.template("python", "broken").await;
    stage.pool("warm", "python", 2, json!({})).await;
    let message = stage
        .until("the pool names the image", async || {
            let pool = stage.get(Kind::Pool, "warm").await?;
            let conditions = [condition(&pool, "Available"), condition(&pool, "Progressing")];
            conditions.iter().find_map(|c| {
                c["message"].as_str().filter(|m| m.contains("no such image")).map(str::to_owned)
            })
        })
        .await;
    assert!(message.contains("no such image"));
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_its_template_says_so_and_goes_on_when_it_appears() {
    let stage = Stage::open().await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage
        .until("the pool says what is missing", async || {
            let pool = stage.get(Kind::Pool, "warm").await?;
            (condition(&pool, "Progressing")["reason"] == "TemplateNotFound").then_some(())
        })
        .await;
    stage.template("python", "ready").await;
    stage.filled("warm", 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_orphan_that_fits_is_taken_in() {
    let stage = Stage::open().await;
    stage.template("python", "ready").await;
    stage.pool("warm", "python", 1, json!({})).await;
    stage.filled("warm", 1).await;
    let name = stage.list(Kind::Sandbox).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    stage.patch(Kind::Sandbox, &name, json!({"metadata": {"ownerReferences": null}})).await;
    stage
        .until("it has its owner back", async || {
            let sandbox = stage.get(Kind::Sandbox, &name).await?;
            (controller(&sandbox) == ("SandboxWarmPool".into(), "warm".into())).then_some(())
        })
        .await;
    stage.filled("warm", 1).await;
}
