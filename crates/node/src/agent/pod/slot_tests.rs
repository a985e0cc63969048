//! What is started when, and when a pod is over.

use jiff::SignedDuration;

use super::*;

fn slots(init: &[(&str, bool)], main: &[&str]) -> Vec<Slot> {
    let init: Vec<_> = init
        .iter()
        .map(|(name, stays)| match stays {
            true => serde_json::json!({ "name": name, "restartPolicy": "Always" }),
            false => serde_json::json!({ "name": name }),
        })
        .collect();
    let main: Vec<_> = main.iter().map(|name| serde_json::json!({ "name": name })).collect();
    let spec = serde_json::json!({ "initContainers": init, "containers": main });
    Slot::all(&serde_json::from_value(spec).unwrap())
}

fn exit(code: i32) -> Ended {
    let exit = Exit { code, signal: None, oom: false, at: Timestamp::UNIX_EPOCH };
    Ended::of(&exit, Some(Timestamp::UNIX_EPOCH), None)
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn run(slot: &mut Slot) {
    slot.state = State::Running { started_at: NOW };
    slot.started = true;
}

#[test]
fn init_containers_go_one_by_one_and_the_rest_together() {
    let mut all = slots(&[("first", false), ("proxy", true), ("second", false)], &["a", "b"]);
    let policy = RestartPolicy::Always;
    assert_eq!(next(&all, policy, NOW).start, [0]);
    all[0].state = State::Starting;
    assert!(next(&all, policy, NOW).start.is_empty());
    all[0].ended(exit(0), policy, NOW);
    assert_eq!(next(&all, policy, NOW).start, [1]);
    run(&mut all[1]);
    all[1].started = false;
    assert!(next(&all, policy, NOW).start.is_empty(), "the sidecar has not started yet");
    all[1].started = true;
    assert_eq!(next(&all, policy, NOW).start, [2]);
    all[2].ended(exit(0), policy, NOW);
    assert_eq!(next(&all, policy, NOW).start, [3, 4]);
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let mut all = slots(&[("first", false)], &["a"]);
    all[0].ended(exit(3), RestartPolicy::Never, NOW);
    assert_eq!(next(&all, RestartPolicy::Never, NOW).over, Some(Outcome::Failed));
}

#[test]
fn the_first_restart_is_immediate_and_later_ones_wait() {
    let mut all = slots(&[], &["a"]);
    let policy = RestartPolicy::Always;
    all[0].ended(exit(1), policy, NOW);
    assert_eq!(next(&all, policy, NOW).start, [0]);
    assert_eq!((all[0].restarts, all[0].attempt), (1, 1));
    all[0].ended(exit(1), policy, NOW);
    let waiting = next(&all, policy, NOW);
    let ten = NOW + SignedDuration::from_secs(10);
    assert_eq!((waiting.start.len(), waiting.wake_at), (0, Some(ten)));
    assert_eq!(next(&all, policy, ten).start, [0]);
}

#[test]
fn a_pod_is_over_when_all_its_main_containers_are() {
    for (codes, policy, outcome) in [
        ([0, 0], RestartPolicy::OnFailure, Some(Outcome::Succeeded)),
        ([0, 1], RestartPolicy::Never, Some(Outcome::Failed)),
        ([0, 1], RestartPolicy::OnFailure, None),
        ([0, 0], RestartPolicy::Always, None),
    ] {
        let mut all = slots(&[("proxy", true)], &["a", "b"]);
        run(&mut all[0]);
        for (slot, code) in all[1..].iter_mut().zip(codes) {
            slot.ended(exit(code), policy, NOW);
        }
        assert_eq!(next(&all, policy, NOW).over, outcome, "{codes:?} {policy:?}");
    }
}

#[test]
fn ends_have_the_reasons_people_know() {
    let end = |code, oom| Ended::of(&Exit { code, signal: None, oom, at: NOW }, None, None).reason;
    assert_eq!([end(0, false), end(2, false), end(137, true)], ["Completed", "Error", "OOMKilled"]);
}
