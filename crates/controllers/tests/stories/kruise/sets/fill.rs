//! Sets fill, and fill again, and never make one too many.

use std::time::Duration;

use controllers::kinds::Kind;
use serde_json::json;

use super::{CLAIMED, HASH, POOL, demo, full, name, open, says, take, watch_counts};
use crate::stage::{Stage, condition, controller};

#[tokio::test(start_paused = true)]
async fn a_set_fills_with_three_writes_a_sandbox_and_then_rests() {
    let stage = open(10).await;
    stage.pass(Duration::from_secs(60)).await;
    let set = stage.get(Kind::SandboxSet, "demo").await.unwrap();
    let status = &set["status"];
    let revision = status["updateRevision"].as_str().unwrap();
    assert!(revision.bytes().all(|byte| b"456789bcdf".contains(&byte)), "{revision}");
    assert_eq!(status["selector"], format!("{CLAIMED}=false,{POOL}=demo"));
    assert_eq!(status["currentRevision"], format!("demo-{revision}"));
    assert_eq!(condition(&set, "Available")["status"], "True");
    assert_eq!(set["spec"]["updateStrategy"]["maxUnavailable"], "20%");

    for sandbox in stage.list(Kind::KruiseSandbox).await {
        assert_eq!(controller(&sandbox), ("SandboxSet".to_owned(), "demo".to_owned()));
        let pod = stage.get(Kind::Pod, &name(&sandbox)).await.unwrap();
        assert_eq!(pod["metadata"]["annotations"]["foo"], "bar");
        for object in [&sandbox, &pod] {
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels[POOL], "demo");
            assert_eq!(labels[CLAIMED], "false");
            assert_eq!(labels[HASH], revision);
        }
    }
    let template = stage.get(Kind::KruiseTemplate, &format!("demo-{revision}")).await.unwrap();
    assert_eq!(template["metadata"]["ownerReferences"][0]["blockOwnerDeletion"], false);

    let writes = stage.wire.writes();
    let count = |verb: &str, part: &str, end: &str| {
        let fits = |w: &&String| w.starts_with(verb) && w.contains(part) && w.ends_with(end);
        writes.iter().filter(fits).count()
    };
    assert_eq!(count("POST", "", "/sandboxes"), 10, "{writes:#?}");
    assert_eq!(count("POST", "", "/pods"), 10);
    assert_eq!(count("PATCH", "/sandboxes/", "/status"), 10, "{writes:#?}");
    assert_eq!(count("POST", "", "/sandboxtemplates"), 1);
    assert!(count("PATCH", "/sandboxsets/", "/status") <= 6, "{writes:#?}");
    assert_eq!(count("PATCH", "/sandboxes/", "") - count("PATCH", "/sandboxes/", "/status"), 0);
    // Nothing more is written once all is as it should be.
    stage.wire.clear();
    stage.pass(Duration::from_secs(3600)).await;
    assert_eq!(stage.wire.writes(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_seen_in_four_stages() {
    let stage = open(3).await;
    stage.pass(Duration::from_secs(10)).await;
    let seen = watch_counts(&stage);
    stage.until("the watch begins", async || (!seen.lock().is_empty()).then_some(())).await;
    let taken = stage.list(Kind::KruiseSandbox).await.remove(0);
    take(&stage, &taken, "somebody").await;
    stage
        .until("the set is full again", async || {
            (seen.lock().len() > 1 && seen.lock().last() == Some(&(3, 3))).then_some(())
        })
        .await;
    assert_eq!(*seen.lock(), [(3, 3), (2, 2), (3, 2), (3, 3)]);
    assert!(stage.get(Kind::KruiseSandbox, &name(&taken)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_refill_never_makes_one_too_many() {
    let stage = open(20).await;
    let seen = watch_counts(&stage);
    stage.patch(Kind::SandboxSet, "demo/scale", json!({"spec": {"replicas": 300}})).await;
    // Others take meanwhile, as fast as they can.
    for round in 0..10 {
        stage.pass(Duration::from_millis(60)).await;
        let warm = stage.list(Kind::KruiseSandbox).await.into_iter().find(|sandbox| {
            condition(sandbox, "Ready")["status"] == "True" && controller(sandbox).0 == "SandboxSet"
        });
        if let Some(warm) = warm {
            take(&stage, &warm, &format!("somebody-{round}")).await;
        }
    }
    full(&stage, 300).await;
    let sandboxes = stage.list(Kind::KruiseSandbox).await;
    let taken = sandboxes.iter().filter(|sandbox| controller(sandbox).0 != "SandboxSet").count();
    assert_eq!(sandboxes.len(), 300 + taken);
    assert!(seen.lock().iter().all(|(replicas, _)| *replicas <= 300), "{:?}", seen.lock());
    let writes = stage.wire.writes();
    assert!(writes.iter().all(|write| !write.starts_with("DELETE")), "{writes:#?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_start_at_once_than_the_set_allows() {
    let stage = Stage::open().await;
    let mut set = demo(6);
    set["spec"]["scaleStrategy"] = json!({"maxUnavailable": 2});
    set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("soon:1");
    stage.create(Kind::SandboxSet, set).await;
    let limited = says(&stage, "ScalingLimited", "StartupLimit").await;
    assert_eq!(limited["status"], "True");
    let seen = watch_counts(&stage);
    full(&stage, 6).await;
    assert!(
        seen.lock().iter().all(|(replicas, available)| replicas - available <= 2),
        "{:?}",
        seen.lock()
    );
    assert_eq!(says(&stage, "ScalingLimited", "NotLimited").await["status"], "False");
    // Zero is a wish, too.
    stage
        .patch(
            Kind::SandboxSet,
            "demo",
            json!({"spec": {"replicas": 7, "scaleStrategy": {"maxUnavailable": 0}}}),
        )
        .await;
    says(&stage, "ScalingLimited", "StartupLimit").await;
    stage.pass(Duration::from_secs(60)).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 6);
}
