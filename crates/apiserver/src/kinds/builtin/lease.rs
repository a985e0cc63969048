//! Leases: small objects on which elections rest.

use serde_json::Value;

use super::Hooks;
use crate::schema::FieldError;

pub(super) const HOOKS: Hooks = Hooks { validate, ..Hooks::NONE };

fn validate(lease: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec = &lease["spec"];
    let mut errors = Vec::new();
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
        let path = "spec.leaseDurationSeconds";
        errors.push(FieldError::invalid(path, seconds.into(), "must be greater than 0"));
    }
    if let Some(count) = spec["leaseTransitions"].as_i64().filter(|count| *count < 0) {
        let path = "spec.leaseTransitions";
        errors.push(FieldError::invalid(path, count.into(), "must be greater than or equal to 0"));
    }
    errors
}
