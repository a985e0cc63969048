//! Schema blocks that several kinds share.

use serde_json::{Value, json};
use std::sync::OnceLock;

/// The core schemas, generated from Kubernetes' own: PodSpec, PersistentVolumeClaimSpec, NetworkPolicyIngressRule, NetworkPolicyEgressRule.
fn core(name: &str) -> Value {
    static CORE: OnceLock<Value> = OnceLock::new();
    let core = CORE.get_or_init(|| {
        serde_json::from_str(include_str!("../../../data/pod-spec.json"))
            .expect("the data file in this crate is JSON")
    });
    core[name].clone()
}

/// A core schema with a description.
fn described(name: &str, about: &str) -> Value {
    let mut schema = core(name);
    schema["description"] = json!(about);
    schema
}

/// A map of strings.
pub(super) fn pairs(about: &str) -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}, "description": about})
}

/// A name of another object, required.
pub(super) fn name_ref(about: &str) -> Value {
    json!({
        "type": "object",
        "description": about,
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1, "description": "Its name, in the same namespace."}},
    })
}

/// A moment.
pub(super) fn time(about: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": about})
}

/// What a sandbox runs: the three fields that Sandbox and SandboxTemplate share.
pub(super) fn blueprint(volumes_about: &str) -> serde_json::Map<String, Value> {
    let fields = json!({
        "podTemplate": {
            "type": "object",
            "description": "The pod that runs in the sandbox.",
            "required": ["spec"],
            "properties": {
                "metadata": {
                    "type": "object",
                    "description": "Labels and annotations for the pod. Keys of agents.x-k8s.io are reserved and dropped.",
                    "properties": {
                        "labels": pairs("Labels for the pod."),
                        "annotations": pairs("Annotations for the pod."),
                    },
                },
                "spec": pod_spec(),
            },
        },
        "volumeClaimTemplates": volume_claim_templates(volumes_about),
        "service": {
            "type": "boolean",
            "description": "Whether the sandbox has a headless Service. Absent: none is made, and one that the sandbox owns already stays in use.",
        },
    });
    match fields {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    }
}

/// The spec of a pod. One without containers could never run, and nobody would say so before it is made.
fn pod_spec() -> Value {
    let mut spec = described("PodSpec", "The spec of the pod, as in core/v1.");
    spec["properties"]["containers"]["minItems"] = json!(1);
    spec
}

/// A list of volume claims to make.
pub(super) fn volume_claim_templates(about: &str) -> Value {
    json!({
        "type": "array",
        "x-kubernetes-list-type": "atomic",
        "description": about,
        "items": {
            "type": "object",
            "required": ["metadata", "spec"],
            "properties": {
                "metadata": {
                    "type": "object",
                    "description": "The name of the volume, and labels and annotations for its claim.",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "description": "The name under which the pod mounts it."},
                        "labels": pairs("Labels for the claim."),
                        "annotations": pairs("Annotations for the claim."),
                    },
                },
                "spec": described("PersistentVolumeClaimSpec", "The spec of the claim, as in core/v1."),
            },
        },
    })
}

/// Rules of a network policy.
pub(super) fn network_policy() -> Value {
    json!({
        "type": "object",
        "description": "Rules for the sandboxes' traffic. Absent: only the router may come in, and only public addresses may be reached. Present: these rules and no others; an empty list allows nothing.",
        "properties": {
            "ingress": {
                "type": "array",
                "description": "Who may come in.",
                "items": core("NetworkPolicyIngressRule"),
            },
            "egress": {
                "type": "array",
                "description": "Where sandboxes may connect to.",
                "items": core("NetworkPolicyEgressRule"),
            },
        },
    })
}

/// A word out of a few.
pub(super) fn word(about: &str, words: &[&str], default: Option<&str>) -> Value {
    let mut schema = json!({"type": "string", "enum": words, "description": about});
    if let Some(default) = default {
        schema["default"] = json!(default);
    }
    schema
}

/// Conditions, as every kind of Kubernetes has them. A plain list in this family: one writer owns it whole.
pub(super) fn conditions(about: &str) -> Value {
    json!({
        "type": "array",
        "description": about,
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                    "description": "What it speaks of.",
                },
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "Why, in a word.",
                },
                "message": {"type": "string", "maxLength": 32768, "description": "Why, in a sentence."},
                "lastTransitionTime": time("When its status changed last."),
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "The generation of the object that it speaks of.",
                },
            },
        },
    })
}

/// A count.
pub(super) fn count(about: &str) -> Value {
    json!({"type": "integer", "format": "int32", "description": about})
}

/// A count that is not negative.
pub(super) fn natural(about: &str) -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 0, "description": about})
}

/// Addresses of a pod.
pub(super) fn pod_ips() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": "The addresses of the pod."})
}

/// A text.
pub(super) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}
