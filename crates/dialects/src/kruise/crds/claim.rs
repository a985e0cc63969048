//! SandboxClaim.

use super::{Parts, definition};
use crate::kruise::duration;
use crate::kruise::names::Kind;
use crate::schema::{age_column, column, count, generation, keyed_conditions, pairs, text, time};
use serde_json::{Value, json};

const ABOUT: &str =
    "A request for sandboxes of a SandboxSet. What it got stays when it is deleted.";

/// More would be a mistake: it is a hundred times what the largest bursts of published load tests ask for in one object.
const MOST: u32 = 100_000;

pub(super) fn crd() -> Value {
    definition(
        Kind::SandboxClaim,
        Parts {
            about: ABOUT,
            spec: spec(),
            status: Some(status()),
            scale: None,
            columns: json!([
                column("Phase", "string", ".status.phase", "Whether it is over."),
                column("Template", "string", ".spec.templateName", "The set it takes from."),
                column("Desired", "integer", ".spec.replicas", "How many it asks for."),
                column("Claimed", "integer", ".status.claimedReplicas", "How many it got."),
                age_column(),
            ]),
        },
    )
}

fn spec() -> Value {
    json!({
        "type": "object",
        "description": "What is asked for.",
        "required": ["templateName"],
        "properties": {
            "templateName": {
                "type": "string",
                "minLength": 1,
                "description": "The SandboxSet of the same namespace to take from. It may appear later, before claimTimeout.",
            },
            "replicas": {
                "type": "integer",
                "format": "int32",
                "minimum": 1,
                "maximum": MOST,
                "default": 1,
                "description": "How many. It can't be changed: make another claim for more.",
                "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "replicas is immutable"}],
            },
            "shutdownTime": time("When the sandboxes end."),
            "pauseTime": time("When the sandboxes are paused."),
            "claimTimeout": limit("How long it tries before it is over with what it has.", "claimTimeout", "1m"),
            "waitReadyTimeout": limit(
                "How long a sandbox that was started or changed for the claim may take to get ready. One that is only slow is waited for all the same: another one would have to start from the beginning.",
                "waitReadyTimeout",
                "30s",
            ),
            "ttlAfterCompleted": {
                "type": "string",
                "pattern": duration::PATTERN,
                "maxLength": 64,
                "default": "60m",
                "description": "How long the claim stays when it is over; negative for ever. What it got stays in any case.",
            },
            "labels": unshared(pairs("Labels for the sandboxes and their pods."), "labels"),
            "annotations": unshared(pairs("Annotations for the sandboxes and their pods."), "annotations"),
            "envVars": pairs("Variables for what runs in the sandboxes. They are told to the runtime inside; a set whose template names none can't deliver them."),
            "inplaceUpdate": inplace_update(),
            "dynamicVolumesMount": dynamic_volumes_mount(),
            "runtimes": {
                "type": "array",
                "x-kubernetes-list-type": "atomic",
                "description": "Programs to put beside the containers; accepted, and not acted on.",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": text("The program.")},
                },
            },
            "reserveFailedSandbox": {
                "type": "boolean",
                "description": "Whether a sandbox that can't be delivered is kept to be looked at, instead of deleted.",
            },
            "createOnNoStock": {
                "type": "boolean",
                "default": true,
                "description": "Whether sandboxes are started for the claim when the set has none to give and none that is nearly ready.",
            },
            "skipInitRuntime": {
                "type": "boolean",
                "default": false,
                "description": "Whether the runtime inside is left alone.",
            },
        },
    })
}

/// A duration of a second at least.
fn limit(about: &str, field: &str, default: &str) -> Value {
    json!({
        "type": "string",
        "pattern": duration::PATTERN,
        "maxLength": 64,
        "default": default,
        "description": about,
        "x-kubernetes-validations": [{
            "rule": "duration(self) >= duration('1s')",
            "message": format!("{field} must be at least 1s"),
        }],
    })
}

/// Metadata for each of many: an id of one of them has no business there.
fn unshared(mut schema: Value, field: &str) -> Value {
    schema["x-kubernetes-validations"] = json!([{
        "rule": "!('agents.kruise.io/sandbox-id' in self)",
        "message": format!("{field} may not set agents.kruise.io/sandbox-id"),
    }]);
    schema
}

fn inplace_update() -> Value {
    let amounts = |about: &str| {
        json!({
            "type": "object",
            "description": about,
            "additionalProperties": {
                "x-kubernetes-int-or-string": true,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "pattern": r"^[+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$",
            },
        })
    };
    json!({
        "type": "object",
        "description": "What is changed about the first container of what is claimed, without starting another pod. A sandbox counts when the change took effect.",
        "properties": {
            "image": text("Its image."),
            "resources": {
                "type": "object",
                "description": "What it may use: cpu and memory, of what it has an amount already. The pod's class of service has to stay.",
                "properties": {
                    "requests": amounts("What is set aside for it."),
                    "limits": amounts("What it may not exceed."),
                },
            },
        },
    })
}

fn dynamic_volumes_mount() -> Value {
    json!({
        "type": "array",
        "nullable": true,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["mountPath"],
        "description": "Volumes for the runtime inside to mount; accepted, and answered by a condition that says they can't be.",
        "items": {
            "type": "object",
            "required": ["mountPath", "pvName"],
            "properties": {
                "mountID": text("A name for the mount."),
                "pvName": text("The volume."),
                "mountPath": text("Where it appears."),
                "subPath": text("Which part of it."),
                "readOnly": {"type": "boolean", "description": "Whether it may only be read."},
                "attributes": pairs("What the driver needs to know."),
            },
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What was given.",
        "properties": {
            "observedGeneration": generation("The generation of the claim that this status speaks of."),
            "phase": text("Claiming, or Completed with whatever it got."),
            "message": text("How far it is."),
            "claimedReplicas": count("How many it got."),
            "claimStartTime": time("When it began."),
            "completionTime": time("When it was over."),
            "conditions": keyed_conditions("Completed, with what is waited for meanwhile; TimedOut; and where they apply EnvVarsDelivered and VolumesMounted."),
            "sandboxes": {
                "type": "array",
                "x-kubernetes-list-type": "atomic",
                "description": "The names of the sandboxes it got, also of those that are gone since.",
                "items": {"type": "string"},
            },
        },
    })
}
