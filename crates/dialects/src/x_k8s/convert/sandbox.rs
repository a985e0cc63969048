//! Sandbox: `operatingMode` here, `replicas` there.

use super::{take, unannotate};
use serde_json::{Value, json};

/// Where other implementations keep a whole v1alpha1 Sandbox. Nothing in it is needed; it only must not be shown.
const STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandbox-state";

pub(super) fn up(object: &mut Value) {
    let replicas = take(object, "spec", "replicas");
    let mode = if replicas == Some(json!(0)) { "Suspended" } else { "Running" };
    object["spec"]["operatingMode"] = json!(mode);
    take(object, "status", "replicas");
}

pub(super) fn down(object: &mut Value) {
    let mode = take(object, "spec", "operatingMode");
    object["spec"]["replicas"] = json!(i32::from(mode != Some(json!("Suspended"))));
    unannotate(object, STATE);
    if object["status"].is_object() {
        take(object, "status", "nodeName");
        object["status"]["replicas"] = json!(i32::from(has_pod(&object["status"])));
    }
}

/// Whether the sandbox has a pod at this moment: the condition that mirrors the pod's place exists as long as the pod does.
fn has_pod(status: &Value) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "PodScheduled")
}
