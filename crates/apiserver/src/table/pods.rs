//! The columns of a pod: how many containers are ready, and one word for its state.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::builtin::{or_none, text};

/// Name, ready, status, restarts, age; then the wide ones: IP, node, nominated node, readiness gates.
pub(super) fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let state = state(pod, now);
    vec![
        pod["metadata"]["name"].clone(),
        format!("{}/{}", state.ready, state.containers).into(),
        state.word.into(),
        state.restarts.into(),
        age::since(&pod["metadata"]["creationTimestamp"], now).into(),
        or_none(text(&pod["status"]["podIP"])),
        or_none(text(&pod["spec"]["nodeName"])),
        or_none(text(&pod["status"]["nominatedNodeName"])),
        gates(pod),
    ]
}

struct State {
    ready: usize,
    containers: usize,
    word: String,
    restarts: String,
}

/// Restarts and when the last one was.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += status["restartCount"].as_i64().unwrap_or(0);
        let finished = status["lastState"]["terminated"]["finishedAt"].as_str();
        self.last = self.last.max(finished.and_then(|time| time.parse().ok()));
    }

    fn show(&self, now: Timestamp) -> String {
        match self.last {
            Some(last) if self.count > 0 => {
                format!("{} ({} ago)", self.count, age::span(now.as_second() - last.as_second()))
            }
            _ => self.count.to_string(),
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn condition<'v>(pod: &'v Value, name: &str) -> Option<&'v Value> {
    list(&pod["status"]["conditions"]).iter().find(|condition| condition["type"] == name)
}

fn is_true(pod: &Value, name: &str) -> bool {
    condition(pod, name).is_some_and(|condition| condition["status"] == "True")
}

/// Why a container ended, where its state gives no word for it.
fn exit(terminated: &Value) -> String {
    match terminated["signal"].as_i64().unwrap_or(0) {
        0 => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        signal => format!("Signal:{signal}"),
    }
}

fn state(pod: &Value, now: Timestamp) -> State {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let init = list(&spec["initContainers"]);
    let is_sidecar = |name: &Value| {
        init.iter()
            .any(|container| container["name"] == *name && container["restartPolicy"] == "Always")
    };
    let sidecars = init.iter().filter(|container| container["restartPolicy"] == "Always").count();
    let phase = text(&status["phase"]);
    let reason = text(&status["reason"]);
    let mut word = if reason.is_empty() { phase } else { reason }.to_owned();
    if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        word = "SchedulingGated".to_owned();
    }

    let mut ready = 0;
    let mut restarts = Restarts::default();
    let mut sidecar_restarts = Restarts::default();
    let mut initialising = false;
    for (index, container) in list(&status["initContainerStatuses"]).iter().enumerate() {
        restarts.add(container);
        let sidecar = is_sidecar(&container["name"]);
        if sidecar {
            sidecar_restarts.add(container);
        }
        let state = &container["state"];
        let waiting = text(&state["waiting"]["reason"]);
        if state["terminated"]["exitCode"] == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            ready += usize::from(container["ready"] == true);
            continue;
        }
        word = if !state["terminated"].is_null() {
            match text(&state["terminated"]["reason"]) {
                "" => format!("Init:{}", exit(&state["terminated"])),
                reason => format!("Init:{reason}"),
            }
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{}", init.len())
        };
        initialising = true;
        break;
    }

    if !initialising || is_true(pod, "Initialized") {
        restarts = sidecar_restarts;
        let mut running = false;
        for container in list(&status["containerStatuses"]).iter().rev() {
            restarts.add(container);
            let state = &container["state"];
            let waiting = text(&state["waiting"]["reason"]);
            if !waiting.is_empty() {
                word = waiting.to_owned();
            } else if !state["terminated"].is_null() {
                word = match text(&state["terminated"]["reason"]) {
                    "" => exit(&state["terminated"]),
                    reason => reason.to_owned(),
                };
            } else if container["ready"] == true && !state["running"].is_null() {
                running = true;
                ready += 1;
            }
        }
        // One container is done and another still runs: the pod as a whole is not completed.
        if word == "Completed" && running {
            word = if is_true(pod, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if reason == "NodeLost" {
            word = "Unknown".to_owned();
        } else if !matches!(phase, "Failed" | "Succeeded") {
            word = "Terminating".to_owned();
        }
    }
    let containers = list(&spec["containers"]).len() + sidecars;
    State { ready, containers, word, restarts: restarts.show(now) }
}

fn gates(pod: &Value) -> Value {
    let gates = list(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return json!("<none>");
    }
    let open = gates.iter().filter(|gate| is_true(pod, text(&gate["conditionType"]))).count();
    format!("{open}/{}", gates.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(status: Value, spec: Value, deleting: bool) -> (String, String, String) {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": spec, "status": status});
        if deleting {
            pod["metadata"]["deletionTimestamp"] = json!("2026-11-22T00:00:00Z");
        }
        let now = "2026-11-22T00:05:00Z".parse().unwrap();
        let cells = cells(&pod, now);
        let text = |index: usize| cells[index].as_str().unwrap().to_owned();
        (text(1), text(2), text(3))
    }

    #[test]
    fn one_word_for_each_state() {
        let one = json!({"containers": [{"name": "a"}]});
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let with_init = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
        let with_sidecar = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
        let running =
            json!({"name": "a", "ready": true, "state": {"running": {}}, "restartCount": 0});
        let done = json!({"name": "b", "ready": false, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}, "restartCount": 0});
        for (status, spec, deleting, expected) in [
            (json!({"phase": "Pending"}), &one, false, ("0/1", "Pending", "0")),
            (
                json!({"phase": "Running", "containerStatuses": [running]}),
                &one,
                false,
                ("1/1", "Running", "0"),
            ),
            (
                json!({"phase": "Running", "containerStatuses": [running]}),
                &one,
                true,
                ("1/1", "Terminating", "0"),
            ),
            (json!({"phase": "Failed", "reason": "Evicted"}), &one, true, ("0/1", "Evicted", "0")),
            (
                json!({"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3,
                "lastState": {"terminated": {"finishedAt": "2026-11-22T00:04:00Z"}}}]}),
                &one,
                false,
                ("0/1", "CrashLoopBackOff", "3 (60s ago)"),
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}),
                &one,
                false,
                ("0/1", "ExitCode:3", "0"),
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}),
                &one,
                false,
                ("0/1", "Signal:9", "0"),
            ),
            (
                json!({"phase": "Succeeded", "containerStatuses": [done]}),
                &one,
                false,
                ("0/1", "Completed", "0"),
            ),
            (
                json!({"phase": "Running", "containerStatuses": [running, done]}),
                &two,
                false,
                ("1/2", "NotReady", "0"),
            ),
            (
                json!({"phase": "Running", "containerStatuses": [running, done], "conditions": [{"type": "Ready", "status": "True"}]}),
                &two,
                false,
                ("1/2", "Running", "0"),
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
                &with_init,
                false,
                ("0/1", "Init:0/2", "0"),
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}}, {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]}),
                &with_init,
                false,
                ("0/1", "Init:1/2", "0"),
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}, "restartCount": 2}]}),
                &with_init,
                false,
                ("0/1", "Init:Error", "2"),
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}),
                &with_init,
                false,
                ("0/1", "Init:ImagePullBackOff", "0"),
            ),
            (
                json!({"phase": "Running", "initContainerStatuses": [{"name": "s", "ready": true, "started": true, "restartCount": 1, "state": {"running": {}}}],
                    "containerStatuses": [running]}),
                &with_sidecar,
                false,
                ("2/2", "Running", "1"),
            ),
            (
                json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
                &one,
                false,
                ("0/1", "SchedulingGated", "0"),
            ),
        ] {
            let found = shown(status.clone(), spec.clone(), deleting);
            let found = (found.0.as_str(), found.1.as_str(), found.2.as_str());
            assert_eq!(found, expected, "{status}");
        }
    }
}
