//! Volumes, claims to them and their classes. Binding is left to whoever provides volumes.

use serde_json::{Value, json};

use super::{Hooks, default_to};
use crate::schema::FieldError;

pub(super) const CLAIM: Hooks = Hooks {
    on_create: |claim| claim["status"] = json!({"phase": "Pending"}),
    default: |claim| default_to(&mut claim["spec"], "volumeMode", "Filesystem"),
    validate: validate_claim,
    ..Hooks::NONE
};

pub(super) const VOLUME: Hooks = Hooks {
    on_create: |volume| volume["status"] = json!({"phase": "Pending"}),
    default: |volume| {
        default_to(&mut volume["spec"], "volumeMode", "Filesystem");
        default_to(&mut volume["spec"], "persistentVolumeReclaimPolicy", "Retain");
    },
    ..Hooks::NONE
};

pub(super) const CLASS: Hooks = Hooks {
    default: |class| {
        default_to(class, "reclaimPolicy", "Delete");
        default_to(class, "volumeBindingMode", "Immediate");
    },
    ..Hooks::NONE
};

fn validate_claim(claim: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &claim["spec"];
    if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
        let detail = "at least 1 access mode is required";
        errors.push(FieldError::required("spec.accessModes", detail));
    }
    if spec["resources"]["requests"]["storage"].is_null() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    let Some(old) = old else { return errors };
    // A claim's size may grow and its volume may be named once; everything else stays as it was asked for.
    let fixed = |value: &Value| {
        let mut spec = value["spec"].clone();
        if let Some(members) = spec.as_object_mut() {
            members.remove("resources");
            members.remove("volumeAttributesClassName");
            if old["spec"]["volumeName"].as_str().unwrap_or_default().is_empty() {
                members.remove("volumeName");
            }
            if old["spec"]["storageClassName"].is_null() {
                members.remove("storageClassName");
            }
        }
        spec
    };
    if fixed(claim) != fixed(old) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", detail));
    }
    errors
}
