//! What may change in a pod that exists. A running process can't follow a change of its spec, so nearly nothing may.

use serde_json::Value;

use super::quality_of_service;
use crate::schema::FieldError;

/// The longest deadline in seconds: what the kubelet's 32-bit arithmetic can hold.
pub(super) const MAX_DEADLINE: i64 = i32::MAX as i64;

/// How many changed fields a refusal names. A pod that was replaced by another one differs everywhere, and the first few say so.
const NAMED: usize = 8;

/// Everything wrong with an update through the pod itself.
pub(super) fn check(pod: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let (new_spec, old_spec) = (&pod["spec"], &old["spec"]);
    for list in ["containers", "initContainers"] {
        if !check_images(&new_spec[list], &old_spec[list], &format!("spec.{list}"), errors) {
            return;
        }
    }
    if !check_deadline(new_spec, old_spec, errors) {
        return;
    }
    check_tolerations(new_spec, old_spec, errors);
    let before = old["status"]["qosClass"].as_str().unwrap_or(quality_of_service(old_spec));
    if before != quality_of_service(new_spec) {
        errors.push(FieldError::invalid("metadata", before.into(), "Pod QoS is immutable"));
    }
    let mut changed = Vec::new();
    differences(&fixed(new_spec, old_spec), &fixed(old_spec, old_spec), "spec", &mut changed);
    if !changed.is_empty() {
        changed.truncate(NAMED);
        let detail = format!(
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
             `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
             `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\
             ; this one changes {}",
            changed.join(", ")
        );
        errors.push(FieldError::forbidden("spec", detail));
    }
}

/// False if the lists can't be compared further.
fn check_images(new: &Value, old: &Value, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let items = |list: &Value| list.as_array().map_or(0, Vec::len);
    if items(new) != items(old) {
        errors.push(FieldError::forbidden(path, "pod updates may not add or remove containers"));
        return false;
    }
    for (index, container) in new.as_array().into_iter().flatten().enumerate() {
        let image = container["image"].as_str().unwrap_or_default();
        let path = format!("{path}[{index}].image");
        if image.trim().is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        if image.trim() != image {
            let detail = "must not have leading or trailing whitespace";
            errors.push(FieldError::invalid(&path, image.into(), detail));
        }
    }
    true
}

/// A deadline may be set and shortened: whoever relied on it must not wait longer. False if it may not change so.
fn check_deadline(new: &Value, old: &Value, errors: &mut Vec<FieldError>) -> bool {
    const PATH: &str = "spec.activeDeadlineSeconds";
    let (new, old) = (new["activeDeadlineSeconds"].as_i64(), old["activeDeadlineSeconds"].as_i64());
    let error = match (new, old) {
        (Some(seconds), _) if !(0..=MAX_DEADLINE).contains(&seconds) => {
            let detail = format!("must be between 0 and {MAX_DEADLINE}, inclusive");
            FieldError::invalid(PATH, seconds.into(), detail)
        }
        (Some(seconds), Some(before)) if before < seconds => {
            let detail = "must be less than or equal to previous value";
            FieldError::invalid(PATH, seconds.into(), detail)
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(PATH, Value::Null, detail));
            return true;
        }
        _ => return true,
    };
    errors.push(error);
    false
}

/// Tolerations may be added; of those that are there only the time may change.
fn check_tolerations(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(members) = toleration.as_object_mut() {
            members.remove("tolerationSeconds");
        }
        toleration
    };
    let list = |spec: &Value| -> Vec<Value> {
        spec["tolerations"].as_array().into_iter().flatten().map(timeless).collect()
    };
    let there = list(new);
    if !list(old).iter().all(|toleration| there.contains(toleration)) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", detail));
    }
}

/// A spec without what may change, or what has been looked at already.
fn fixed(spec: &Value, old: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(members) = container.as_object_mut() {
                members.remove("image");
            }
        }
    }
    if let Some(members) = spec.as_object_mut() {
        members.remove("activeDeadlineSeconds");
        members.remove("tolerations");
        let grace = |spec: &Value| spec["terminationGracePeriodSeconds"].as_i64();
        let set_to_one = members.get("terminationGracePeriodSeconds").is_some_and(|s| *s == 1);
        if grace(old).is_some_and(|seconds| seconds < 0) {
            let kept =
                if set_to_one { &Value::Null } else { &old["terminationGracePeriodSeconds"] };
            if set_to_one || members.get("terminationGracePeriodSeconds") == Some(kept) {
                members.remove("terminationGracePeriodSeconds");
            }
        }
    }
    spec
}

/// Where two values differ. Empty and absent are the same, as they are to typed clients.
pub(super) fn differences(new: &Value, old: &Value, path: &str, found: &mut Vec<String>) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            let added = new.keys().filter(|name| !old.contains_key(*name));
            for name in old.keys().chain(added) {
                let [new, old] =
                    [new, old].map(|members| members.get(name).unwrap_or(&Value::Null));
                differences(new, old, &format!("{path}.{name}"), found);
            }
        }
        (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
            for (index, (new, old)) in new.iter().zip(old).enumerate() {
                differences(new, old, &format!("{path}[{index}]"), found);
            }
        }
        _ if new == old || is_nothing(new) && is_nothing(old) => {}
        _ => found.push(path.to_owned()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
