//! Schema blocks that several kinds of this family share.

use serde_json::{Value, json};

pub(super) use crate::schema::{conditions, count, name_ref, natural, pairs, text, time, word};
use crate::schema::{core, described};

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

/// Addresses of a pod.
pub(super) fn pod_ips() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": "The addresses of the pod."})
}
