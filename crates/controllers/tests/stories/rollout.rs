//! A template changes: what becomes of its warm and its claimed sandboxes.

use std::time::Duration;

use controllers::kinds::Kind;
use serde_json::{Value, json};

use crate::stage::{Stage, template};

fn image(sandbox: &Value) -> &str {
    sandbox["spec"]["podTemplate"]["spec"]["containers"][0]["image"].as_str().unwrap()
}

async fn roll(stage: &Stage, to: &str) {
    stage.patch(Kind::Template, "python", json!({"spec": template("python", to)["spec"]})).await;
}

async fn images(stage: &Stage) -> Vec<String> {
    stage.list(Kind::Sandbox).await.iter().map(|s| image(s).to_owned()).collect()
}

/// Waits until all are new and ready; returns the fewest that were ready on the way.
async fn all_new(stage: &Stage, to: &str, count: u32) -> u32 {
    let fewest = std::cell::Cell::new(u32::MAX);
    stage
        .until("all are new and ready", async || {
            let sandboxes = stage.list(Kind::Sandbox).await;
            let ready = sandboxes.iter().filter(|s| {
                s["metadata"].get("deletionTimestamp").is_none()
                    && crate::stage::condition(s, "Ready")["status"] == "True"
            });
            let (new, old): (Vec<&Value>, Vec<&Value>) = ready.partition(|s| image(s) == to);
            let all = u32::try_from(new.len() + old.len()).unwrap();
            fewest.set(fewest.get().min(all));
            (new.len() == count as usize && sandboxes.len() == count as usize).then_some(())
        })
        .await;
    fewest.get()
}

#[tokio::test(start_paused = true)]
async fn recreate_replaces_all_at_once_and_leaves_the_claimed_one_alone() {
    let stage = Stage::open().await;
    stage.template("python", "ready:1").await;
    stage.pool("warm", "python", 3, json!({"type": "Recreate"})).await;
    stage.filled("warm", 3).await;
    stage.claim("c", "warm").await;
    let claim = stage.ready("c").await;
    let taken = claim["status"]["sandbox"]["name"].as_str().unwrap().to_owned();
    stage.filled("warm", 3).await;
    roll(&stage, "ready:2").await;
    stage
        .until("the pool is new", async || {
            let images = images(&stage).await;
            (images.iter().filter(|i| *i == "ready:2").count() == 3 && images.len() == 4)
                .then_some(())
        })
        .await;
    stage.filled("warm", 3).await;
    assert_eq!(image(&stage.get(Kind::Sandbox, &taken).await.unwrap()), "ready:1");
    assert_eq!(stage.ready("c").await["status"]["sandbox"]["name"], taken.as_str());
}

#[tokio::test(start_paused = true)]
async fn on_replenish_keeps_the_old_ones_until_they_are_claimed() {
    let stage = Stage::open().await;
    stage.template("python", "ready:1").await;
    stage.pool("warm", "python", 2, json!({"type": "OnReplenish"})).await;
    stage.filled("warm", 2).await;
    roll(&stage, "ready:2").await;
    stage.pass(Duration::from_secs(120)).await;
    assert_eq!(images(&stage).await, ["ready:1", "ready:1"]);
    stage.claim("c", "warm").await;
    let claim = stage.ready("c").await;
    let taken = stage
        .get(Kind::Sandbox, claim["status"]["sandbox"]["name"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(image(&taken), "ready:1");
    stage.filled("warm", 2).await;
    let mut images = images(&stage).await;
    images.sort();
    assert_eq!(images, ["ready:1", "ready:1", "ready:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_never_goes_below_its_floor_and_hands_out_nothing_old() {
    let stage = Stage::open().await;
    stage.template("python", "ready:1").await;
    let budget =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}});
    stage.pool("warm", "python", 4, budget).await;
    stage.filled("warm", 4).await;
    roll(&stage, "ready:2").await;
    let fewest = all_new(&stage, "ready:2", 4).await;
    assert!(fewest >= 3, "{fewest}");
    stage.filled("warm", 4).await;
    stage.claim("c", "warm").await;
    let claim = stage.ready("c").await;
    let taken = stage
        .get(Kind::Sandbox, claim["status"]["sandbox"]["name"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(image(&taken), "ready:2");
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_metadata_rolls_nothing() {
    let stage = Stage::open().await;
    stage.template("python", "ready:1").await;
    stage.pool("warm", "python", 2, json!({"type": "Recreate"})).await;
    stage.filled("warm", 2).await;
    stage.wire.clear();
    let labels = json!({"spec": {"podTemplate": {"metadata": {"labels": {"team": "a"}}}}});
    stage.patch(Kind::Template, "python", labels).await;
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.wire.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_changes_its_template_follows_it() {
    let stage = Stage::open().await;
    stage.template("python", "ready:1").await;
    stage.template("other", "ready:1").await;
    stage.pool("warm", "python", 2, json!({"type": "Recreate"})).await;
    stage.filled("warm", 2).await;
    let before: Vec<Value> =
        stage.list(Kind::Sandbox).await.iter().map(|s| s["metadata"]["name"].clone()).collect();
    stage
        .patch(Kind::Pool, "warm", json!({"spec": {"sandboxTemplateRef": {"name": "other"}}}))
        .await;
    stage
        .until("all are of the other template", async || {
            let sandboxes = stage.list(Kind::Sandbox).await;
            let new = sandboxes.iter().all(|s| !before.contains(&s["metadata"]["name"]));
            (new && sandboxes.len() == 2).then_some(())
        })
        .await;
    stage.filled("warm", 2).await;
}
