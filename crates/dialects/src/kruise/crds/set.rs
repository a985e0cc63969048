//! SandboxSet.

use super::{Parts, definition, template_block};
use crate::kruise::names::Kind;
use crate::schema::{
    age_column, column, count, generation, int_or_percent, keyed_conditions, text, wide_column,
};
use serde_json::{Value, json};

const ABOUT: &str = "Sandboxes of one template, kept ready for claims; claimed ones do not count.";

/// Any percentage; more than a hundred is as good as all.
const PERCENTAGE: &str = "^[0-9]{1,9}%$";

pub(super) fn crd() -> Value {
    definition(
        Kind::SandboxSet,
        Parts {
            about: ABOUT,
            spec: spec(),
            status: Some(status()),
            scale: Some(json!({
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            })),
            columns: json!([
                column(
                    "Replicas",
                    "integer",
                    ".status.replicas",
                    "How many unclaimed sandboxes there are."
                ),
                column(
                    "Available",
                    "integer",
                    ".status.availableReplicas",
                    "How many of them can be claimed."
                ),
                wide_column(
                    "UpdatedReplicas",
                    "integer",
                    ".status.updatedReplicas",
                    "How many of them are of the current revision."
                ),
                wide_column(
                    "UpdatedAvailableReplicas",
                    "integer",
                    ".status.updatedAvailableReplicas",
                    "How many of those can be claimed."
                ),
                column(
                    "UpdateRevision",
                    "string",
                    ".status.updateRevision",
                    "The current revision."
                ),
                age_column(),
            ]),
        },
    )
}

fn spec() -> Value {
    let mut properties = template_block::properties();
    properties.insert(
        "replicas".to_owned(),
        json!({
            "type": "integer",
            "format": "int32",
            "minimum": 0,
            "description": "How many unclaimed sandboxes to keep.",
        }),
    );
    properties.insert(
        "scaleStrategy".to_owned(),
        json!({
            "type": "object",
            "description": "How the set grows.",
            "properties": {
                "maxUnavailable": int_or_percent("How many may be on their way to ready at once: a number, or a part of replicas, rounded up. Absent: no limit. 0 makes none.", PERCENTAGE),
            },
        }),
    );
    properties.insert("updateStrategy".to_owned(), update_strategy());
    json!({
        "type": "object",
        "description": "What the set should be.",
        "required": ["replicas"],
        "properties": properties,
        "x-kubernetes-validations": [template_block::one_template()],
    })
}

fn update_strategy() -> Value {
    let mut unavailable = int_or_percent(
        "How many may be missing while sandboxes of an older template are replaced: a number, or a part of replicas, rounded up. 0 replaces none, unless maxSurge allows it.",
        PERCENTAGE,
    );
    unavailable["default"] = json!("20%");
    json!({
        "type": "object",
        "default": {},
        "description": "How the set follows a change of its template. Claimed sandboxes never do.",
        "properties": {
            "maxUnavailable": unavailable,
            "maxSurge": int_or_percent("How many more may exist meanwhile: a number, or a part of replicas, rounded up. 0 if absent.", PERCENTAGE),
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What the set is.",
        "required": ["replicas", "availableReplicas"],
        "properties": {
            "observedGeneration": generation("The generation of the set that this status speaks of."),
            "replicas": count("How many unclaimed sandboxes there are."),
            "availableReplicas": count("How many of them can be claimed."),
            "updateRevision": text("The revision that new sandboxes get."),
            "currentRevision": text("The name of the SandboxTemplate that has it."),
            "updatedReplicas": count("How many unclaimed ones are of that revision."),
            "updatedAvailableReplicas": count("How many of those can be claimed."),
            "selector": text("The label selector that finds the unclaimed ones and their pods."),
            "templateDigest": text("What updateRevision stands for."),
            "conditions": keyed_conditions("Available (as many can be claimed as were asked for), Progressing (the set gets on, or why it does not), and where they apply ScalingLimited and FieldsServed."),
        },
    })
}
