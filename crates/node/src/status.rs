//! A pod's status, computed from what is known of its containers.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
        ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::agent::pod::{Ended, Outcome, Role, Slot, State};

/// What a status is computed from.
pub(crate) struct View<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) slots: &'a [Slot],
    /// Whether the pod's namespaces, address and volumes are there.
    pub(crate) set_up: bool,
    pub(crate) ips: &'a [IpAddr],
    pub(crate) host_ip: IpAddr,
    pub(crate) start_time: Timestamp,
    /// Set once the pod is over, and stays.
    pub(crate) outcome: Option<Outcome>,
    /// Why the pod as a whole is in trouble: reason and message.
    pub(crate) trouble: Option<(&'a str, &'a str)>,
    /// What a resize waits for: conditions' type, reason and message.
    pub(crate) resize: &'a [(&'static str, &'a str, &'a str)],
    /// The status as last written: transition times of unchanged conditions, and conditions of others, are kept.
    pub(crate) before: &'a PodStatus,
    pub(crate) now: Timestamp,
}

/// The conditions that are ours, in the order they are shown.
const ORDER: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// Those that are there only while a resize is not done.
const RESIZE: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// Whether a condition is the node's to say.
pub(crate) fn is_ours(condition: &PodCondition) -> bool {
    ORDER.iter().chain(&RESIZE).any(|ours| condition.type_ == *ours)
}

/// Computes the status.
pub(crate) fn compute(view: &View<'_>) -> PodStatus {
    let spec = view.pod.spec.as_ref();
    let uid = view.pod.metadata.uid.as_deref().unwrap_or_default();
    let containers = |role_is_main: bool| -> Vec<ContainerStatus> {
        let given: Vec<&Container> = if role_is_main {
            spec.iter().flat_map(|s| &s.containers).collect()
        } else {
            spec.iter().flat_map(|s| s.init_containers.iter().flatten()).collect()
        };
        let slots = view.slots.iter().filter(|s| (s.role == Role::Main) == role_is_main);
        slots.zip(given).map(|(slot, container)| container_status(slot, container, uid)).collect()
    };
    let init = containers(false);
    // A pod on the machine's network has the machine's address.
    let shared = view.set_up && spec.is_some_and(|s| s.host_network == Some(true));
    let ips = if shared { std::slice::from_ref(&view.host_ip) } else { view.ips };
    let ip = |ip: &IpAddr| PodIP { ip: ip.to_string() };
    PodStatus {
        phase: Some(phase(view).into()),
        conditions: Some(conditions(view)),
        reason: view.trouble.map(|(reason, _)| reason.to_owned()),
        message: view.trouble.map(|(_, message)| message.to_owned()),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: Some(containers(true)),
        host_ip: Some(view.host_ip.to_string()),
        host_ips: Some(vec![HostIP { ip: view.host_ip.to_string() }]),
        pod_ip: ips.first().map(ToString::to_string),
        pod_ips: (!ips.is_empty()).then(|| ips.iter().map(ip).collect()),
        start_time: Some(seconds(view.start_time)),
        observed_generation: view.pod.metadata.generation,
        ..PodStatus::default()
    }
}

fn phase(view: &View<'_>) -> &'static str {
    match view.outcome {
        Some(Outcome::Succeeded) => return "Succeeded",
        Some(Outcome::Failed) => return "Failed",
        None => {}
    }
    // Running from the moment any main container has been, also while it waits to be restarted.
    let has_run = |slot: &Slot| {
        slot.last.is_some() || matches!(slot.state, State::Running { .. } | State::Ended(_))
    };
    let mut main = view.slots.iter().filter(|s| s.role == Role::Main);
    if main.any(has_run) { "Running" } else { "Pending" }
}

fn conditions(view: &View<'_>) -> Vec<PodCondition> {
    let before: Vec<PodCondition> = view.before.conditions.iter().flatten().cloned().collect();
    let over = view.outcome.is_some();
    let initialized = view.slots.iter().filter(|s| s.role != Role::Main).all(|slot| {
        match (&slot.state, slot.role) {
            (State::Ended(ended), _) => ended.exit_code == 0,
            (State::Running { .. }, Role::Sidecar) => slot.started,
            _ => false,
        }
    });
    let unready: Vec<&str> = view
        .slots
        .iter()
        .filter(|s| s.role != Role::Init && !(s.is_running() && s.ready))
        .map(|s| s.name.as_str())
        .collect();
    let completed = view.outcome == Some(Outcome::Succeeded);
    let why_unready = if completed {
        Some(("PodCompleted", String::new()))
    } else if over {
        Some(("PodFailed", String::new()))
    } else if let Some((reason, message)) = view.trouble {
        Some((reason, message.to_owned()))
    } else if unready.is_empty() {
        None
    } else {
        let names = unready.join(" ");
        Some(("ContainersNotReady", format!("containers with unready status: [{names}]")))
    };
    let gate =
        view.pod.spec.iter().flat_map(|s| s.readiness_gates.iter().flatten()).find(|gate| {
            !before.iter().any(|c| c.type_ == gate.condition_type && c.status == "True")
        });
    let why_gated = gate.map(|gate| {
        let message = format!(
            "corresponding condition of pod readiness gate {:?} does not exist or is not true.",
            gate.condition_type
        );
        ("ReadinessGatesNotReady", message)
    });
    let why_uninitialized = (!initialized).then(|| {
        let names: Vec<&str> = view
            .slots
            .iter()
            .filter(|s| {
                s.role != Role::Main && !matches!(&s.state, State::Ended(e) if e.exit_code == 0)
            })
            .map(|s| s.name.as_str())
            .collect();
        (
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", names.join(" ")),
        )
    });
    let ours = ORDER.map(|kind| {
        let why_not = match kind {
            "Initialized" if completed => None,
            "Initialized" => why_uninitialized.clone(),
            "Ready" => why_unready.clone().or_else(|| why_gated.clone()),
            "ContainersReady" => why_unready.clone(),
            "PodReadyToStartContainers" => (!view.set_up || over).then(|| ("", String::new())),
            _ => None,
        };
        let status = if why_not.is_none() { "True" } else { "False" };
        condition(kind, status, why_not, &before, view)
    });
    let resize = view.resize.iter().map(|(kind, reason, message)| {
        condition(kind, "True", Some((reason, (*message).to_owned())), &before, view)
    });
    let others = before.iter().filter(|c| !is_ours(c)).cloned();
    ours.into_iter().chain(resize).chain(others).collect()
}

fn condition(
    kind: &str,
    status: &str,
    why: Option<(&str, String)>,
    before: &[PodCondition],
    view: &View<'_>,
) -> PodCondition {
    let (reason, message) = why.unwrap_or_default();
    let given = |text: String| (!text.is_empty()).then_some(text);
    let same = before.iter().find(|c| c.type_ == kind && c.status == status);
    PodCondition {
        type_: kind.into(),
        status: status.into(),
        reason: given(reason.into()),
        message: given(message),
        last_transition_time: same
            .and_then(|c| c.last_transition_time.clone())
            .or(Some(seconds(view.now))),
        observed_generation: view.pod.metadata.generation,
        ..PodCondition::default()
    }
}

/// A restart that is waited for was not made yet.
fn restarts_made(slot: &Slot) -> u32 {
    match slot.state {
        State::Waiting { .. } | State::Starting => slot.restarts.saturating_sub(1),
        State::Running { .. } | State::Ended(_) => slot.restarts,
    }
}

fn container_status(slot: &Slot, container: &Container, uid: &str) -> ContainerStatus {
    let current = slot.container_id(uid);
    let (state, container_id) = match &slot.state {
        State::Waiting { reason, message } => (
            ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: Some((*reason).into()),
                    message: message.clone(),
                }),
                ..ContainerState::default()
            },
            slot.last.as_ref().and_then(|l| l.container_id.clone()),
        ),
        State::Starting => (
            ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: Some("ContainerCreating".into()),
                    message: None,
                }),
                ..ContainerState::default()
            },
            slot.last.as_ref().and_then(|l| l.container_id.clone()),
        ),
        State::Running { started_at } => (
            ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(seconds(*started_at)) }),
                ..ContainerState::default()
            },
            Some(current),
        ),
        State::Ended(ended) => (terminated(ended), ended.container_id.clone()),
    };
    ContainerStatus {
        name: slot.name.clone(),
        image: slot.image.clone().or_else(|| container.image.clone()).unwrap_or_default(),
        image_id: slot.image_id.clone().unwrap_or_default(),
        container_id,
        state: Some(state),
        last_state: Some(slot.last.as_ref().map(terminated).unwrap_or_default()),
        ready: match (slot.role, &slot.state) {
            (Role::Init, State::Ended(ended)) => ended.exit_code == 0,
            _ => slot.is_running() && slot.ready,
        },
        started: Some(slot.is_running() && slot.started),
        allocated_resources: slot.allocated.requests.clone(),
        resources: Some(
            slot.applied.clone().filter(|_| slot.is_running()).unwrap_or(slot.allocated.clone()),
        ),
        restart_count: i32::try_from(restarts_made(slot)).unwrap_or(i32::MAX),
        ..ContainerStatus::default()
    }
}

fn terminated(ended: &Ended) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: ended.exit_code,
            signal: ended.signal.filter(|_| ended.exit_code < 128),
            reason: Some(ended.reason.clone()),
            message: ended.message.clone(),
            started_at: ended.started_at.map(seconds),
            finished_at: Some(seconds(ended.finished_at)),
            container_id: ended.container_id.clone(),
        }),
        ..ContainerState::default()
    }
}

/// Kubernetes times have whole seconds; a status that differs only in a fraction would be written for nothing.
pub(crate) fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::Exit;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "p", "uid": "u" },
            "spec": {
                "initContainers": [{ "name": "i" }],
                "containers": [{ "name": "a", "image": "host" }],
                "readinessGates": [{ "conditionType": "example/gate" }],
            },
        }))
        .unwrap()
    }

    fn compute_with(slots: &[Slot], before: &PodStatus, outcome: Option<Outcome>) -> PodStatus {
        compute(&View {
            pod: &pod(),
            slots,
            set_up: true,
            ips: &["10.1.2.3".parse().unwrap()],
            host_ip: "127.0.0.1".parse().unwrap(),
            start_time: NOW,
            outcome,
            trouble: None,
            resize: &[],
            before,
            now: NOW,
        })
    }

    fn shown(status: &PodStatus) -> Vec<String> {
        let conditions = status.conditions.iter().flatten();
        conditions.map(|c| format!("{}={}", c.type_, c.status)).collect()
    }

    #[test]
    fn conditions_come_in_order_and_gates_are_asked() {
        let mut slots = Slot::all(&pod().spec.unwrap());
        let pending = compute_with(&slots, &PodStatus::default(), None);
        assert_eq!(pending.phase.as_deref(), Some("Pending"));
        assert_eq!(
            shown(&pending),
            [
                "PodReadyToStartContainers=True",
                "Initialized=False",
                "Ready=False",
                "ContainersReady=False",
                "PodScheduled=True"
            ]
        );
        let done = Exit { code: 0, signal: None, oom: false, at: NOW };
        slots[0].state = State::Ended(Ended::of(&done, None, None));
        slots[1].state = State::Running { started_at: NOW };
        (slots[1].started, slots[1].ready) = (true, true);
        let gated = compute_with(&slots, &PodStatus::default(), None);
        assert_eq!(
            shown(&gated)[1..4],
            ["Initialized=True", "Ready=False", "ContainersReady=True"]
        );
        let gate = json!({ "conditions": [{ "type": "example/gate", "status": "True" }] });
        let before = serde_json::from_value(gate).unwrap();
        let ready = compute_with(&slots, &before, None);
        assert_eq!(ready.phase.as_deref(), Some("Running"));
        assert_eq!(
            shown(&ready)[2..],
            ["Ready=True", "ContainersReady=True", "PodScheduled=True", "example/gate=True"]
        );
        let status = &ready.container_statuses.unwrap()[0];
        assert_eq!(status.container_id.as_deref(), Some("sandbank://u.a.0"));
        assert!(status.ready && status.started == Some(true));
    }

    #[test]
    fn a_pod_on_the_machine_s_network_has_the_machine_s_address() {
        let mut pod = pod();
        pod.spec.as_mut().unwrap().host_network = Some(true);
        let slots = Slot::all(pod.spec.as_ref().unwrap());
        let addresses = |set_up| {
            let status = compute(&View {
                pod: &pod,
                slots: &slots,
                set_up,
                ips: &[],
                host_ip: "127.0.0.1".parse().unwrap(),
                start_time: NOW,
                outcome: None,
                trouble: None,
                resize: &[],
                before: &PodStatus::default(),
                now: NOW,
            });
            (status.pod_ip, status.pod_ips.into_iter().flatten().map(|ip| ip.ip).collect())
        };
        assert_eq!(addresses(false), (None, Vec::<String>::new()));
        assert_eq!(addresses(true), (Some("127.0.0.1".into()), vec!["127.0.0.1".to_owned()]));
    }

    #[test]
    fn a_finished_pod_says_completed() {
        let mut slots = Slot::all(&pod().spec.unwrap());
        let done = Exit { code: 0, signal: None, oom: false, at: NOW };
        for slot in &mut slots {
            slot.state = State::Ended(Ended::of(&done, None, None));
        }
        let status = compute_with(&slots, &PodStatus::default(), Some(Outcome::Succeeded));
        assert_eq!(status.phase.as_deref(), Some("Succeeded"));
        let ready = &status.conditions.unwrap()[2];
        assert_eq!(
            (ready.status.as_str(), ready.reason.as_deref()),
            ("False", Some("PodCompleted"))
        );
    }

    #[test]
    fn an_unchanged_condition_keeps_its_time() {
        let slots = Slot::all(&pod().spec.unwrap());
        let mut before = compute_with(&slots, &PodStatus::default(), None);
        let earlier = seconds(NOW - jiff::SignedDuration::from_secs(60));
        for condition in before.conditions.iter_mut().flatten() {
            condition.last_transition_time = Some(earlier.clone());
        }
        assert_eq!(compute_with(&slots, &before, None), before);
    }
}
