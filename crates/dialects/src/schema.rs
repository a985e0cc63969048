//! Blocks of schemas and columns that the definitions of every family are made of.

use serde_json::{Value, json};
use std::sync::OnceLock;

/// The core schemas, generated from Kubernetes' own: PodSpec, PersistentVolumeClaimSpec, NetworkPolicyIngressRule, NetworkPolicyEgressRule.
pub(crate) fn core(name: &str) -> Value {
    static CORE: OnceLock<Value> = OnceLock::new();
    let core = CORE.get_or_init(|| {
        serde_json::from_str(include_str!("../data/pod-spec.json"))
            .expect("the data file in this crate is JSON")
    });
    core[name].clone()
}

/// A core schema with a description.
pub(crate) fn described(name: &str, about: &str) -> Value {
    let mut schema = core(name);
    schema["description"] = json!(about);
    schema
}

/// A map of strings.
pub(crate) fn pairs(about: &str) -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}, "description": about})
}

/// A name of another object, required.
pub(crate) fn name_ref(about: &str) -> Value {
    json!({
        "type": "object",
        "description": about,
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1, "description": "Its name, in the same namespace."}},
    })
}

/// A moment.
pub(crate) fn time(about: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": about})
}

/// A word out of a few.
pub(crate) fn word(about: &str, words: &[&str], default: Option<&str>) -> Value {
    let mut schema = json!({"type": "string", "enum": words, "description": about});
    if let Some(default) = default {
        schema["default"] = json!(default);
    }
    schema
}

/// Conditions, as every kind of Kubernetes has them. A plain list: one writer owns it whole.
pub(crate) fn conditions(about: &str) -> Value {
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
pub(crate) fn count(about: &str) -> Value {
    json!({"type": "integer", "format": "int32", "description": about})
}

/// A count that is not negative.
pub(crate) fn natural(about: &str) -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 0, "description": about})
}

/// A text.
pub(crate) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

/// Conditions as a list keyed by type, for families whose clients apply single ones.
pub(crate) fn keyed_conditions(about: &str) -> Value {
    let mut schema = conditions(about);
    schema["x-kubernetes-list-type"] = json!("map");
    schema["x-kubernetes-list-map-keys"] = json!(["type"]);
    schema
}

/// A generation, in a status.
pub(crate) fn generation(about: &str) -> Value {
    json!({"type": "integer", "format": "int64", "description": about})
}

/// A number that is not negative, or a percentage that matches `pattern`.
pub(crate) fn int_or_percent(about: &str, pattern: &str) -> Value {
    json!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "minimum": 0,
        "pattern": pattern,
        "description": about,
    })
}

/// An object of which nothing is pruned: what it is made of is not ours to know.
pub(crate) fn open(about: &str) -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": about})
}

/// A column of a table.
pub(crate) fn column(name: &str, kind: &str, path: &str, about: &str) -> Value {
    json!({"name": name, "type": kind, "jsonPath": path, "description": about})
}

/// A column that only `-o wide` shows.
pub(crate) fn wide_column(name: &str, kind: &str, path: &str, about: &str) -> Value {
    let mut column = column(name, kind, path, about);
    column["priority"] = json!(1);
    column
}

/// How long ago it was created.
pub(crate) fn age_column() -> Value {
    json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
}
