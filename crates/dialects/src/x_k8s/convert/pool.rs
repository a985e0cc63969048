//! SandboxWarmPool: v1alpha1 requires a number and reports no generation.

use super::{take, unannotate};
use serde_json::{Value, json};

const STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandboxwarmpool-state";

pub(super) fn up(_object: &mut Value) {}

pub(super) fn down(object: &mut Value) {
    unannotate(object, STATE);
    if object["spec"]["replicas"].is_null() {
        object["spec"]["replicas"] = json!(1);
    }
    take(object, "status", "observedGeneration");
}
