//! SandboxWarmPool.

use super::schema::{conditions, count, name_ref, text, word};
use super::{Version, age_column, column, definition};
use crate::schema;
use crate::x_k8s::names::{Kind, V1ALPHA1, V1BETA1};
use serde_json::{Value, json};

/// Up to a hundred percent, without leading zeros.
const PERCENTAGE: &str = "^(100|[1-9]?[0-9])%$";

const ABOUT: &str = "Sandboxes of one template, kept ready for claims.";

pub(super) fn crd() -> Value {
    definition(Kind::SandboxWarmPool, "swp", ABOUT, version(V1BETA1), version(V1ALPHA1))
}

fn version(name: &str) -> Version {
    let mut replicas = json!({
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "description": "How many unclaimed sandboxes to keep ready.",
    });
    let mut required = vec!["sandboxTemplateRef"];
    let mut status = json!({
        "replicas": count("How many sandboxes are warm."),
        "readyReplicas": count("How many of them are ready."),
        "updatedReplicas": count("How many of them are of the template as it is now."),
        "selector": text("The label selector that finds them and their pods."),
        "conditions": conditions("Available (as many are ready as were asked for) and Progressing (the pool gets on, or why it does not)."),
    });
    if name == V1BETA1 {
        replicas["default"] = json!(1);
        status["observedGeneration"] = json!({
            "type": "integer",
            "format": "int64",
            "minimum": 0,
            "description": "The generation of the pool that this status speaks of.",
        });
    } else {
        required.insert(0, "replicas");
    }
    Version {
        spec: json!({
            "type": "object",
            "description": "What the pool should be.",
            "required": required,
            "properties": {
                "replicas": replicas,
                "sandboxTemplateRef": name_ref("The template of its sandboxes."),
                "updateStrategy": update_strategy(),
            },
        }),
        status: Some(
            json!({"type": "object", "description": "What the pool is.", "properties": status}),
        ),
        subresources: Some(json!({
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        })),
        columns: json!([
            column("Ready", "integer", ".status.readyReplicas", "How many are ready."),
            column("Desired", "integer", ".spec.replicas", "How many were asked for."),
            age_column(),
        ]),
    }
}

fn update_strategy() -> Value {
    json!({
        "type": "object",
        "description": "How warm sandboxes follow a change of the template. Claimed ones never do. Absent: OnReplenish.",
        "properties": {
            "type": word(
                "Recreate removes all stale ones at once. OnReplenish lets them stay until they are claimed. RollingUpdate replaces them step by step, each step when the last one is ready; until then they may be claimed if no fresh one is ready.",
                &["Recreate", "OnReplenish", "RollingUpdate"],
                Some("OnReplenish"),
            ),
            "rollingUpdate": {
                "type": "object",
                "description": "How far RollingUpdate may go at a time.",
                "properties": {
                    "maxUnavailable": schema::int_or_percent("How many may be missing while it goes on: a number, or a part of replicas, rounded down. 25% if absent.", PERCENTAGE),
                    "maxSurge": schema::int_or_percent("How many more may exist while it goes on: a number, or a part of replicas, rounded up. 25% if absent.", PERCENTAGE),
                },
            },
        },
        "x-kubernetes-validations": [
            {
                "rule": "!has(self.rollingUpdate) || (has(self.type) && self.type == 'RollingUpdate')",
                "message": "rollingUpdate is only allowed with type RollingUpdate",
            },
            {
                "rule": "!has(self.rollingUpdate) || !has(self.rollingUpdate.maxUnavailable) || !has(self.rollingUpdate.maxSurge) || !(self.rollingUpdate.maxUnavailable in [0, '0%']) || !(self.rollingUpdate.maxSurge in [0, '0%'])",
                "message": "maxUnavailable and maxSurge can't both be zero: nothing could ever be replaced. Raise one of them",
            },
        ],
    })
}
