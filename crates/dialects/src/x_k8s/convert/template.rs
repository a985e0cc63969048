//! SandboxTemplate: v1alpha1 lacks one policy.

use super::{annotate, take, unannotate};
use serde_json::{Value, json};

const STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandboxtemplate-state";
const VOLUMES_POLICY: &str = "api.agents.x-k8s.io/v1beta1-volume-claim-templates-policy";

pub(super) fn up(object: &mut Value) {
    if let Some(policy) = unannotate(object, VOLUMES_POLICY) {
        object["spec"]["volumeClaimTemplatesPolicy"] = json!(policy);
    }
}

pub(super) fn down(object: &mut Value) {
    unannotate(object, STATE);
    // The default is what an absent policy means; carrying it would only add an annotation to every template.
    match take(object, "spec", "volumeClaimTemplatesPolicy").as_ref().and_then(Value::as_str) {
        None | Some("Disallowed") => {}
        Some(policy) => annotate(object, VOLUMES_POLICY, policy.to_owned()),
    }
}
