//! Sandbox.

use super::{Parts, definition, template_block};
use crate::kruise::names::Kind;
use crate::schema::{
    age_column, column, count, generation, keyed_conditions, pairs, text, time, word,
};
use serde_json::{Value, json};

const ABOUT: &str = "One sandbox: a pod of the same name, and the volumes that outlive it.";

pub(super) fn crd() -> Value {
    definition(
        Kind::Sandbox,
        Parts {
            about: ABOUT,
            spec: spec(),
            status: Some(status()),
            scale: None,
            columns: json!([
                column("Status", "string", ".status.phase", "The phase."),
                age_column(),
                column(
                    "Claimed",
                    "string",
                    r".metadata.labels.agents\.kruise\.io/sandbox-claimed",
                    "Whether somebody has it."
                ),
                column("shutdown_time", "string", ".spec.shutdownTime", "When it is deleted."),
                column("pause_time", "string", ".spec.pauseTime", "When it is paused."),
                column(
                    "RecycledCount",
                    "integer",
                    ".status.recycledCount",
                    "How often it came back to its set."
                ),
                column("Message", "string", ".status.message", "A sentence beside the phase."),
            ]),
        },
    )
}

fn spec() -> Value {
    let mut properties = template_block::properties();
    let own = json!({
        "paused": {
            "type": "boolean",
            "description": "Whether it should be paused: the pod goes, everything else stays.",
        },
        "shutdownTime": time("When it is deleted."),
        "pauseTime": time("When it is paused. To run it again, move this time too."),
        "upgradePolicy": {
            "type": "object",
            "description": "How a change of the template reaches the pod. Absent: labels, annotations, images and resources are changed in the running pod, and anything else is refused.",
            "properties": {
                "type": word("Recreate replaces the pod. CheckpointRestore is accepted and not done; a condition says so.", &["Recreate", "CheckpointRestore"], None),
            },
        },
        "lifecycle": {
            "type": "object",
            "description": "What runs around an upgrade.",
            "properties": {
                "preUpgrade": hook("Runs in the old pod, before it goes."),
                "postUpgrade": hook("Runs in the new pod, once it is ready."),
            },
        },
    });
    if let Value::Object(own) = own {
        properties.extend(own);
    }
    json!({
        "type": "object",
        "description": "What the sandbox should be.",
        "properties": properties,
        "x-kubernetes-validations": [template_block::one_template()],
    })
}

fn hook(about: &str) -> Value {
    json!({
        "type": "object",
        "description": about,
        "properties": {
            "exec": {
                "type": "object",
                "description": "A program in the first container.",
                "properties": {
                    "command": {
                        "type": "array",
                        "description": "The program, then its arguments.",
                        "items": {"type": "string"},
                    },
                },
            },
            "timeoutSeconds": {
                "type": "integer",
                "format": "int32",
                "minimum": 1,
                "default": 60,
                "description": "How long it may take.",
            },
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What the sandbox is.",
        "properties": {
            "observedGeneration": generation("The generation of the sandbox that this status speaks of."),
            "phase": text("Pending, Running, Paused, Resuming, Upgrading, Recycling, Succeeded, Failed or Terminating."),
            "message": text("A sentence beside the phase."),
            "conditions": keyed_conditions("Ready, and where they apply SandboxPaused, SandboxResumed, InplaceUpdate, Upgrading, RuntimeInitialized and FieldsServed."),
            "podInfo": {
                "type": "object",
                "description": "Its pod.",
                "properties": {
                    "annotations": pairs("Its annotations."),
                    "labels": pairs("Its labels."),
                    "nodeName": text("Its node."),
                    "podIP": text("Its address."),
                    "podUID": text("Its life."),
                },
            },
            "nodeName": text("The node its pod runs on."),
            "sandboxIp": text("The address of its pod."),
            "updateRevision": text("The revision of its template."),
            "recycledCount": count("How often it came back to its set."),
        },
    })
}
