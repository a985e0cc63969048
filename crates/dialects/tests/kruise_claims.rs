//! Claims of the OpenKruise family: objects in, views, patches and statuses out.

mod given;

use engine::batch::{Answer, Content, Delivered, Ending, Failed, Handover, HoldingState, Stock};
use engine::{Code, Key, Reason, Trouble, TroubleKind};
use given::{patched, read};
use jiff::{SignedDuration, Timestamp};
use sandbank_dialects::condition::find;
use sandbank_dialects::kruise::build::{bind, cold};
use sandbank_dialects::kruise::claim::Inside;
use sandbank_dialects::kruise::claim_status::status_patch;
use sandbank_dialects::kruise::runtime::{InitRequest, Introduction};
use sandbank_dialects::kruise::{Sandbox, SandboxClaim};
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T00:01:00.123456Z".parse().expect("a time")
}

fn claim(spec: Value, status: Value) -> SandboxClaim {
    let mut spec = spec;
    spec["templateName"] = json!("demo");
    read(json!({
        "metadata": {"name": "alice", "namespace": "ns", "uid": "uid-alice", "generation": 1,
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec, "status": status,
    }))
}

/// A sandbox as a set keeps it.
fn warm() -> Value {
    json!({
        "metadata": {
            "name": "demo-abcde", "namespace": "ns", "uid": "uid-1", "resourceVersion": "7", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"agents.kruise.io/sandbox-pool": "demo", "agents.kruise.io/sandbox-claimed": "false", "app": "x"},
            "ownerReferences": [{"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxSet", "name": "demo", "uid": "uid-demo", "controller": true}],
        },
        "spec": {
            "persistentContents": ["ip"],
            "template": {
                "metadata": {"annotations": {"foo": "bar"}},
                "spec": {"restartPolicy": "Always", "containers": [
                    {"name": "nginx", "image": "nginx:alpine", "resources": {"requests": {"cpu": "100m"}}},
                    {"name": "side", "image": "side:1"},
                ]},
            },
        },
        "status": {"phase": "Running", "observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "PodReady"}]},
    })
}

fn sandbox(object: Value) -> Sandbox {
    read(object)
}

#[test]
fn what_is_not_said_is_as_the_schema_has_it() {
    let plain = claim(json!({"dynamicVolumesMount": null}), Value::Null);
    let terms = plain.terms(Inside::Silent);
    assert_eq!(plain.spec.replicas, 1);
    assert_eq!((terms.stock, terms.failed), (Stock::Create, Failed::Discard));
    assert_eq!(terms.handover, Handover::AsItIs);
    assert_eq!(terms.patience, SignedDuration::from_mins(1));
    assert_eq!(terms.readiness, SignedDuration::from_secs(30));
    assert_eq!(terms.keep, Some(SignedDuration::from_hours(1)));

    let said = json!({"claimTimeout": "1m30s", "waitReadyTimeout": "2s", "ttlAfterCompleted": "-1s",
                      "createOnNoStock": false, "reserveFailedSandbox": true, "inplaceUpdate": {"image": "i"}});
    let terms = claim(said, Value::Null).terms(Inside::Silent);
    assert_eq!((terms.stock, terms.failed), (Stock::Wait, Failed::Reserve));
    assert_eq!(terms.handover, Handover::Prepared);
    assert_eq!(terms.patience, SignedDuration::from_secs(90));
    assert_eq!(terms.readiness, SignedDuration::from_secs(2));
    assert_eq!(terms.keep, None);
    assert_eq!(plain.terms(Inside::Runtime).handover, Handover::Prepared);
}

#[test]
fn one_write_makes_a_sandbox_the_claims() {
    let spec = json!({
        "labels": {"team": "red", "agents.kruise.io/sandbox-claimed": "false"},
        "annotations": {"note": "n", "agents.kruise.io/owner": "mallory", "e2b.agents.kruise.io/x": "y"},
        "shutdownTime": "2026-01-01T01:00:00Z", "pauseTime": "2026-01-01T00:30:00Z",
        "inplaceUpdate": {"image": "nginx:2", "resources": {"requests": {"cpu": "200m"}}},
    });
    let claim = claim(spec, Value::Null);
    let before = sandbox(warm());
    let request = InitRequest {
        env_vars: [("A".to_owned(), "1".to_owned())].into(),
        access_token: "t".to_owned(),
    };
    let init = Introduction { request, url: Some("http://10.0.0.1:49983".to_owned()) };
    let precondition = before.metadata.precondition();
    let patch = bind::bind(&before, &precondition, &claim, now(), Some(&init)).unwrap();
    assert_eq!(patch["metadata"]["uid"], "uid-1");
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    let after = patched(warm(), &patch);
    let metadata = &after["metadata"];
    assert!(metadata.get("ownerReferences").is_none());
    let label = |key: &str| metadata["labels"][format!("agents.kruise.io/{key}")].clone();
    assert_eq!((label("sandbox-claimed"), label("claim-name")), (json!("true"), json!("alice")));
    assert_eq!(
        (label("sandbox-pool"), &metadata["labels"]["team"]),
        (json!("demo"), &json!("red"))
    );
    let note = |key: &str| metadata["annotations"][format!("agents.kruise.io/{key}")].clone();
    assert_eq!((note("owner"), note("lock")), (json!("uid-alice"), json!("uid-alice")));
    assert_eq!(note("claim-timestamp"), "2026-01-01T00:01:00.123456Z");
    assert_eq!(note("runtime-access-token"), "t");
    assert_eq!(note("runtime-url"), "http://10.0.0.1:49983");
    let noted = InitRequest::noted(&sandbox(after.clone()).metadata.annotations);
    assert_eq!(noted, Some(init.request));
    let added: Value =
        serde_json::from_str(note("updated-metadata-in-claim").as_str().unwrap()).unwrap();
    assert_eq!(added["labels"], json!(["agents.kruise.io/sandbox-claimed", "team"]));

    let spec = &after["spec"];
    assert_eq!(
        (&spec["shutdownTime"], &spec["pauseTime"]),
        (&json!("2026-01-01T01:00:00Z"), &json!("2026-01-01T00:30:00Z"))
    );
    let pod = &spec["template"];
    assert_eq!(pod["metadata"]["labels"]["team"], "red");
    assert_eq!(
        pod["metadata"]["annotations"],
        json!({"foo": "bar", "note": "n"}),
        "reserved keys stay out of pods"
    );
    assert_eq!(pod["spec"]["containers"][0]["image"], "nginx:2");
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
    assert_eq!(pod["spec"]["containers"][1], warm()["spec"]["template"]["spec"]["containers"][1]);
    assert_eq!(pod["spec"]["restartPolicy"], "Always");
}

/// Another spec would be another generation, and whoever waits for the sandbox's status would wait until that is observed.
#[test]
fn a_plain_claim_leaves_the_spec_alone() {
    let before = sandbox(warm());
    let plain = claim(json!({}), Value::Null);
    let patch = bind::bind(&before, &before.metadata.precondition(), &plain, now(), None).unwrap();
    assert_eq!(patched(warm(), &patch)["spec"], warm()["spec"]);
}

#[test]
fn a_sandbox_that_refers_to_its_template_gets_no_template_of_its_own() {
    let mut object = warm();
    object["spec"] = json!({"templateRef": {"name": "t"}});
    let before = sandbox(object);
    let plain = claim(json!({}), Value::Null);
    let patch = bind::bind(&before, &before.metadata.precondition(), &plain, now(), None).unwrap();
    assert_eq!(patch["spec"], json!({}));
}

#[test]
fn a_cold_one_is_the_claims_from_its_first_moment() {
    let claim = claim(
        json!({"labels": {"team": "red"}, "inplaceUpdate": {"image": "nginx:2"}}),
        Value::Null,
    );
    let body = cold::cold(warm(), &claim, now(), None).unwrap();
    assert!(body["metadata"].get("ownerReferences").is_none());
    assert_eq!(body["metadata"]["labels"]["agents.kruise.io/sandbox-claimed"], "true");
    assert_eq!(body["metadata"]["annotations"]["agents.kruise.io/owner"], "uid-alice");
    assert_eq!(body["metadata"]["annotations"]["agents.kruise.io/sandbox-priority"], "100");
    assert_eq!(body["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:2");
    assert_eq!(body["spec"]["template"]["metadata"]["labels"]["team"], "red");
}

#[test]
fn how_far_a_sandbox_is() {
    let plain = || claim(json!({}), Value::Null);
    let changing = || claim(json!({"inplaceUpdate": {"image": "nginx:2"}}), Value::Null);
    let ready = |status: &str| json!({"type": "Ready", "status": status, "reason": "PodReady"});
    let told = |status: &str, reason: &str| json!({"type": "RuntimeInitialized", "status": status, "reason": reason, "message": "no"});
    let update = |status: &str, reason: &str| json!({"type": "InplaceUpdate", "status": status, "reason": reason, "message": "infeasible"});
    let with = |phase: &str, seen: i64, conditions: Value| {
        let mut object = warm();
        object["metadata"]["generation"] = json!(2);
        object["status"] =
            json!({"phase": phase, "observedGeneration": seen, "conditions": conditions});
        object
    };
    let cold = |mut object: Value| {
        object["metadata"]["annotations"] = json!({"agents.kruise.io/sandbox-priority": "100"});
        object
    };
    let labelled = |mut object: Value| {
        object["metadata"]["labels"]["agents.kruise.io/reserved-failed-sandbox"] = json!("true");
        object
    };
    let trouble = Trouble { kind: TroubleKind::ImagePull, message: "no image".to_owned() };
    let starting = || HoldingState::Starting(Some(trouble.clone()));
    let broken = |message: &str| HoldingState::Broken { message: message.to_owned() };
    use HoldingState::{Done, Reserved, Untold};
    use Inside::{Runtime, Silent};
    let table = [
        ("as it is", plain(), with("Running", 1, json!([ready("True")])), Silent, Done),
        (
            "not ready any more, which is its user's business",
            plain(),
            with("Running", 1, json!([ready("False")])),
            Silent,
            Done,
        ),
        ("cold, no pod", plain(), cold(with("Pending", 2, json!([]))), Silent, starting()),
        ("cold, ready", plain(), cold(with("Running", 2, json!([ready("True")]))), Silent, Done),
        (
            "cold, paused by its user",
            plain(),
            cold(with("Paused", 2, json!([ready("False")]))),
            Silent,
            Done,
        ),
        (
            "change not seen",
            changing(),
            with("Running", 1, json!([ready("True")])),
            Silent,
            starting(),
        ),
        (
            "change under way",
            changing(),
            with("Running", 2, json!([ready("False"), update("False", "InplaceUpdating")])),
            Silent,
            starting(),
        ),
        (
            "change done",
            changing(),
            with("Running", 2, json!([ready("True"), update("True", "Succeeded")])),
            Silent,
            Done,
        ),
        (
            "change failed",
            changing(),
            with("Running", 2, json!([ready("True"), update("False", "Failed")])),
            Silent,
            broken("infeasible"),
        ),
        ("ended", plain(), with("Failed", 2, json!([])), Silent, broken("Failed")),
        ("put aside", plain(), labelled(with("Failed", 2, json!([]))), Silent, Reserved),
        ("runtime not told", plain(), with("Running", 1, json!([ready("True")])), Runtime, Untold),
        (
            "runtime told",
            plain(),
            with("Running", 1, json!([ready("True"), told("True", "Succeeded")])),
            Runtime,
            Done,
        ),
        (
            "runtime does not answer",
            plain(),
            with("Running", 1, json!([ready("True"), told("False", "Failed")])),
            Runtime,
            broken("no"),
        ),
        ("cold, runtime later", plain(), cold(with("Pending", 2, json!([]))), Runtime, starting()),
    ];
    for (case, claim, object, inside, expected) in table {
        let mut object = object;
        if inside == Runtime {
            object["metadata"]["annotations"]["agents.kruise.io/init-runtime-request"] =
                json!("{}");
        }
        let state = claim.holding(&sandbox(object), Some(trouble.clone())).state;
        assert_eq!(state, expected, "{case}");
    }
}

fn delivered(names: &[&str]) -> Delivered {
    let count = u32::try_from(names.len()).expect("a few");
    Delivered { count, names: names.iter().map(|name| Key::new("ns", name)).collect() }
}

#[test]
fn claims_are_told_in_the_familys_words() {
    let begun = "2026-01-01T00:00:00.9Z".parse().unwrap();
    let claiming = Answer::Claiming {
        started: begun,
        delivered: delivered(&["a"]),
        why: Reason::new(Code::NoStock, "2 more are needed"),
    };
    let completed = |names: &[&str], ending| Answer::Completed {
        started: begun,
        at: now(),
        delivered: delivered(names),
        ending,
    };
    let lacking = Reason::new(Code::TimedOut, "the pool had no more");
    let table = [
        (
            claiming,
            "Claiming",
            "Claiming sandboxes: 1/3 claimed",
            "False NoStock: 2 more are needed",
            None,
        ),
        (
            completed(&["a", "b", "c"], Ending::Whole),
            "Completed",
            "Successfully claimed 3/3 sandboxes",
            "True AllReplicasClaimed: Successfully claimed all 3 sandboxes",
            None,
        ),
        (
            completed(&["a"], Ending::TimedOut(lacking)),
            "Completed",
            "Timeout reached after 1m0s, claimed 1/3 sandboxes",
            "True TimeoutReached: Timeout reached after 1m0s, claimed 1/3 sandboxes: the pool had no more",
            Some("ClaimTimeoutReached"),
        ),
        (
            completed(&[], Ending::PoolMissing(Key::new("ns", "demo"))),
            "Completed",
            "SandboxSet demo not found",
            "True SandboxSetNotFound: SandboxSet demo not found",
            Some("ClaimTimeoutReached"),
        ),
    ];
    let claim = claim(json!({"replicas": 3}), Value::Null);
    for (answer, phase, message, over, timed_out) in table {
        let status = claim.next_status(&answer, Some(Inside::Silent), now());
        assert_eq!((status.phase.as_str(), status.message.as_str()), (phase, message));
        let said = find(&status.conditions, "Completed").unwrap();
        assert_eq!(format!("{} {}: {}", said.status, said.reason, said.message), over);
        assert_eq!(find(&status.conditions, "TimedOut").map(|it| it.reason.as_str()), timed_out);
        let patch = status_patch(&claim.status, &status).unwrap();
        assert_eq!(patch["status"]["claimStartTime"], "2026-01-01T00:00:00Z");
        assert_eq!(patch["status"]["claimedReplicas"], json!(status.sandboxes.len()));
        assert_eq!(patch["status"]["completionTime"].is_null(), phase == "Claiming");
        // What was written is what is read, and says nothing new.
        let mut told = claim.clone();
        told.status = read(patched(json!({}), &patch)["status"].clone());
        assert_eq!(told.status, status);
        assert_eq!(
            status_patch(&told.status, &told.next_status(&answer, Some(Inside::Silent), now())),
            None
        );
        assert_eq!(told.history().completed.is_some(), phase == "Completed");
    }
}

#[test]
fn what_can_not_be_delivered_is_said() {
    let spec =
        json!({"envVars": {"A": "1"}, "dynamicVolumesMount": [{"pvName": "v", "mountPath": "/v"}]});
    let asks = claim(spec, Value::Null);
    let words = |claim: &SandboxClaim, inside| {
        let said = claim.undeliverable(inside);
        said.iter().map(|it| format!("{} {}", it.kind, it.reason)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        words(&asks, Some(Inside::Silent)),
        "EnvVarsDelivered NoRuntime, VolumesMounted NotServed"
    );
    assert_eq!(words(&asks, Some(Inside::Runtime)), "VolumesMounted NotServed");
    assert_eq!(words(&asks, None), "VolumesMounted NotServed", "the set is not there yet");
    let skips = claim(json!({"envVars": {"A": "1"}, "skipInitRuntime": true}), Value::Null);
    assert_eq!(words(&skips, Some(Inside::Silent)), "EnvVarsDelivered InitSkipped");
    assert_eq!(words(&claim(json!({}), Value::Null), Some(Inside::Silent)), "");
}

#[test]
fn what_is_asked_for_is_judged_against_the_set() {
    let set = sandbox(warm());
    let template = set.spec.block.template.as_ref();
    let fits =
        claim(json!({"inplaceUpdate": {"resources": {"requests": {"cpu": "1"}}}}), Value::Null);
    assert_eq!(fits.content(template, None), Content::Plain);
    assert_eq!(fits.content(None, None), Content::Plain, "not known yet");
    let misfits =
        claim(json!({"inplaceUpdate": {"resources": {"limits": {"cpu": "1"}}}}), Value::Null);
    assert!(
        matches!(misfits.content(template, None), Content::Refused(message) if message.contains("limits.cpu"))
    );
    assert!(
        matches!(fits.content(template, Some("t")), Content::Refused(message) if message.contains("\"t\""))
    );
    let stolen = claim(json!({"labels": {"agents.kruise.io/sandbox-id": "x"}}), Value::Null);
    assert!(matches!(stolen.content(None, None), Content::Refused(_)));
}
