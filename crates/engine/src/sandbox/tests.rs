//! What is done about a sandbox and what it says of itself, case by case.

use super::*;
use crate::ids::{Key, Precondition, Uid, Version};
use jiff::{SignedDuration, Timestamp};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn precondition(name: &str) -> Precondition {
    Precondition { uid: Uid::new(format!("uid-{name}")), version: Version(3) }
}

fn sandbox() -> SandboxView {
    SandboxView {
        key: Key::new("ns", "s"),
        precondition: precondition("s"),
        leaving: false,
        mode: Mode::Running,
        shutdown_at: None,
        expiry: ExpiryPolicy::Retain,
        expiry_announced: false,
        service_wish: ServiceWish::Unsaid,
        pods: Vec::new(),
        service: None,
        volumes: Vec::new(),
        error: None,
    }
}

fn pod(name: &str, ownership: Ownership, phase: PodPhase) -> PodView {
    PodView {
        key: Key::new("ns", name),
        precondition: precondition(name),
        ownership,
        leaving: false,
        phase,
        ready: phase == PodPhase::Running,
        ips: vec!["10.0.0.7".to_owned()],
        node: None,
        scheduled: None,
        metadata: Drift::None,
    }
}

fn running() -> PodView {
    pod("s", Ownership::Ours, PodPhase::Running)
}

fn child(ownership: Ownership) -> ChildView {
    ChildView { precondition: precondition("child"), ownership, leaving: false, drift: Drift::None }
}

/// Actions and readiness, in a line.
fn verdict(view: &SandboxView) -> String {
    let plan = plan(view, at(0));
    let actions: Vec<String> = plan
        .actions
        .iter()
        .map(|action| format!("{action:?}").split('(').next().unwrap_or_default().to_owned())
        .collect();
    format!("[{}] {:?}", actions.join(" "), plan.status.readiness)
}

#[test]
fn pods() {
    use Ownership::{Adoptable, Foreign, Ours, Unowned};
    use PodPhase::{Failed, Pending, Running, Succeeded};
    let table: [(&str, Vec<PodView>, &str); 14] = [
        ("none", vec![], "[CreatePod] NotYet(Missing, NotNeeded)"),
        ("starting", vec![pod("s", Ours, Pending)], "[] NotYet(Phase(Pending), NotNeeded)"),
        ("ready", vec![running()], "[] Ready(NotNeeded)"),
        (
            "not ready",
            vec![PodView { ready: false, ..running() }],
            "[] NotYet(NotReady, NotNeeded)",
        ),
        (
            "without an address",
            vec![PodView { ips: vec![], ..running() }],
            "[] NotYet(NoAddress, NotNeeded)",
        ),
        (
            "ready but leaving",
            vec![PodView { leaving: true, ..running() }],
            "[] NotYet(NotReady, NotNeeded)",
        ),
        ("ended well: not started again", vec![pod("s", Ours, Succeeded)], "[] Succeeded"),
        ("ended badly: not started again", vec![pod("s", Ours, Failed)], "[] Failed"),
        (
            "drifted",
            vec![PodView { metadata: Drift::Differs, ..running() }],
            "[SyncPodMetadata] Ready(NotNeeded)",
        ),
        ("under an old name", vec![pod("older", Ours, Running)], "[] Ready(NotNeeded)"),
        ("two of ours", vec![running(), pod("other", Ours, Running)], "[] MultiplePods(2)"),
        (
            "unowned, may be taken",
            vec![pod("s", Adoptable, Running)],
            "[AdoptPod] NotYet(Missing, NotNeeded)",
        ),
        (
            "unowned, may not",
            vec![pod("s", Unowned, Running)],
            r#"[] Error("pod \"s\" exists and does not belong to this sandbox")"#,
        ),
        (
            "somebody else's",
            vec![pod("s", Foreign, Running)],
            r#"[] Error("pod \"s\" exists and does not belong to this sandbox")"#,
        ),
    ];
    for (case, pods, expected) in table {
        assert_eq!(verdict(&SandboxView { pods, ..sandbox() }), expected, "{case}");
    }
}

#[test]
fn suspension() {
    use Ownership::{Adoptable, Foreign};
    let table = [
        ("running pod", vec![running()], "[DeletePod] Suspending", Suspension::Terminating),
        (
            "terminating",
            vec![PodView { leaving: true, ..running() }],
            "[] Suspending",
            Suspension::Terminating,
        ),
        ("gone", vec![], "[] Suspended", Suspension::Done),
        (
            "foreign pod",
            vec![pod("s", Foreign, PodPhase::Running)],
            "[] Suspending",
            Suspension::NotOurs,
        ),
        (
            "not taken over to be deleted",
            vec![pod("s", Adoptable, PodPhase::Running)],
            "[] Suspending",
            Suspension::NotOurs,
        ),
    ];
    for (case, pods, expected, suspension) in table {
        let view = SandboxView { mode: Mode::Suspended, pods, ..sandbox() };
        assert_eq!(verdict(&view), expected, "{case}");
        assert_eq!(plan(&view, at(0)).status.suspension, suspension, "{case}");
    }
}

#[test]
fn services() {
    use Ownership::{Adoptable, Foreign, Ours};
    use ServiceWish::{Unsaid, Unwanted, Wanted};
    let drifted = ChildView { drift: Drift::Differs, ..child(Ours) };
    let table = [
        (Unsaid, None, "[] Ready(NotNeeded)"),
        (Unsaid, Some(child(Ours)), "[] Ready(Exists)"),
        (Unsaid, Some(child(Adoptable)), "[] Ready(NotNeeded)"),
        (Wanted, None, "[CreateService] NotYet(Ready, Missing)"),
        (Wanted, Some(child(Ours)), "[] Ready(Exists)"),
        (Wanted, Some(drifted), "[RepairService] Ready(Exists)"),
        (Wanted, Some(child(Adoptable)), "[AdoptService] NotYet(Ready, Missing)"),
        (
            Wanted,
            Some(child(Foreign)),
            r#"[] Error("service \"s\" exists and does not belong to this sandbox")"#,
        ),
        (Unwanted, Some(child(Ours)), "[DeleteService] Ready(NotNeeded)"),
        (Unwanted, Some(child(Foreign)), "[] Ready(NotNeeded)"),
    ];
    for (service_wish, service, expected) in table {
        let view = SandboxView {
            service_wish,
            service: service.clone(),
            pods: vec![running()],
            ..sandbox()
        };
        assert_eq!(verdict(&view), expected, "{service_wish:?} {service:?}");
    }
}

/// Volumes come before the pod that mounts them, and a pod is not started on somebody else's.
#[test]
fn volumes() {
    let volume = |found| vec![VolumeView { key: Key::new("ns", "data-s"), found }];
    let table = [
        (volume(None), "[CreateVolume CreatePod] NotYet(Missing, NotNeeded)"),
        (volume(Some(child(Ownership::Ours))), "[CreatePod] NotYet(Missing, NotNeeded)"),
        (
            volume(Some(child(Ownership::Adoptable))),
            "[AdoptVolume CreatePod] NotYet(Missing, NotNeeded)",
        ),
        (
            volume(Some(child(Ownership::Foreign))),
            r#"[] Error("volume claim \"data-s\" exists and does not belong to this sandbox")"#,
        ),
        (
            volume(Some(ChildView { leaving: true, ..child(Ownership::Ours) })),
            r#"[] Error("volume claim \"data-s\" is being deleted")"#,
        ),
    ];
    for (volumes, expected) in table {
        assert_eq!(verdict(&SandboxView { volumes, ..sandbox() }), expected);
    }
}

/// The end is reported first and carried out when that was seen. Volumes stay with the object.
#[test]
fn expiry() {
    let ends = |announced, expiry| SandboxView {
        shutdown_at: Some(at(0)),
        expiry,
        expiry_announced: announced,
        pods: vec![running()],
        service: Some(child(Ownership::Ours)),
        volumes: vec![VolumeView {
            key: Key::new("ns", "data-s"),
            found: Some(child(Ownership::Ours)),
        }],
        ..sandbox()
    };
    assert_eq!(verdict(&ends(false, ExpiryPolicy::Delete)), "[] Expired");
    assert_eq!(
        verdict(&ends(true, ExpiryPolicy::Delete)),
        "[DeletePod DeleteService DeleteSandbox] Expired"
    );
    assert_eq!(verdict(&ends(true, ExpiryPolicy::Retain)), "[DeletePod DeleteService] Expired");
    // Moving the end brings it back, announced or not.
    let moved =
        SandboxView { shutdown_at: Some(at(60)), pods: vec![], ..ends(true, ExpiryPolicy::Retain) };
    assert_eq!(verdict(&moved), "[CreatePod] NotYet(Missing, Exists)");
    assert_eq!(plan(&moved, at(0)).wake_at, Some(at(60)));
}

/// An error of the last writes is what the sandbox reports, whatever else could be said, and does not stop the work.
#[test]
fn errors_are_told_first() {
    let view = SandboxView {
        error: Some(Setback::Denied("pods is forbidden".to_owned())),
        mode: Mode::Suspended,
        ..sandbox()
    };
    assert_eq!(verdict(&view), r#"[] Error("pods is forbidden")"#);
    let view = SandboxView { error: Some(Setback::Denied("quota".to_owned())), ..sandbox() };
    assert_eq!(verdict(&view), r#"[CreatePod] Error("quota")"#);
}
