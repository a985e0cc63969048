//! The life of one sandbox: start, pause, resume, timers, losses, ends.

use std::time::Duration;

use controllers::kinds::Kind;
use http::Method;
use serde_json::{Value, json};

use super::{sandbox, volume};
use crate::stage::{Stage, condition};
use crate::wire::Fault;

#[tokio::test(start_paused = true)]
async fn a_sandbox_runs_in_a_pod_of_its_name() {
    let stage = Stage::open().await;
    stage.sandbox("s", "ready", json!({"persistentContents": ["ip"]})).await;
    let sandbox = stage.runs("s").await;
    let pod = stage.get(Kind::Pod, "s").await.unwrap();
    assert_eq!(pod["metadata"]["labels"]["app"], "s");
    assert_eq!(pod["metadata"]["labels"]["agents.kruise.io/created-by"], "sandbox");
    assert_eq!(pod["metadata"]["labels"]["pod-template-hash"], sandbox["status"]["updateRevision"]);
    assert_eq!(sandbox["status"]["podInfo"]["podUID"], pod["metadata"]["uid"]);
    assert_eq!(sandbox["status"]["sandboxIp"], pod["status"]["podIP"]);
    assert_eq!(sandbox["status"]["observedGeneration"], 1);
    assert!(sandbox["metadata"].get("finalizers").is_none());
    assert_eq!(stage.told("SandboxRunning").await, "Sandbox started");
}

/// A set of three, filled. Returns the name of one of its sandboxes.
async fn filled(stage: &Stage, image: &str) -> String {
    let template = json!({"spec": {"containers": [{"name": "main", "image": image}]}});
    let set = json!({"metadata": {"name": "demo"}, "spec": {"replicas": 3, "template": template}});
    stage.create(Kind::SandboxSet, set).await;
    stage
        .until("the set is full", async || {
            let set = stage.get(Kind::SandboxSet, "demo").await?;
            (set["status"]["availableReplicas"] == 3).then_some(())
        })
        .await;
    stage.pass(Duration::from_secs(120)).await;
    stage.list(Kind::KruiseSandbox).await[0]["metadata"]["name"].as_str().unwrap().to_owned()
}

/// The budget: the sandbox is made by its set, then there is one pod and one report, and nothing more.
#[tokio::test(start_paused = true)]
async fn a_warm_sandbox_costs_three_writes() {
    let stage = Stage::open().await;
    filled(&stage, "soon").await;
    let about =
        |part: &str| stage.wire.writes().iter().filter(|write| write.contains(part)).count();
    assert_eq!((about("/sandboxes"), about("/pods")), (6, 3), "{:?}", stage.wire.writes());
}

/// Whoever takes it writes once; then the pod is marked, and nothing else is said.
#[tokio::test(start_paused = true)]
async fn a_claimed_sandbox_costs_one_write_to_its_pod() {
    let stage = Stage::open().await;
    let name = filled(&stage, "ready").await;
    stage.wire.clear();
    stage
        .patch(Kind::KruiseSandbox, &name, json!({
            "metadata": {
                "ownerReferences": [],
                "labels": {"agents.kruise.io/sandbox-claimed": "true", "agents.kruise.io/claim-name": "c"},
                "annotations": {"agents.kruise.io/owner": "a-claim", "agents.kruise.io/lock": "a-claim"},
            },
        }))
        .await;
    let pod = stage
        .until("the pod is marked", async || {
            let pod = stage.get(Kind::Pod, &name).await?;
            (pod["metadata"]["labels"]["agents.kruise.io/owner"] == "a-claim").then_some(pod)
        })
        .await;
    assert_eq!(pod["metadata"]["labels"]["agents.kruise.io/sandbox-claimed"], "true");
    stage.pass(Duration::from_secs(120)).await;
    let writes: Vec<String> =
        stage.wire.writes().into_iter().filter(|write| write.contains(&name)).collect();
    assert_eq!(writes, [format!("PATCH /api/v1/namespaces/default/pods/{name}")]);

    // Another program of the family marks the template too. That is another generation, and whoever waits for it is told.
    let owner = json!({"spec": {"template": {"metadata": {"labels": {"agents.kruise.io/owner": "a-claim"}}}}});
    stage.patch(Kind::KruiseSandbox, &name, owner).await;
    stage
        .until("the edit is observed", async || {
            let sandbox = stage.get(Kind::KruiseSandbox, &name).await?;
            (sandbox["status"]["observedGeneration"] == 2).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn pause_and_resume_keep_the_volumes() {
    let stage = Stage::open().await;
    stage.sandbox("s", "ready", json!({"volumeClaimTemplates": [volume("data")]})).await;
    stage.runs("s").await;
    let first = stage.life("s").await;
    let data = stage.get(Kind::Volume, "data-s").await.unwrap()["metadata"]["uid"].clone();

    stage.patch(Kind::KruiseSandbox, "s", json!({"spec": {"paused": true}})).await;
    let paused = stage.reason("s", "SandboxPaused", "StopPauseSucceed").await;
    assert_eq!(paused["status"]["phase"], "Paused");
    assert_eq!(condition(&paused, "Ready")["status"], "False");
    assert_eq!(paused["metadata"]["finalizers"], json!(["agents.kruise.io/sandbox"]));
    assert!(paused["status"].get("sandboxIp").is_none());
    assert!(stage.get(Kind::Pod, "s").await.is_none());
    assert_eq!(stage.told("SandboxPaused").await, "Pause sandbox");

    stage.patch(Kind::KruiseSandbox, "s", json!({"spec": {"paused": false}})).await;
    let resuming = stage.phase("s", "Resuming").await;
    assert_eq!(condition(&resuming, "SandboxResumed")["reason"], "CreatePod");
    let running = stage.runs("s").await;
    assert_eq!(condition(&running, "SandboxResumed")["reason"], "ResumePod");
    assert_eq!(condition(&running, "SandboxPaused"), Value::Null);
    assert_ne!(stage.life("s").await, first);
    assert_eq!(stage.get(Kind::Volume, "data-s").await.unwrap()["metadata"]["uid"], data);
    stage
        .until("the finalizer is gone", async || {
            let sandbox = stage.get(Kind::KruiseSandbox, "s").await?;
            sandbox["metadata"].get("finalizers").is_none().then_some(())
        })
        .await;
    assert_eq!(stage.told("SandboxResuming").await, "Resume sandbox");
}

#[tokio::test(start_paused = true)]
async fn a_paused_sandbox_can_be_deleted() {
    let stage = Stage::open().await;
    stage.sandbox("s", "ready", json!({})).await;
    stage.runs("s").await;
    stage.patch(Kind::KruiseSandbox, "s", json!({"spec": {"paused": true}})).await;
    stage.reason("s", "SandboxPaused", "StopPauseSucceed").await;
    stage.delete(Kind::KruiseSandbox, "s").await;
    stage
        .until("it is gone", async || {
            stage.get(Kind::KruiseSandbox, "s").await.is_none().then_some(())
        })
        .await;
}

/// Whatever a crash cuts off is taken up by the next process, from the reported phase alone.
#[tokio::test(start_paused = true)]
async fn a_pause_survives_a_crash_at_each_write() {
    for cut in ["/sandboxes/s", "/pods/s", "/sandboxes/s/status"] {
        let mut stage = Stage::open().await;
        stage.sandbox("s", "ready", json!({})).await;
        stage.runs("s").await;
        let method = if cut == "/pods/s" { Method::DELETE } else { Method::PATCH };
        stage.wire.break_next(method, cut, Fault::LoseAnswer);
        stage.patch(Kind::KruiseSandbox, "s", json!({"spec": {"paused": true}})).await;
        stage.until("the fault has happened", async || stage.wire.is_whole().then_some(())).await;
        stage.take().task.abort();
        stage.enter(|_| {});
        stage.reason("s", "SandboxPaused", "StopPauseSucceed").await;
        stage.patch(Kind::KruiseSandbox, "s", json!({"spec": {"paused": false}})).await;
        stage.runs("s").await;
    }
}

#[tokio::test(start_paused = true)]
async fn timers_pause_and_delete() {
    let stage = Stage::open().await;
    let (pause, shutdown) = (stage.in_seconds(60), stage.in_seconds(600));
    stage.sandbox("s", "ready", json!({"pauseTime": pause, "shutdownTime": shutdown})).await;
    stage.runs("s").await;
    let paused = stage.reason("s", "SandboxPaused", "StopPauseSucceed").await;
    assert_eq!(paused["spec"]["paused"], true);
    assert_eq!(paused["spec"]["pauseTime"], pause.as_str());
    stage
        .until("its time is over", async || {
            stage.get(Kind::KruiseSandbox, "s").await.is_none().then_some(())
        })
        .await;
    assert!(stage.clock.now() >= shutdown.parse().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_is_to_be_kept_gets_more_time_when_it_is_paused() {
    let stage = Stage::open().await;
    let both = stage.in_seconds(60);
    let mut object = sandbox("s", "ready", json!({"pauseTime": both, "shutdownTime": both}));
    object["metadata"]["annotations"] =
        json!({"agents.kruise.io/reserve-paused-sandbox-duration": "1h"});
    stage.create(Kind::KruiseSandbox, object).await;
    stage.runs("s").await;
    let paused = stage.reason("s", "SandboxPaused", "StopPauseSucceed").await;
    let later: jiff::Timestamp = paused["spec"]["shutdownTime"].as_str().unwrap().parse().unwrap();
    assert!(
        later >= both.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_hours(1)
    );
    assert_eq!(paused["spec"]["shutdownTime"], paused["spec"]["pauseTime"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_pod_ends_a_sandbox_without_volumes() {
    let stage = Stage::open().await;
    stage.sandbox("s", "ready", json!({})).await;
    stage.runs("s").await;
    stage.delete(Kind::Pod, "s").await;
    let failed = stage.phase("s", "Failed").await;
    assert_eq!(failed["status"]["message"], "Pod Not Found");
    assert_eq!(condition(&failed, "Ready")["reason"], "PodLost");
    stage.told("SandboxFailed").await;
    stage.pass(Duration::from_secs(60)).await;
    assert!(stage.get(Kind::Pod, "s").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lost_pod_comes_back_on_its_volumes() {
    let stage = Stage::open().await;
    stage.sandbox("s", "ready", json!({"volumeClaimTemplates": [volume("data")]})).await;
    stage.runs("s").await;
    let first = stage.life("s").await;
    let data = stage.get(Kind::Volume, "data-s").await.unwrap()["metadata"]["uid"].clone();
    stage.delete(Kind::Pod, "s").await;
    let lost = stage.phase("s", "Pending").await;
    assert!(lost["status"]["message"].as_str().unwrap().starts_with("Pod Not Found: "));
    let back = stage.runs("s").await;
    assert!(back["status"].get("message").is_none());
    assert_ne!(stage.life("s").await, first);
    assert_eq!(stage.get(Kind::Volume, "data-s").await.unwrap()["metadata"]["uid"], data);

    // Unless somebody wants otherwise.
    stage
        .patch(
            Kind::KruiseSandbox,
            "s",
            json!({"metadata": {"annotations": {"sandbank.agents.kruise.io/on-pod-lost": "Fail"}}}),
        )
        .await;
    stage.delete(Kind::Pod, "s").await;
    stage.phase("s", "Failed").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ended_ends_the_sandbox() {
    let stage = Stage::open().await;
    stage.sandbox("s", "done", json!({})).await;
    let ended = stage.phase("s", "Succeeded").await;
    assert_eq!(ended["status"]["message"], "Pod status phase is Succeeded");
    let writes = stage.wire.writes().len();
    stage.pass(Duration::from_secs(300)).await;
    assert_eq!(stage.wire.writes().len(), writes, "nothing is done about it any more");
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_an_earlier_sandbox_is_waited_for() {
    let stage = Stage::open().await;
    let owner = json!({"apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "name": "s",
                       "uid": "an-earlier-life", "controller": true});
    // The collector would remove a pod whose owner is gone; a finalizer stands for its being late.
    stage
        .create(
            Kind::Pod,
            json!({
                "metadata": {"name": "s", "ownerReferences": [owner], "finalizers": ["test/late"],
                             "labels": {"agents.kruise.io/created-by": "sandbox"}},
                "spec": {"containers": [{"name": "main", "image": "ready"}]},
            }),
        )
        .await;
    stage.sandbox("s", "ready", json!({})).await;
    let waiting = stage.reason("s", "Ready", "PodCreateFailed").await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    assert!(condition(&waiting, "Ready")["message"].as_str().unwrap().contains("earlier sandbox"));
    stage.told("PodOwnerMismatch").await;
    stage.patch(Kind::Pod, "s", json!({"metadata": {"finalizers": null}})).await;
    let running = stage.runs("s").await;
    assert_eq!(running["status"]["podInfo"]["podUID"], stage.life("s").await);
}

#[tokio::test(start_paused = true)]
async fn a_strangers_pod_is_left_alone_and_named() {
    let stage = Stage::open().await;
    stage
        .create(Kind::Pod, json!({"metadata": {"name": "s"}, "spec": {"containers": [{"name": "main", "image": "ready"}]}}))
        .await;
    stage.sandbox("s", "ready", json!({})).await;
    let told = stage.reason("s", "Ready", "PodCreateFailed").await;
    assert!(condition(&told, "Ready")["message"].as_str().unwrap().contains("does not belong"));
    // When the stranger is gone the sandbox goes on, although no watch shows that pod.
    stage.delete(Kind::Pod, "s").await;
    stage.runs("s").await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_image_is_explained() {
    let stage = Stage::open().await;
    stage.sandbox("s", "broken", json!({})).await;
    let told = stage.reason("s", "Ready", "ImagePullBackOff").await;
    assert_eq!(told["status"]["phase"], "Pending");
    assert!(condition(&told, "Ready")["message"].as_str().unwrap().contains("no such image"));
    assert!(told["status"]["message"].as_str().unwrap().contains("no such image"));
    let writes = stage.wire.writes().len();
    stage.pass(Duration::from_secs(300)).await;
    assert_eq!(stage.wire.writes().len(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_explained_and_tried_again() {
    let stage = Stage::open().await;
    for _ in 0..4 {
        stage.wire.break_next(Method::POST, "/pods", Fault::Refuse);
    }
    stage.sandbox("s", "slow", json!({})).await;
    let told = stage.reason("s", "Ready", "PodCreateFailed").await;
    assert!(condition(&told, "Ready")["message"].as_str().unwrap().contains("exceeded quota"));
    assert!(stage.told("PodCreateFailed").await.starts_with("Failed to create pod: "));
    stage.runs("s").await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_comes_later_is_taken_up() {
    let stage = Stage::open().await;
    let object = json!({"metadata": {"name": "s"}, "spec": {"templateRef": {"name": "t"}}});
    stage.create(Kind::KruiseSandbox, object).await;
    let told = stage.reason("s", "Ready", "PodCreateFailed").await;
    assert!(condition(&told, "Ready")["message"].as_str().unwrap().contains("\"t\""));
    let template = json!({"metadata": {"name": "t"}, "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "ready"}]}}}});
    stage.create(Kind::KruiseTemplate, template).await;
    stage.runs("s").await;
}
