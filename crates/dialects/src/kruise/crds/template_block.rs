//! What a sandbox runs, as a schema: the block that SandboxSet, Sandbox and SandboxTemplate share.
//!
//! Pod specs are open: what a newer Kubernetes knows must pass through. Only what nobody could run without is asked for.

use crate::schema::{open, pairs, text, word};
use serde_json::{Map, Value, json};

/// The properties of the block.
pub(super) fn properties() -> Map<String, Value> {
    let mut properties = of_template();
    properties.insert("templateRef".to_owned(), template_ref());
    properties
}

/// The properties of a block that can't refer to another one.
pub(super) fn of_template() -> Map<String, Value> {
    let properties = json!({
        "template": pod_template(),
        "volumeClaimTemplates": volume_claim_templates(),
        "persistentContents": {
            "type": "array",
            "x-kubernetes-list-type": "atomic",
            "description": "What a pause should keep: ip, memory, filesystem.",
            "items": {"type": "string"},
        },
        "runtimes": {
            "type": "array",
            "x-kubernetes-list-type": "atomic",
            "description": "Programs to put beside the containers.",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": text("The program.")},
            },
        },
        "pauseStrategy": {
            "type": "object",
            "description": "How a sandbox is paused.",
            "properties": {
                "type": word("Stop removes the pod and keeps its volumes. Hibernate is accepted and done as Stop.", &["Stop", "Hibernate"], None),
                "hibernateStrategy": {
                    "type": "object",
                    "description": "How to hibernate.",
                    "properties": {"type": text("The way.")},
                },
            },
        },
    });
    match properties {
        Value::Object(properties) => properties,
        _ => Map::new(),
    }
}

/// The rule that a block says what to run in exactly one way.
pub(super) fn one_template() -> Value {
    json!({
        "rule": "has(self.template) != has(self.templateRef)",
        "message": "exactly one of template and templateRef must be set",
    })
}

fn pod_template() -> Value {
    let mut spec = open("The spec of the pod, as in core/v1.");
    let mut container = open("A container, as in core/v1.");
    container["required"] = json!(["name"]);
    container["properties"] =
        json!({"name": {"type": "string", "minLength": 1, "description": "Its name."}});
    spec["required"] = json!(["containers"]);
    spec["properties"] = json!({
        "containers": {
            "type": "array",
            "minItems": 1,
            "description": "The containers of the pod.",
            "items": container,
        },
    });
    let mut metadata = open(
        "Labels and annotations for the pod. Keys of agents.kruise.io are reserved and dropped.",
    );
    metadata["properties"] = json!({
        "labels": guarded("Labels for the pod."),
        "annotations": guarded("Annotations for the pod."),
    });
    let mut template = open("The pod that runs in a sandbox.");
    template["required"] = json!(["spec"]);
    template["properties"] = json!({"metadata": metadata, "spec": spec});
    template
}

/// Labels or annotations. Keys of the HTTP front are refused: they carry tokens and addresses of one sandbox, which a template has no business to set.
fn guarded(about: &str) -> Value {
    let mut schema = pairs(about);
    schema["x-kubernetes-validations"] = json!([{
        "rule": "self.all(key, !key.startsWith('e2b.agents.kruise.io/'))",
        "message": "keys that begin with e2b.agents.kruise.io/ are reserved",
    }]);
    schema
}

fn template_ref() -> Value {
    json!({
        "type": "object",
        "description": "A SandboxTemplate of the same namespace that says what the pod is.",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": "Its name."},
            "kind": text("Its kind, SandboxTemplate; not looked at."),
            "apiVersion": text("Its group and version; not looked at."),
        },
    })
}

fn volume_claim_templates() -> Value {
    let mut metadata = open("The name of the volume, and labels and annotations for its claim.");
    metadata["required"] = json!(["name"]);
    metadata["properties"] = json!({
        "name": {"type": "string", "minLength": 1, "description": "The name under which containers mount it."},
        "labels": pairs("Labels for the claim."),
        "annotations": pairs("Annotations for the claim."),
    });
    let mut item = open("A volume claim, as in core/v1.");
    item["required"] = json!(["metadata", "spec"]);
    item["properties"] =
        json!({"metadata": metadata, "spec": open("The spec of the claim, as in core/v1.")});
    json!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "description": "Volume claims made with each sandbox; they live as long as the sandbox, whatever becomes of its pod.",
        "items": item,
    })
}
