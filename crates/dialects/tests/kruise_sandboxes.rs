//! Sandboxes of `agents.kruise.io`: objects in, views, pods, patches and statuses out.
#![allow(clippy::unwrap_used)] // a test may say "this is so" in one word

use engine::lifecycle::{
    ChangePolicy, Fit, Fixed, Inside, LifeReady, LifeStatus, LifeView, OnLost, PauseState, Phase,
    PodFacts, PodOwner, PodTrouble, Progress, ResourceDrift, ResumeState, Retention, UpdateState,
    UpgradeStep, plan,
};
use engine::{Holder, Lock, Revision, Stage, Trouble, TroubleKind, Uid, sandbox::Drift};
use jiff::Timestamp;
use sandbank_dialects::condition::{Condition, find};
use sandbank_dialects::kruise::build::{change, pod, volume};
use sandbank_dialects::kruise::sandbox::{ON_POD_LOST, Running, State};
use sandbank_dialects::kruise::types::{Sandbox, SandboxStatus, SandboxTemplate};
use sandbank_dialects::kruise::{keys, revision};
use sandbank_dialects::pod::Pod;
use serde_json::{Value, json};

const NOW: &str = "2030-01-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn merge(to: &mut Value, with: &Value) {
    match (to, with) {
        (Value::Object(to), Value::Object(with)) => {
            for (key, value) in with {
                match value {
                    Value::Null => drop(to.remove(key)),
                    value => merge(to.entry(key.clone()).or_insert(Value::Null), value),
                }
            }
        }
        (to, with) => *to = with.clone(),
    }
}

/// A sandbox that nobody owns, with more laid over it.
fn sandbox(more: Value) -> Sandbox {
    let mut object = json!({
        "metadata": {"name": "s", "namespace": "ns", "uid": "u1", "resourceVersion": "5", "generation": 1,
                     "creationTimestamp": NOW},
        "spec": {"template": {
            "metadata": {"labels": {"app": "a"}, "annotations": {"foo": "bar"}},
            "spec": {"containers": [{"name": "main", "image": "one:1",
                                     "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}}]},
        }},
    });
    merge(&mut object, &more);
    serde_json::from_value(object).unwrap()
}

fn of_set() -> Value {
    json!({"metadata": {
        "labels": {keys::POOL: "demo", keys::TEMPLATE: "demo", keys::CLAIMED: "false", keys::TEMPLATE_HASH: "h"},
        "ownerReferences": [{"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxSet", "name": "demo",
                             "uid": "set", "controller": true}],
    }})
}

fn claimed() -> Value {
    json!({"metadata": {
        "labels": {keys::POOL: "demo", keys::CLAIMED: "true", keys::CLAIM_NAME: "c"},
        "annotations": {keys::OWNER: "claim-uid", keys::LOCK: "claim-uid"},
    }})
}

/// The pod that would be made, as it runs.
fn running(sandbox: &Sandbox) -> Pod {
    let mut object = pod::pod(sandbox, None).unwrap();
    merge(
        &mut object,
        &json!({
            "metadata": {"uid": "p1", "resourceVersion": "7"},
            "spec": {"nodeName": "n"},
            "status": {
                "phase": "Running", "podIPs": [{"ip": "10.0.0.7"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "main", "imageID": "id-1", "containerID": "c-1",
                                       "state": {"running": {"startedAt": NOW}}}],
            },
        }),
    );
    serde_json::from_value(object).unwrap()
}

fn view(sandbox: &Sandbox, pod: Option<&Pod>) -> LifeView {
    sandbox.view(pod, None, |_| None, None, Running::default())
}

fn decided(phase: Phase, ready: LifeReady) -> LifeStatus {
    LifeStatus {
        phase,
        message: String::new(),
        revision: Revision::new("r"),
        ready,
        pause: PauseState::None,
        resume: ResumeState::None,
        update: UpdateState::None,
        upgrade: None,
        inside: Inside::None,
        pod: Some(PodFacts {
            uid: Uid::new("p1"),
            ip: Some("10.0.0.7".to_owned()),
            node: Some("n".into()),
        }),
    }
}

fn said(condition: &Condition) -> String {
    format!("{} {}/{}", condition.kind, condition.status, condition.reason)
}

#[test]
fn holders_and_states() {
    let ready = json!({"status": {"phase": "Running", "podInfo": {"podIP": "10.0.0.7"},
                                  "conditions": [{"type": "Ready", "status": "True", "reason": "PodReady"}]}});
    let with = |parts: &[Value]| {
        let mut all = json!({});
        for part in parts {
            merge(&mut all, part);
        }
        let sandbox = sandbox(all);
        (sandbox.holder(), sandbox.state(now()))
    };
    let phase = |phase: &str| json!({"status": {"phase": phase}});
    let set = || Holder::Pool(Uid::new("set"));
    let claim = || Holder::Claim(Uid::new("claim-uid"));
    let front = json!({"metadata": {"labels": {keys::CLAIMED: "true"}, "annotations": {keys::OWNER: "key-7"}}});
    assert_eq!(with(&[of_set()]), (set(), State::Creating));
    assert_eq!(with(&[of_set(), ready.clone()]), (set(), State::Available));
    assert_eq!(with(&[of_set(), phase("Failed")]), (set(), State::Dead));
    assert_eq!(with(&[claimed(), ready.clone()]), (claim(), State::Running));
    // One failed probe does not make it dead.
    assert_eq!(with(&[claimed(), phase("Running")]), (claim(), State::Running));
    assert_eq!(with(&[claimed(), phase("Pending")]), (claim(), State::Creating));
    assert_eq!(with(&[claimed(), phase("Resuming")]), (claim(), State::Paused));
    assert_eq!(with(&[claimed(), phase("Terminating")]), (claim(), State::Dead));
    assert_eq!(
        with(&[claimed(), ready.clone(), json!({"spec": {"shutdownTime": NOW}})]),
        (claim(), State::Dead)
    );
    assert_eq!(with(&[front, ready.clone()]), (Holder::Other, State::Running));
    assert_eq!(with(&[ready]), (Holder::Nobody, State::Running));
}

#[test]
fn what_a_pool_counts() {
    let stage = |more: Value, trouble: Option<Trouble>| {
        let mut all = of_set();
        merge(&mut all, &more);
        sandbox(all).member(Revision::new("r"), trouble, Lock::Free).stage
    };
    let quota = json!({"status": {"phase": "Pending", "conditions": [
        {"type": "Ready", "status": "False", "reason": "PodCreateFailed", "message": "exceeded quota"}]}});
    let pulling = json!({"status": {"phase": "Pending", "conditions": [
        {"type": "Ready", "status": "False", "reason": "ErrImagePull", "message": "no such image"}]}});
    assert_eq!(stage(json!({}), None), Stage::Creating(None));
    let trouble = |kind, message: &str| Some(Trouble { kind, message: message.to_owned() });
    assert_eq!(
        stage(quota, None),
        Stage::Creating(trouble(TroubleKind::Refused, "exceeded quota"))
    );
    assert_eq!(
        stage(pulling, None),
        Stage::Creating(trouble(TroubleKind::ImagePull, "no such image"))
    );
    let failed = json!({"status": {"phase": "Failed", "message": "Pod Not Found"}});
    assert_eq!(stage(failed, None), Stage::Failed { message: "Pod Not Found".to_owned() });
}

#[test]
fn the_pod_and_its_volumes() {
    let mut more = of_set();
    merge(
        &mut more,
        &json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}]}}),
    );
    let sandbox = sandbox(more);
    let body = pod::pod(&sandbox, None).unwrap();
    assert_eq!(body["metadata"]["name"], "s");
    assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u1");
    let (labels, annotations) = (&body["metadata"]["labels"], &body["metadata"]["annotations"]);
    for (key, value) in [
        ("app", "a"),
        (keys::POOL, "demo"),
        (keys::CLAIMED, "false"),
        (keys::CREATED_BY, "sandbox"),
        (keys::POD_TEMPLATE_HASH, &revision::of_pod(&sandbox.spec.block)),
    ] {
        assert_eq!(labels[key], value, "{key}");
    }
    assert_eq!(annotations["foo"], "bar");
    assert_eq!(annotations[keys::CREATED_BY], "sandbox");
    assert_eq!(
        body["spec"]["volumes"][0],
        json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-s"}})
    );
    let claim = volume::volume_claim(&sandbox, &sandbox.spec.block.volume_claim_templates[0]);
    assert_eq!(claim["metadata"]["name"], "data-s");
    assert_eq!(claim["metadata"]["ownerReferences"][0]["kind"], "Sandbox");
    assert_eq!(claim["spec"]["accessModes"][0], "ReadWriteOnce");

    let referring: Sandbox = serde_json::from_value(json!({
        "metadata": {"name": "s", "namespace": "ns", "uid": "u1"}, "spec": {"templateRef": {"name": "t"}},
    }))
    .unwrap();
    assert_eq!(pod::pod(&referring, None), None);
    let template: SandboxTemplate = serde_json::from_value(
        json!({"spec": {"template": {"spec": {"containers": [{"name": "m", "image": "i"}]}}}}),
    )
    .unwrap();
    let body = pod::pod(&referring, Some(&template)).unwrap();
    assert_eq!(body["spec"]["containers"][0]["image"], "i");
}

#[test]
fn whose_a_pod_is() {
    let sandbox = sandbox(json!({}));
    let mut pod = running(&sandbox);
    assert_eq!(pod::owner(&sandbox, &pod.metadata), PodOwner::Ours);
    pod.metadata.owner_references[0].uid = "u0".to_owned();
    assert_eq!(pod::owner(&sandbox, &pod.metadata), PodOwner::Previous);
    pod.metadata.owner_references[0].name = "other".to_owned();
    assert_eq!(pod::owner(&sandbox, &pod.metadata), PodOwner::Stranger);
    pod.metadata.owner_references.clear();
    assert_eq!(pod::owner(&sandbox, &pod.metadata), PodOwner::Stranger);
}

/// The write of a claim marks the pod and makes no other template of it.
#[test]
fn a_claim_reaches_the_pod_as_labels_only() {
    let warm = sandbox(of_set());
    let pod = running(&warm);
    let mut more = of_set();
    merge(&mut more, &claimed());
    merge(
        &mut more,
        &json!({
            "metadata": {"ownerReferences": [], "generation": 2},
            "spec": {"template": {"metadata": {"labels": {keys::OWNER: "claim-uid"}}}},
        }),
    );
    let taken = sandbox(more);
    assert_eq!(taken.revision(), warm.revision());
    let fit = change::fit(&taken, &pod);
    assert_eq!(
        (fit.revision, fit.metadata, fit.images),
        (Drift::None, Drift::Differs, Drift::None)
    );
    let patch = pod::sync(&taken, &pod.metadata).unwrap();
    assert_eq!(patch["metadata"]["uid"], "p1");
    let labels = &patch["metadata"]["labels"];
    assert_eq!(labels[keys::OWNER], "claim-uid");
    assert_eq!(labels[keys::CLAIMED], "true");
    assert_eq!(labels[keys::CLAIM_NAME], "c");
    assert!(labels.get("app").is_none());
}

#[test]
fn labels_that_leave_the_template_leave_the_pod_and_others_stay() {
    let before = sandbox(json!({}));
    let mut pod = running(&before);
    pod.metadata.labels.insert("by-hand".to_owned(), "x".to_owned());
    let after =
        sandbox(json!({"spec": {"template": {"metadata": {"labels": {"app": null, "new": "n"}}}}}));
    let patch = pod::sync(&after, &pod.metadata).unwrap();
    let labels = &patch["metadata"]["labels"];
    assert_eq!(labels["app"], Value::Null);
    assert!(labels.as_object().unwrap().contains_key("app"));
    assert_eq!(labels["new"], "n");
    assert!(labels.get("by-hand").is_none());
}

fn fit_after(container: Value) -> (Fit, Value, Option<Value>) {
    let before = sandbox(json!({}));
    let pod = running(&before);
    let mut wanted = json!({"name": "main", "image": "one:1", "resources": {"requests": {"cpu": "0.5"}, "limits": {"cpu": 1}}});
    merge(&mut wanted, &container);
    let after = sandbox(json!({"spec": {"template": {"spec": {"containers": [wanted]}}}}));
    (
        change::fit(&after, &pod),
        change::containers(&after, &pod, now()),
        change::resize(&after, &pod),
    )
}

#[test]
fn what_of_a_running_pod_can_change() {
    let (fit, ..) = fit_after(json!({}));
    assert_eq!(fit.resources, ResourceDrift::None, "another spelling is no change");

    let (fit, patch, resize) = fit_after(json!({"image": "two:2"}));
    assert_eq!(
        (fit.images, fit.resources, fit.fixed),
        (Drift::Differs, ResourceDrift::None, Fixed::Same)
    );
    assert_eq!(patch["spec"], json!({"containers": [{"name": "main", "image": "two:2"}]}));
    let state: Value = serde_json::from_str(
        patch["metadata"]["annotations"][keys::INPLACE_UPDATE_STATE].as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(state["lastContainerStatuses"]["main"]["imageID"], "id-1");
    assert_eq!(state["revision"], patch["metadata"]["labels"][keys::POD_TEMPLATE_HASH]);
    assert_eq!(resize, None);

    let (fit, _, resize) = fit_after(json!({"resources": {"requests": {"cpu": "600m"}}}));
    assert_eq!((fit.images, fit.resources), (Drift::None, ResourceDrift::Differs));
    assert_eq!(resize.unwrap()["spec"]["containers"][0]["resources"]["requests"]["cpu"], "600m");

    let refused = |container| match fit_after(container).0.resources {
        ResourceDrift::Refused(why) => why,
        other => panic!("{other:?}"),
    };
    assert!(
        refused(json!({"resources": {"limits": {"cpu": null}}})).contains("can't be taken away")
    );
    let full = json!({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}});
    assert!(refused(full).contains("QoS class Burstable to Guaranteed"));
    assert!(
        refused(json!({"resources": {"limits": {"nvidia.com/gpu": "1"}}}))
            .contains("cpu and memory can")
    );

    let (fit, ..) = fit_after(json!({"command": ["x"]}));
    assert_eq!(fit.fixed, Fixed::Differs);
}

#[test]
fn when_a_change_in_place_is_done() {
    let before = sandbox(json!({}));
    let after = sandbox(json!({"spec": {"template": {"spec": {"containers": [
        {"name": "main", "image": "two:2", "resources": {"requests": {"cpu": "600m"}, "limits": {"cpu": "1"}}}]}}}}));
    let pod = running(&before);
    let changed = |status: Value| {
        let mut object = serde_json::to_value(&pod).unwrap();
        merge(&mut object, &change::containers(&after, &pod, now()));
        object["spec"]["containers"] = json!([{"name": "main", "image": "two:2", "resources": {"requests": {"cpu": "600m"}, "limits": {"cpu": "1"}}}]);
        merge(&mut object["status"], &status);
        change::fit(&after, &serde_json::from_value(object).unwrap()).progress
    };
    let container = |image: &str, id: &str, state: Value, cpu: &str| {
        json!({"containerStatuses": [{"name": "main", "imageID": image, "containerID": id, "state": state,
               "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "1"}}}]})
    };
    let runs = || json!({"running": {}});
    assert_eq!(changed(container("id-1", "c-1", runs(), "600m")), Some(Progress::Going));
    assert_eq!(
        changed(container("id-2", "c-2", json!({"waiting": {}}), "600m")),
        Some(Progress::Going)
    );
    assert_eq!(changed(container("id-2", "c-2", runs(), "500m")), Some(Progress::Going));
    assert_eq!(changed(container("id-2", "c-2", runs(), "600m")), Some(Progress::Done));
    // The same content under another name: another container says that it happened.
    assert_eq!(changed(container("id-1", "c-2", runs(), "600m")), Some(Progress::Done));
    let mut stuck = container("id-2", "c-2", runs(), "500m");
    stuck["conditions"] = json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "no room"}]);
    match changed(stuck) {
        Some(Progress::Infeasible(why)) => {
            assert!(why.contains("infeasible") && why.contains("no room"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_asked_for() {
    let lost = |more: Value| view(&sandbox(more), None).wish.on_lost;
    let volumes =
        json!({"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {}}]}});
    assert_eq!(lost(json!({})), OnLost::Fail);
    assert_eq!(lost(volumes.clone()), OnLost::Recreate);
    let mut said = volumes;
    merge(
        &mut said,
        &json!({"spec": {"template": {"metadata": {"annotations": {ON_POD_LOST: "Fail"}}}}}),
    );
    assert_eq!(lost(said.clone()), OnLost::Fail);
    merge(&mut said, &json!({"metadata": {"annotations": {ON_POD_LOST: "Recreate"}}}));
    assert_eq!(lost(said), OnLost::Recreate);

    let retention = |text: &str| {
        let annotations = json!({"metadata": {"annotations": {keys::RESERVE_PAUSED: text}}});
        view(&sandbox(annotations), None).wish.retention.unwrap()
    };
    assert_eq!(retention("forever"), Retention::Forever);
    assert_eq!(retention("what?"), Retention::Forever);
    assert_eq!(retention("1h"), Retention::For(jiff::SignedDuration::from_hours(1)));

    let policy = |kind: &str| {
        let spec = json!({"spec": {"upgradePolicy": {"type": kind}, "lifecycle": {
            "preUpgrade": {"exec": {"command": ["save"]}}, "postUpgrade": {"timeoutSeconds": 5}}}});
        view(&sandbox(spec), None).wish.change
    };
    match policy("Recreate") {
        ChangePolicy::Recreate { before: Some(before), after: None } => {
            assert_eq!(before.command, ["save"]);
            assert_eq!(before.timeout.as_secs(), 60);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(policy("CheckpointRestore"), ChangePolicy::Unsupported(_)));
}

#[test]
fn statuses_in_the_words_of_the_family() {
    let sandbox = sandbox(json!({}));
    let pod = running(&sandbox);
    let trouble = |word: &str, message: &str| PodTrouble {
        word: word.to_owned(),
        trouble: Trouble { kind: TroubleKind::ImagePull, message: message.to_owned() },
    };
    let words = |status: &LifeStatus| -> Vec<String> {
        sandbox.next_status(status, Some(&pod), now()).conditions.iter().map(said).collect()
    };
    let is = |phase, ready| decided(phase, ready);
    let table = [
        (is(Phase::Running, LifeReady::Yes), vec!["Ready True/PodReady"]),
        (is(Phase::Running, LifeReady::PodNotReady), vec!["Ready False/PodReady"]),
        (
            is(Phase::Running, LifeReady::NotStarting(trouble("CrashLoopBackOff", "x"))),
            vec!["Ready False/StartContainerFailed"],
        ),
        (
            is(Phase::Pending, LifeReady::Trouble(trouble("ErrImagePull", "x"))),
            vec!["Ready False/ErrImagePull"],
        ),
        (
            is(Phase::Pending, LifeReady::NoPod("exceeded quota".to_owned())),
            vec!["Ready False/PodCreateFailed"],
        ),
        (
            LifeStatus { pause: PauseState::Done, ..is(Phase::Paused, LifeReady::Paused) },
            vec!["Ready False/PodReady", "SandboxPaused True/StopPauseSucceed"],
        ),
        (
            LifeStatus { update: UpdateState::Going, ..is(Phase::Running, LifeReady::Updating) },
            vec!["Ready False/InplaceUpdating", "InplaceUpdate False/InplaceUpdating"],
        ),
        (
            LifeStatus {
                upgrade: Some(UpgradeStep::BeforeFailed("no".to_owned())),
                ..is(Phase::Upgrading, LifeReady::Upgrading)
            },
            vec!["Ready False/Upgrading", "Upgrading False/PreUpgradeFailed"],
        ),
    ];
    for (status, expected) in table {
        assert_eq!(words(&status), expected, "{status:?}");
    }
    let status = sandbox.next_status(&decided(Phase::Running, LifeReady::Yes), Some(&pod), now());
    assert_eq!((status.phase.as_str(), status.sandbox_ip.as_str()), ("Running", "10.0.0.7"));
    assert_eq!(status.pod_info.labels["app"], "a");
    assert_eq!(status.pod_info.pod_uid, "p1");
}

/// What was reported and what is read back of it are the same, for every step.
#[test]
fn a_report_is_read_back_as_it_was_meant() {
    let sandbox_of = |status: &SandboxStatus| {
        let mut sandbox = sandbox(json!({}));
        sandbox.status = status.clone();
        sandbox
    };
    let steps = [
        UpgradeStep::Before,
        UpgradeStep::BeforeFailed("a".to_owned()),
        UpgradeStep::Pod,
        UpgradeStep::PodFailed("b".to_owned()),
        UpgradeStep::After,
        UpgradeStep::AfterFailed("c".to_owned()),
        UpgradeStep::Done,
        UpgradeStep::Unsupported("d".to_owned()),
    ];
    let updates = [
        UpdateState::None,
        UpdateState::Going,
        UpdateState::Done,
        UpdateState::Failed("e".to_owned()),
    ];
    for (n, step) in steps.into_iter().enumerate() {
        let status = LifeStatus {
            upgrade: Some(step),
            update: updates[n % updates.len()].clone(),
            pause: [PauseState::None, PauseState::Going, PauseState::Done][n % 3],
            resume: [ResumeState::None, ResumeState::Going, ResumeState::Done][n % 3],
            message: "m".to_owned(),
            ..decided(Phase::ALL[n], LifeReady::Yes)
        };
        let written = sandbox(json!({})).next_status(&status, None, now());
        let reported = view(&sandbox_of(&written), None).reported;
        assert_eq!(reported.phase, Some(status.phase));
        assert_eq!(reported.upgrade, status.upgrade);
        assert_eq!(reported.update, status.update);
        assert_eq!((reported.pause, reported.resume), (status.pause, status.resume));
        assert_eq!((reported.message, reported.revision), (status.message, Some(status.revision)));
    }
}

#[test]
fn a_status_that_says_nothing_new_is_not_written() {
    let mut warm = sandbox(of_set());
    let pod = running(&warm);
    let running_status = decided(Phase::Running, LifeReady::Yes);
    warm.status = warm.next_status(&running_status, Some(&pod), now());
    let later = now() + jiff::SignedDuration::from_secs(60);
    assert_eq!(warm.status_patch(&warm.next_status(&running_status, Some(&pod), later)), None);

    // A plain claim changes labels and no spec, so there is nothing to say.
    let mut taken = sandbox(claimed());
    taken.status = warm.status.clone();
    assert_eq!(taken.status_patch(&taken.next_status(&running_status, Some(&pod), later)), None);
    // Who waits for a sandbox that was edited waits until the edit is observed.
    let mut edited = sandbox(json!({"metadata": {"generation": 2}}));
    edited.status = warm.status.clone();
    let patch =
        edited.status_patch(&edited.next_status(&running_status, Some(&pod), later)).unwrap();
    assert_eq!(patch["status"]["observedGeneration"], 2);

    // What is gone is taken out.
    let paused = LifeStatus { pod: None, ..decided(Phase::Paused, LifeReady::Paused) };
    let patch = warm.status_patch(&warm.next_status(&paused, None, later)).unwrap();
    assert_eq!(patch["status"]["sandboxIp"], Value::Null);
    assert_eq!(patch["status"]["podInfo"]["labels"], Value::Null);
}

#[test]
fn a_trouble_that_is_told_in_turns_is_told_once() {
    let mut sandbox = sandbox(of_set());
    let pulling = |word: &str| {
        let trouble =
            Trouble { kind: TroubleKind::ImagePull, message: format!("said with {word}") };
        decided(Phase::Pending, LifeReady::Trouble(PodTrouble { word: word.to_owned(), trouble }))
    };
    sandbox.status = sandbox.next_status(&pulling("ErrImagePull"), None, now());
    let again = sandbox.next_status(&pulling("ImagePullBackOff"), None, now());
    assert_eq!(sandbox.status_patch(&again), None);
    let ready = find(&sandbox.status.conditions, "Ready").unwrap();
    assert_eq!(ready.message, "said with ErrImagePull");
}

#[test]
fn what_is_not_served_is_said() {
    let sandbox = sandbox(json!({"spec": {
        "runtimes": [{"name": "agent-runtime"}], "pauseStrategy": {"type": "Hibernate"}, "persistentContents": ["ip"],
    }}));
    let status =
        LifeStatus { pause: PauseState::Done, ..decided(Phase::Paused, LifeReady::Paused) };
    let status = sandbox.next_status(&status, None, now());
    let message = |kind: &str| find(&status.conditions, kind).unwrap().message.clone();
    assert!(message("FieldsServed").contains("agent-runtime"));
    assert!(message("FieldsServed").contains("Hibernate"));
    assert!(message("SandboxPaused").contains("(ip)"));
}

/// Taking over from another controller: its sandboxes and pods stay as they are.
#[test]
fn a_sandbox_of_another_controller_is_taken_up_as_it_is() {
    let theirs = sandbox(json!({"status": {
        "phase": "Running", "observedGeneration": 1, "updateRevision": "theirs",
        "conditions": [{"type": "Ready", "status": "True", "reason": "PodReady", "lastTransitionTime": NOW}],
    }}));
    let mut pod = running(&theirs);
    pod.metadata.labels.insert(keys::POD_TEMPLATE_HASH.to_owned(), "theirs".to_owned());
    pod.metadata.annotations.remove(keys::HASH_IMMUTABLE_PART);
    assert_eq!(theirs.revision(), "theirs");
    let plan = plan(&view(&theirs, Some(&pod)), now());
    assert_eq!(plan.actions, []);
    assert_eq!(plan.status.unwrap().phase, Phase::Running);
}

#[test]
fn what_the_program_inside_was_told_is_kept_until_it_is_another_one() {
    let told = json!({"type": "RuntimeInitialized", "status": "True", "reason": "Succeeded", "message": "by a claim",
                      "lastTransitionTime": NOW});
    let mut sandbox = sandbox(json!({
        "metadata": {"annotations": {keys::INIT_RUNTIME_REQUEST: "{}", keys::RUNTIME_URL: "http://127.0.0.1:49983"}},
        "status": {"phase": "Running", "podInfo": {"podUID": "p1"}, "conditions": [told]},
    }));
    let pod = running(&sandbox);
    let as_it_is = plan(&view(&sandbox, Some(&pod)), now()).status.unwrap();
    assert_eq!(as_it_is.inside, Inside::Told);
    let find_told =
        |status: &SandboxStatus| find(&status.conditions, "RuntimeInitialized").unwrap().clone();
    assert_eq!(find_told(&sandbox.next_status(&as_it_is, Some(&pod), now())).message, "by a claim");
    sandbox.status.pod_info.pod_uid = "p0".to_owned();
    let anew = plan(&view(&sandbox, Some(&pod)), now()).status.unwrap();
    assert_eq!(find_told(&sandbox.next_status(&anew, Some(&pod), now())).reason, "Pending");
}
