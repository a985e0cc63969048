//! Claims of several sandboxes: from warm ones, cold ones, against others, and through crashes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use controllers::kinds::Kind;
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::stage::{Stage, condition};
use crate::wire::Fault;

const GROUP: &str = "agents.kruise.io";

impl Stage {
    async fn set(&self, name: &str, image: &str, replicas: u32) {
        let spec = json!({"replicas": replicas, "template": {"spec": {"containers": [{"name": "main", "image": image}]}}});
        self.create(Kind::SandboxSet, json!({"metadata": {"name": name}, "spec": spec})).await;
    }

    async fn stocked(&self, set: &str, ready: u64) {
        self.until(&format!("set {set} has {ready} available"), async || {
            let status = self.get(Kind::SandboxSet, set).await?["status"].clone();
            let says = |field: &str| status[field].as_u64().unwrap_or(0);
            (says("availableReplicas") == ready && says("replicas") == ready).then_some(())
        })
        .await;
    }

    async fn ask(&self, name: &str, set: &str, spec: Value) -> Value {
        let mut spec = spec;
        spec["templateName"] = json!(set);
        self.create(Kind::KruiseClaim, json!({"metadata": {"name": name}, "spec": spec})).await
    }

    /// Waits until the claim is over and returns it.
    async fn over(&self, claim: &str) -> Value {
        self.until(&format!("claim {claim} is over"), async || {
            let claim = self.get(Kind::KruiseClaim, claim).await?;
            (claim["status"]["phase"] == "Completed").then_some(claim)
        })
        .await
    }

    /// The sandboxes that carry the claim's mark.
    async fn of_claim(&self, claim: &Value) -> Vec<Value> {
        let sandboxes = self.list(Kind::KruiseSandbox).await;
        let mine = |it: &Value| note(it, "owner") == claim["metadata"]["uid"];
        sandboxes.into_iter().filter(mine).collect()
    }

    async fn stocked_set(replicas: u32) -> Stage {
        let stage = Stage::open().await;
        stage.set("demo", "ready", replicas).await;
        stage.stocked("demo", replicas.into()).await;
        stage
    }
}

fn note(object: &Value, key: &str) -> Value {
    object["metadata"]["annotations"][format!("{GROUP}/{key}")].clone()
}

fn label(object: &Value, key: &str) -> Value {
    object["metadata"]["labels"][format!("{GROUP}/{key}")].clone()
}

fn names(sandboxes: &[Value]) -> BTreeSet<String> {
    sandboxes.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn told(claim: &Value) -> BTreeSet<String> {
    let listed = claim["status"]["sandboxes"].as_array().cloned().unwrap_or_default();
    listed.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn three_of_five_warm_ones_are_claimed_and_the_set_refills() {
    let stage = Stage::stocked_set(5).await;
    let warm = names(&stage.list(Kind::KruiseSandbox).await);
    let spec = json!({"replicas": 3, "labels": {"team": "red"}, "annotations": {"note": "n"},
                      "shutdownTime": "2031-01-01T00:00:00Z", "pauseTime": "2030-12-01T00:00:00Z"});
    stage.ask("c", "demo", spec).await;
    let claim = stage.over("c").await;
    let status = &claim["status"];
    assert_eq!(status["message"], "Successfully claimed 3/3 sandboxes");
    assert_eq!(status["claimedReplicas"], 3);
    assert_eq!(condition(&claim, "Completed")["reason"], "AllReplicasClaimed");
    assert!(status["completionTime"].is_string() && status["claimStartTime"].is_string());
    let mine = stage.of_claim(&claim).await;
    assert_eq!(names(&mine), told(&claim));
    assert!(names(&mine).is_subset(&warm), "all were warm");
    for sandbox in &mine {
        assert!(sandbox["metadata"].get("ownerReferences").is_none());
        assert_eq!(label(sandbox, "sandbox-claimed"), "true");
        assert_eq!(label(sandbox, "claim-name"), "c");
        assert_eq!(sandbox["metadata"]["labels"]["team"], "red");
        assert_eq!(sandbox["spec"]["shutdownTime"], "2031-01-01T00:00:00Z");
        assert_eq!(sandbox["spec"]["pauseTime"], "2030-12-01T00:00:00Z");
    }
    stage.stocked("demo", 5).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 8);
    for name in names(&mine) {
        stage
            .until("the pod follows", async || {
                let pod = stage.get(Kind::Pod, &name).await?;
                let labels = &pod["metadata"]["labels"];
                (labels[format!("{GROUP}/owner")] == claim["metadata"]["uid"]
                    && labels["team"] == "red"
                    && pod["metadata"]["annotations"]["note"] == "n")
                    .then_some(())
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_warm_claim_costs_one_write_for_each_sandbox_and_one_for_itself() {
    for count in [1, 3] {
        let stage = Stage::stocked_set(4).await;
        stage.wire.clear();
        stage.ask("c", "demo", json!({"replicas": count})).await;
        let claim = stage.over("c").await;
        let mine = told(&claim);
        let concerns = |write: &String| {
            write.contains("sandboxclaims/c") || mine.iter().any(|name| write.contains(name))
        };
        // What follows when the claim is told, such as the pod's label, is nobody's wait.
        let until_told: Vec<String> = stage.wire.writes().into_iter().filter(concerns).collect();
        let (last, binds) = until_told[..=count].split_last().unwrap();
        assert!(last.ends_with("sandboxclaims/c/status"), "{until_told:#?}");
        assert!(binds.iter().all(|it| it.starts_with("PATCH") && it.contains("/sandboxes/")));
        stage.stocked("demo", 4).await;
        stage.pass(Duration::from_secs(60)).await;
        let told = stage.wire.writes().iter().filter(|it| it.contains("sandboxclaims")).count();
        assert_eq!(told, 1, "{:#?}", stage.wire.writes());
    }
}

#[tokio::test(start_paused = true)]
async fn two_claims_race_for_the_last_one() {
    let stage = Stage::open().await;
    stage.set("demo", "soon", 1).await;
    stage.stocked("demo", 1).await;
    for name in ["a", "b"] {
        stage.ask(name, "demo", json!({"createOnNoStock": false})).await;
    }
    let (a, b) = (stage.over("a").await, stage.over("b").await);
    assert_eq!((told(&a).len(), told(&b).len()), (1, 1));
    assert_ne!(told(&a), told(&b));
    stage.stocked("demo", 1).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn claims_are_served_in_the_order_in_which_they_came() {
    let stage = Stage::open().await;
    stage.set("demo", "ready", 0).await;
    for name in ["a", "b", "c"] {
        stage.ask(name, "demo", json!({"replicas": 2, "createOnNoStock": false})).await;
        stage.pass(Duration::from_millis(50)).await;
    }
    let started = stage
        .until("all wait", async || {
            let claims = stage.list(Kind::KruiseClaim).await;
            claims.iter().all(|it| it["status"]["phase"] == "Claiming").then_some(claims)
        })
        .await;
    assert_eq!(condition(&started[0], "Completed")["reason"], "NoStock");
    assert_eq!(condition(&started[2], "Completed")["reason"], "InLine");
    stage.patch(Kind::SandboxSet, "demo", json!({"spec": {"replicas": 1}})).await;
    let first = stage.over("a").await;
    let last = stage.over("c").await;
    let ended = |claim: &Value| claim["status"]["completionTime"].as_str().unwrap().to_owned();
    assert!(ended(&first) <= ended(&last));
    let all: Vec<BTreeSet<String>> =
        [first, stage.over("b").await, last].iter().map(told).collect();
    assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), 6);
}

/// Another program of the family takes sandboxes with a lock and one conditional write, beside us.
#[tokio::test(start_paused = true)]
async fn a_claimer_from_outside_is_respected() {
    let stage = Stage::stocked_set(3).await;
    let warm = stage.list(Kind::KruiseSandbox).await;
    let mark = |it: &Value, owner_references: Value, claimed: &str| {
        json!({"metadata": {
            "resourceVersion": it["metadata"]["resourceVersion"],
            "ownerReferences": owner_references,
            "labels": {"agents.kruise.io/sandbox-claimed": claimed},
            "annotations": {"agents.kruise.io/lock": "theirs", "agents.kruise.io/owner": "key-1"},
        }})
    };
    let (taken, locked) = (&warm[0], &warm[1]);
    let name = |it: &Value| it["metadata"]["name"].as_str().unwrap().to_owned();
    stage.patch(Kind::KruiseSandbox, &name(taken), mark(taken, json!([]), "true")).await;
    let owners = locked["metadata"]["ownerReferences"].clone();
    stage.patch(Kind::KruiseSandbox, &name(locked), mark(locked, owners, "false")).await;
    stage.ask("c", "demo", json!({"replicas": 3})).await;
    let claim = stage.over("c").await;
    assert_eq!(told(&claim).len(), 3);
    assert!(!told(&claim).contains(&name(taken)) && !told(&claim).contains(&name(locked)));
    let theirs = stage.get(Kind::KruiseSandbox, &name(taken)).await.unwrap();
    assert_eq!(note(&theirs, "owner"), "key-1");
}

#[tokio::test(start_paused = true)]
async fn a_claim_before_its_set_waits_for_it() {
    let stage = Stage::open().await;
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let waiting = stage
        .until("the claim says what is missing", async || {
            let claim = stage.get(Kind::KruiseClaim, "c").await?;
            (condition(&claim, "Completed")["reason"] == "WarmPoolNotFound").then_some(claim)
        })
        .await;
    assert_eq!(waiting["status"]["phase"], "Claiming");
    assert_eq!(waiting["status"]["message"], "Claiming sandboxes: 0/2 claimed");
    stage.set("demo", "ready", 2).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["message"], "Successfully claimed 2/2 sandboxes");
}

#[tokio::test(start_paused = true)]
async fn a_claim_gives_up_after_its_timeout_with_what_it_has() {
    let stage = Stage::stocked_set(1).await;
    stage
        .patch(Kind::SandboxSet, "demo", json!({"spec": {"scaleStrategy": {"maxUnavailable": 0}}}))
        .await;
    let spec = json!({"replicas": 2, "createOnNoStock": false, "claimTimeout": "5s"});
    stage.ask("c", "demo", spec.clone()).await;
    stage.ask("lost", "nowhere", spec).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["message"], "Timeout reached after 5s, claimed 1/2 sandboxes");
    assert_eq!(condition(&claim, "Completed")["reason"], "TimeoutReached");
    assert_eq!(condition(&claim, "TimedOut")["reason"], "ClaimTimeoutReached");
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
    let lost = stage.over("lost").await;
    assert_eq!(lost["status"]["message"], "SandboxSet nowhere not found");
    assert_eq!(condition(&lost, "Completed")["reason"], "SandboxSetNotFound");
    assert_eq!(lost["status"]["claimedReplicas"], 0);
}

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

#[tokio::test(start_paused = true)]
async fn a_deleted_claim_leaves_its_sandboxes_and_a_deleted_sandbox_is_not_replaced() {
    let stage = Stage::stocked_set(3).await;
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let claim = stage.over("c").await;
    let mine = told(&claim);
    let first = mine.first().unwrap();
    stage.delete(Kind::KruiseSandbox, first).await;
    stage.pass(Duration::from_secs(30)).await;
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
    stage.delete(Kind::KruiseClaim, "c").await;
    stage.pass(Duration::from_secs(30)).await;
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
    // A claim of the same name is another claim.
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let again = stage.over("c").await;
    assert!(told(&again).is_disjoint(&mine));
}

#[tokio::test(start_paused = true)]
async fn a_claim_goes_after_its_time_and_its_sandboxes_stay() {
    let stage = Stage::stocked_set(2).await;
    stage.ask("short", "demo", json!({"ttlAfterCompleted": "10s"})).await;
    stage.ask("long", "demo", json!({"ttlAfterCompleted": "-1s"})).await;
    let claim = stage.over("short").await;
    stage.over("long").await;
    stage.pass(Duration::from_secs(8)).await;
    assert!(stage.get(Kind::KruiseClaim, "short").await.is_some());
    stage
        .until("it is gone", async || {
            stage.get(Kind::KruiseClaim, "short").await.is_none().then_some(())
        })
        .await;
    stage.pass(Duration::from_secs(7200)).await;
    assert!(stage.get(Kind::KruiseClaim, "long").await.is_some());
    assert_eq!(stage.of_claim(&claim).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_and_taken_back_is_told_again() {
    let stage = Stage::stocked_set(3).await;
    stage.ask("c", "demo", json!({"replicas": 2})).await;
    let before = told(&stage.over("c").await);
    for lie in [json!({"status": {"claimedReplicas": 0}}), json!({"status": null})] {
        stage.patch(Kind::KruiseClaim, "c/status", lie).await;
        stage
            .until("the claim says what it has", async || {
                let claim = stage.get(Kind::KruiseClaim, "c").await?;
                (claim["status"]["claimedReplicas"] == 2 && told(&claim) == before).then_some(())
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn variables_without_a_runtime_are_said_to_be_undeliverable() {
    let stage = Stage::stocked_set(1).await;
    stage.ask("c", "demo", json!({"envVars": {"A": "1"}})).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["claimedReplicas"], 1);
    assert_eq!(condition(&claim, "EnvVarsDelivered")["status"], "False");
    assert_eq!(condition(&claim, "EnvVarsDelivered")["reason"], "NoRuntime");
    stage
        .until("an event says so too", async || {
            let events =
                stage.send(Method::GET, "/api/v1/namespaces/default/events", None).await.unwrap();
            let events = events["items"].as_array().unwrap().clone();
            let said = events.iter().any(|it| {
                it["reason"] == "EnvVarsNotDelivered" && it["involvedObject"]["name"] == "c"
            });
            said.then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_set_can_not_do_is_said() {
    let stage = Stage::stocked_set(1).await;
    let spec =
        json!({"claimTimeout": "3s", "inplaceUpdate": {"resources": {"requests": {"cpu": "1"}}}});
    stage.ask("c", "demo", spec).await;
    let claim = stage.over("c").await;
    assert_eq!(claim["status"]["claimedReplicas"], 0);
    let why = condition(&claim, "Completed")["message"].as_str().unwrap().to_owned();
    assert!(why.contains("has no requests.cpu"), "{why}");
    stage.stocked("demo", 1).await;
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

#[tokio::test(start_paused = true)]
async fn a_hundred_are_claimed_in_few_reports() {
    let stage = Stage::stocked_set(100).await;
    stage.wire.clear();
    stage.ask("c", "demo", json!({"replicas": 100})).await;
    let claim = stage.over("c").await;
    assert_eq!((told(&claim).len(), stage.of_claim(&claim).await.len()), (100, 100));
    let writes = stage.wire.writes();
    let reports = writes.iter().filter(|it| it.contains("sandboxclaims")).count();
    assert!(reports <= 2, "{reports}");
    stage.stocked("demo", 100).await;
    assert_eq!(stage.list(Kind::KruiseSandbox).await.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_give_a_claim_no_more_than_it_asked_for() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest, Fault::Refuse] {
        for (method, path) in [
            (Method::PATCH, "agents.kruise.io/v1alpha1/namespaces/default/sandboxes/"),
            (Method::PATCH, "sandboxclaims/c/status"),
            (Method::POST, "agents.kruise.io/v1alpha1/namespaces/default/sandboxes"),
        ] {
            let cold = method == Method::POST;
            let stage = Stage::stocked_set(if cold { 0 } else { 3 }).await;
            stage.wire.break_next(method.clone(), path, fault);
            stage.ask("c", "demo", json!({"replicas": 2})).await;
            let claim = stage.over("c").await;
            assert!(stage.wire.is_whole());
            stage.pass(Duration::from_secs(60)).await;
            let mine = stage.of_claim(&claim).await;
            assert_eq!((mine.len(), names(&mine)), (2, told(&claim)), "{fault:?} {method} {path}");
        }
    }
}

/// The controllers die after any number of writes. Whoever comes after them counts what carries the claim's mark.
#[tokio::test(start_paused = true)]
async fn a_crash_between_any_two_writes_gives_a_claim_no_more_than_it_asked_for() {
    for cold in [false, true] {
        for writes in 0..6 {
            let mut stage = Stage::stocked_set(if cold { 0 } else { 4 }).await;
            stage.wire.stop_after(writes);
            stage.ask("c", "demo", json!({"replicas": 3})).await;
            stage
                .until("they hang, or are done", async || {
                    let claim = stage.get(Kind::KruiseClaim, "c").await?;
                    let done = claim["status"]["phase"] == "Completed";
                    (stage.wire.is_stopped() || done).then_some(())
                })
                .await;
            stage.pass(Duration::from_millis(100)).await;
            let dead = stage.take();
            dead.task.abort();
            let _ = dead.task.await;
            stage.wire.go_on();
            stage.enter(|_| {});
            let claim = stage.over("c").await;
            stage.pass(Duration::from_secs(60)).await;
            let mine = stage.of_claim(&claim).await;
            assert_eq!(
                (mine.len(), names(&mine)),
                (3, told(&claim)),
                "cold {cold}, after {writes}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_claims_are_refused_at_the_door() {
    let stage = Stage::stocked_set(1).await;
    stage.ask("c", "demo", json!({"replicas": 1, "dynamicVolumesMount": null})).await;
    let path = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxclaims";
    let refused = async |spec: Value| {
        let body = json!({"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxClaim", "metadata": {"name": "bad"}, "spec": spec});
        stage.send(Method::POST, path, Some(&body)).await.unwrap_err().to_string()
    };
    let table = [
        (json!({"templateName": "demo", "replicas": 0}), "spec.replicas"),
        (
            json!({"templateName": "demo", "claimTimeout": "500ms"}),
            "claimTimeout must be at least 1s",
        ),
        (
            json!({"templateName": "demo", "waitReadyTimeout": "0s"}),
            "waitReadyTimeout must be at least 1s",
        ),
        (json!({"templateName": "demo", "claimTimeout": "soon"}), "spec.claimTimeout"),
        (
            json!({"templateName": "demo", "labels": {"agents.kruise.io/sandbox-id": "x"}}),
            "labels may not set agents.kruise.io/sandbox-id",
        ),
        (
            json!({"templateName": "demo", "annotations": {"agents.kruise.io/sandbox-id": "x"}}),
            "annotations may not set agents.kruise.io/sandbox-id",
        ),
        (json!({"replicas": 1}), "templateName"),
    ];
    for (spec, expected) in table {
        let said = refused(spec.clone()).await;
        assert!(said.contains(expected), "{spec}: {said}");
    }
    let changed = stage
        .send(Method::PATCH, &format!("{path}/c"), Some(&json!({"spec": {"replicas": 2}})))
        .await
        .unwrap_err()
        .to_string();
    assert!(changed.contains("replicas is immutable"), "{changed}");
    let plain = stage.get(Kind::KruiseClaim, "c").await.unwrap();
    let spec = &plain["spec"];
    assert_eq!((&spec["claimTimeout"], &spec["ttlAfterCompleted"]), (&json!("1m"), &json!("60m")));
    assert_eq!(
        (&spec["createOnNoStock"], &spec["waitReadyTimeout"]),
        (&json!(true), &json!("30s"))
    );
}
