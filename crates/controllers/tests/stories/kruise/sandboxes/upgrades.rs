//! A sandbox gets another pod for another template, with hooks around it.

use controllers::kinds::Kind;
use serde_json::{Value, json};

use crate::stage::{Stage, condition};

fn hook(command: &str) -> Value {
    json!({"exec": {"command": [command, "x"]}, "timeoutSeconds": 30})
}

async fn running(stage: &Stage, lifecycle: Value) -> Value {
    // Hooks reach into pods that have a node.
    let spec = json!({
        "upgradePolicy": {"type": "Recreate"}, "lifecycle": lifecycle,
        "template": {"spec": {"nodeName": "n"}},
    });
    stage.sandbox("s", "ready:1", spec).await;
    stage.runs("s").await;
    stage.life("s").await
}

async fn change(stage: &Stage, image: &str) {
    let containers = json!([{"name": "main", "image": image}]);
    stage
        .patch(
            Kind::KruiseSandbox,
            "s",
            json!({"spec": {"template": {"spec": {"containers": containers}}}}),
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_runs_its_hooks_around_another_pod() {
    let stage = Stage::open().await;
    let old =
        running(&stage, json!({"preUpgrade": hook("save"), "postUpgrade": hook("load")})).await;
    change(&stage, "ready:2").await;
    stage.phase("s", "Upgrading").await;
    let done = stage.reason("s", "Upgrading", "Succeeded").await;
    assert_eq!(done["status"]["phase"], "Running");
    let new = stage.life("s").await;
    assert_ne!(old, new);
    let (old, new) = (old.as_str().unwrap(), new.as_str().unwrap());
    assert_eq!(stage.commands.run(), [format!("{old} save x"), format!("{new} load x")]);
    stage.told("UpgradeSucceeded").await;
    // Labels alone are no reason for another pod.
    stage
        .patch(
            Kind::KruiseSandbox,
            "s",
            json!({"spec": {"template": {"metadata": {"labels": {"tier": "gold"}}}}}),
        )
        .await;
    stage
        .until("the label is on the pod", async || {
            let pod = stage.get(Kind::Pod, "s").await?;
            (pod["metadata"]["labels"]["tier"] == "gold").then_some(())
        })
        .await;
    assert_eq!(stage.life("s").await, new);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_stops_the_upgrade_until_the_template_changes() {
    let stage = Stage::open().await;
    let old = running(&stage, json!({"preUpgrade": hook("fail")})).await;
    change(&stage, "ready:2").await;
    let failed = stage.reason("s", "Upgrading", "PreUpgradeFailed").await;
    assert_eq!(failed["status"]["phase"], "Upgrading");
    let message = condition(&failed, "Upgrading")["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "the command ended with exit code 3: no space left");
    stage.pass(std::time::Duration::from_secs(120)).await;
    assert_eq!(stage.commands.run().len(), 1, "it is not run again for the same template");
    assert_eq!(stage.life("s").await, old);

    let repaired = json!({"spec": {"lifecycle": {"preUpgrade": hook("save")}}});
    stage.patch(Kind::KruiseSandbox, "s", repaired).await;
    change(&stage, "ready:3").await;
    stage.reason("s", "Upgrading", "Succeeded").await;
    assert_ne!(stage.life("s").await, old);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_is_ended_after_its_time() {
    let stage = Stage::open().await;
    running(&stage, json!({"preUpgrade": hook("hang")})).await;
    change(&stage, "ready:2").await;
    let failed = stage.reason("s", "Upgrading", "PreUpgradeFailed").await;
    let message = condition(&failed, "Upgrading")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("longer than 30s"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_that_does_not_start_is_explained_and_replaced_by_the_next() {
    let stage = Stage::open().await;
    running(&stage, json!({})).await;
    change(&stage, "broken:2").await;
    let failed = stage.reason("s", "Upgrading", "UpgradePodFailed").await;
    assert!(condition(&failed, "Upgrading")["message"].as_str().unwrap().contains("no such image"));
    stage.told("UpgradePodFailed").await;
    change(&stage, "ready:3").await;
    stage.reason("s", "Upgrading", "Succeeded").await;
}

#[tokio::test(start_paused = true)]
async fn what_needs_checkpoints_is_said_and_not_done() {
    let stage = Stage::open().await;
    stage.sandbox("s", "ready:1", json!({"upgradePolicy": {"type": "CheckpointRestore"}})).await;
    stage.runs("s").await;
    let old = stage.life("s").await;
    change(&stage, "ready:2").await;
    let told = stage.reason("s", "Upgrading", "CheckpointFailed").await;
    assert_eq!(told["status"]["phase"], "Running");
    assert_eq!(stage.life("s").await, old);
}
