//! The words we report, byte for byte as clients of the family know them, and what specs mean to the engine.

mod given;

use engine::claim::{Answer, Ending, Refusal};
use engine::pool::{Counts, PoolStatus, TemplateState};
use engine::sandbox::{
    Finish, PodPhase, PodState, Readiness, Scheduling, ServiceState, Suspension,
};
use engine::{Code, Condition, ConditionKind, Key, NodeName, Reason, Stage, Verdict};
use given::{alice, patched, pool, read, warm};
use jiff::Timestamp;
use sandbank_dialects::condition::find;
use sandbank_dialects::pod::Pod;
use sandbank_dialects::x_k8s::{Sandbox, SandboxWarmPool, claim, keys, sandbox};
use serde_json::json;

fn now() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().expect("a moment")
}

fn decided(readiness: Readiness) -> engine::sandbox::SandboxStatus {
    engine::sandbox::SandboxStatus {
        readiness,
        suspension: Suspension::NotAsked,
        scheduling: None,
        finish: Finish::No,
        ips: vec!["10.0.0.7".to_owned()],
        node: Some(NodeName::new("n")),
        pod: Some(Key::new("ns", "p-abcde")),
        has_service: true,
    }
}

/// Status, reason and message of Ready, byte for byte.
#[test]
fn ready_of_a_sandbox() {
    use ServiceState::{Exists, Missing, NotNeeded};
    let table = [
        (Readiness::Ready(NotNeeded), "True", "DependenciesReady", "Pod is Ready"),
        (Readiness::Ready(Exists), "True", "DependenciesReady", "Pod is Ready; Service Exists"),
        (
            Readiness::NotYet(PodState::Missing, NotNeeded),
            "False",
            "DependenciesNotReady",
            "Pod does not exist",
        ),
        (
            Readiness::NotYet(PodState::Phase(PodPhase::Pending), Missing),
            "False",
            "DependenciesNotReady",
            "Pod exists with phase: Pending; Service does not exist",
        ),
        (
            Readiness::NotYet(PodState::NotReady, Exists),
            "False",
            "DependenciesNotReady",
            "Pod is Running but not Ready; Service Exists",
        ),
        (
            Readiness::NotYet(PodState::NoAddress, NotNeeded),
            "False",
            "DependenciesNotReady",
            "Pod is Ready but has no podIPs yet",
        ),
        (
            Readiness::NotYet(PodState::Ready, Missing),
            "False",
            "DependenciesNotReady",
            "Pod is Ready; Service does not exist",
        ),
        (Readiness::Suspending, "False", "SandboxSuspended", "Sandbox is suspending"),
        (Readiness::Suspended, "False", "SandboxSuspended", "Sandbox is suspended"),
        (Readiness::Succeeded, "False", "PodSucceeded", "Pod completed successfully"),
        (Readiness::Failed, "False", "PodFailed", "Pod failed"),
        (Readiness::Expired, "False", "SandboxExpired", "Sandbox has expired"),
        (
            Readiness::MultiplePods(2),
            "False",
            "MultiplePods",
            "multiple Pods (2) are controlled by this Sandbox; refusing to choose or create a Pod",
        ),
        (Readiness::Error("boom".to_owned()), "False", "ReconcilerError", "Error seen: boom"),
        (
            Readiness::Invalid("create Pod: no image".to_owned()),
            "False",
            "InvalidConfiguration",
            "create Pod: no image. It is tried again when the spec is edited",
        ),
    ];
    for (readiness, status, reason, message) in table {
        let next = warm().next_status(&decided(readiness), "cluster.local", now());
        let ready = find(&next.conditions, "Ready").unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str(), ready.message.as_str()),
            (status, reason, message)
        );
        assert_eq!(
            ready.last_transition_time.unwrap().to_string(),
            "2026-01-02T03:04:05Z",
            "whole seconds"
        );
    }
}

#[test]
fn the_status_of_a_sandbox() {
    let sandbox = warm();
    let next = sandbox.next_status(
        &decided(Readiness::Ready(ServiceState::Exists)),
        "cluster.local",
        now(),
    );
    assert_eq!(next.service_fqdn, "p-abcde.ns.svc.cluster.local");
    assert_eq!(next.selector, format!("{}={}", keys::NAME_HASH, keys::hash("p-abcde")));
    assert_eq!(find(&next.conditions, "Suspended").unwrap().message, "Sandbox is not suspended");

    // Said again it is the same, so nothing is written.
    let patch = sandbox::status_patch(&sandbox.status, &next).unwrap();
    let written: Sandbox = read(patched(serde_json::to_value(&sandbox).unwrap(), &patch));
    let later = written.next_status(
        &decided(Readiness::Ready(ServiceState::Exists)),
        "cluster.local",
        now() + jiff::SignedDuration::from_secs(9),
    );
    assert_eq!(sandbox::status_patch(&written.status, &later), None);
    assert_eq!(written.member(None).stage, Stage::Available);

    // Finished survives expiry, everything else but the conditions goes.
    let over = written.next_status(
        &engine::sandbox::SandboxStatus { finish: Finish::Failed, ..decided(Readiness::Failed) },
        "cluster.local",
        now(),
    );
    let over: Sandbox =
        read(json!({"metadata": written.metadata, "spec": written.spec, "status": over}));
    assert_eq!(over.member(None).stage, Stage::Failed { message: "Pod failed".to_owned() });
    let expired =
        engine::sandbox::SandboxStatus { finish: Finish::Keep, ..decided(Readiness::Expired) };
    let expired = over.next_status(&expired, "cluster.local", now());
    let kinds: Vec<&str> =
        expired.conditions.iter().map(|condition| condition.kind.as_str()).collect();
    assert_eq!(kinds, ["Ready", "Suspended", "Finished"]);
    assert!(expired.pod_ips.is_empty() && expired.selector.is_empty());
}

#[test]
fn suspension_and_scheduling_are_worded() {
    let table = [
        (Suspension::NotAsked, "False", "NotSuspended", "Sandbox is not suspended"),
        (
            Suspension::Done,
            "True",
            "PodTerminated",
            "Pod has been terminated. Sandbox is suspended",
        ),
        (
            Suspension::Terminating,
            "False",
            "PodTerminating",
            "Pod is terminating. Sandbox is suspending",
        ),
        (
            Suspension::NotOurs,
            "False",
            "PodNotOwned",
            "Refused to delete pod because it is not owned by this sandbox",
        ),
    ];
    for (suspension, status, reason, message) in table {
        let said = engine::sandbox::SandboxStatus {
            suspension,
            scheduling: Some(Scheduling::Unreported),
            ..decided(Readiness::Suspended)
        };
        let next = warm().next_status(&said, "cluster.local", now());
        let condition = find(&next.conditions, "Suspended").unwrap();
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str(), condition.message.as_str()),
            (status, reason, message)
        );
        let scheduled = find(&next.conditions, "PodScheduled").unwrap();
        assert_eq!(scheduled.reason, "PodSchedulingUnknown");
        assert_eq!(scheduled.message, "Pod has not reported a PodScheduled condition yet");
    }
}

/// The own reasons of a claim, byte for byte.
#[test]
fn ready_of_a_claim() {
    let key = |name: &str| Key::new("ns", name);
    let table = [
        (
            Answer::Refused(Refusal::PoolMissing(key("p"))),
            "WarmPoolNotFound",
            "SandboxWarmPool \"p\" not found",
        ),
        (
            Answer::Refused(Refusal::TemplateMissing(key("t"))),
            "TemplateNotFound",
            "SandboxTemplate \"t\" not found",
        ),
        (
            Answer::Refused(Refusal::Content {
                word: "InvalidMetadata".to_owned(),
                message: "no".to_owned(),
            }),
            "InvalidMetadata",
            "no",
        ),
        (
            Answer::Ended(Ending::Expired),
            "ClaimExpired",
            "Claim expired. Sandbox cleanup initiated.",
        ),
        (
            Answer::Waiting(Reason::new(Code::NotSeenYet, "any")),
            "SandboxCreatePending",
            "Sandbox already created; waiting for cache to converge",
        ),
        (
            Answer::Bound { sandbox: key("x"), launch: None },
            "SandboxMissing",
            "Sandbox does not exist",
        ),
    ];
    for (answer, reason, message) in table {
        let next = alice().next_status(&answer, None, now());
        let ready = find(&next.conditions, "Ready").unwrap();
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_str(), ready.message.as_str()),
            ("False", reason, message)
        );
        assert_eq!(ready.observed_generation, Some(4));
    }
}

/// A bound claim says what its sandbox says, with name and addresses in the same write.
#[test]
fn a_bound_claim_mirrors_its_sandbox() {
    let mut sandbox = warm();
    let answer = Answer::Bound { sandbox: sandbox.metadata.key(), launch: None };
    let silent = alice().next_status(&answer, Some(&sandbox), now());
    assert_eq!(find(&silent.conditions, "Ready").unwrap().reason, "SandboxNotReady");

    sandbox.status = sandbox.next_status(
        &decided(Readiness::Ready(ServiceState::NotNeeded)),
        "cluster.local",
        now(),
    );
    let next = alice().next_status(&answer, Some(&sandbox), now());
    let ready = find(&next.conditions, "Ready").unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.message.as_str(), ready.observed_generation),
        ("True", "Pod is Ready", Some(4))
    );
    assert_eq!((next.sandbox.name.as_str(), next.sandbox.pod_ips.len()), ("p-abcde", 1));
    let patch = claim::status_patch(&alice().status, &next).unwrap();
    assert_eq!(patch["status"]["sandbox"], json!({"name": "p-abcde", "podIPs": ["10.0.0.7"]}));

    sandbox.status = sandbox.next_status(&decided(Readiness::Expired), "cluster.local", now());
    let expired = alice().next_status(&answer, Some(&sandbox), now());
    assert_eq!(find(&expired.conditions, "Ready").unwrap().reason, "SandboxExpired");
}

#[test]
fn the_status_of_a_pool() {
    let status = PoolStatus {
        counts: Counts {
            warm: 3,
            available: 2,
            creating: 1,
            failed: 0,
            leaving: 1,
            locked: 0,
            updated: 1,
            updated_available: 1,
        },
        desired: 3,
        revision: None,
        conditions: vec![Condition {
            kind: ConditionKind::Progressing,
            verdict: Verdict::True,
            reason: Reason::new(Code::RollingOut, "1 of 3"),
        }],
    };
    let next = pool().next_status(&status, now());
    assert_eq!(
        serde_json::to_value(next).unwrap(),
        json!({
            "replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "observedGeneration": 2,
            "selector": format!("{}={}", keys::POOL, keys::hash("p")),
            "conditions": [{"type": "Progressing", "status": "True", "reason": "RollingOut", "message": "1 of 3",
                            "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 2}],
        })
    );
}

/// What a pool's spec means to the engine.
#[test]
fn pools_ask_for_strategies() {
    use engine::{Amount, Budget, Rounding, Strategy};
    let budget = |max_unavailable, max_surge| {
        let rounding = Rounding::Down;
        Strategy::RollingUpdate(Budget { max_unavailable, max_surge, rounding })
    };
    let quarter = Amount::Percent(25);
    let table = [
        (json!(null), Strategy::OnReplenish),
        (json!({}), Strategy::OnReplenish),
        (json!({"type": "Recreate"}), Strategy::Recreate),
        (json!({"type": "RollingUpdate"}), budget(quarter, quarter)),
        (
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2}}),
            budget(quarter, Amount::Count(2)),
        ),
        (
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 0}}),
            // Half of one is nothing, and nothing could never move.
            budget(Amount::Count(1), Amount::Count(0)),
        ),
    ];
    for (strategy, expected) in table {
        let pool: SandboxWarmPool = read(
            json!({"spec": {"sandboxTemplateRef": {"name": "t"}, "updateStrategy": strategy}}),
        );
        assert_eq!(pool.strategy(), expected);
        assert_eq!(pool.target(), engine::pool::Target::Count(1));
    }
    let missing = sandbank_dialects::x_k8s::template::state(Key::new("ns", "t"), None);
    assert_eq!(missing, TemplateState::Missing { name: Key::new("ns", "t") });
}

/// What a pod says of its troubles.
#[test]
fn pods_say_why_they_do_not_start() {
    use engine::TroubleKind::{CrashLoop, ImagePull, SchedulingGated, Unschedulable};
    let waiting = |reason: &str, message: &str| json!({"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]});
    let scheduled = |reason: &str| json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/1 nodes"}]});
    let table = [
        (json!({}), None),
        (waiting("ContainerCreating", ""), None),
        (
            waiting("ImagePullBackOff", "no such image"),
            Some((ImagePull, "container main: no such image")),
        ),
        (waiting("CrashLoopBackOff", ""), Some((CrashLoop, "container main: CrashLoopBackOff"))),
        (scheduled("Unschedulable"), Some((Unschedulable, "0/1 nodes"))),
        (scheduled("SchedulingGated"), Some((SchedulingGated, "0/1 nodes"))),
    ];
    for (status, expected) in table {
        let pod: Pod = read(json!({"metadata": {"name": "x"}, "status": status}));
        let trouble = pod.trouble();
        assert_eq!(
            trouble.as_ref().map(|trouble| (trouble.kind, trouble.message.as_str())),
            expected
        );
    }
}
