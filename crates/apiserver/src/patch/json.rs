//! JSON patch (RFC 6902): a list of operations on places, applied all or not at all.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

/// More operations than this are refused, as the real server does: each may cost a walk through the object.
pub const MAX_OPERATIONS: usize = 10_000;

/// How many bytes `copy` operations may add in all. Each copy can double the object, so without a bound thirty short
/// operations fill any memory; the bound is that of a whole request body.
pub const MAX_COPIED_BYTES: usize = 3 << 20;

/// Why a JSON patch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum JsonPatchError {
    /// The body is no list of operations: 400.
    #[error("error decoding patch: {0}")]
    Decode(#[from] serde_json::Error),
    /// Too many operations: 413.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooMany(usize),
    /// Copies would grow the object beyond bounds: 413.
    #[error("the copy operations of the JSON patch add more than {MAX_COPIED_BYTES} bytes")]
    TooLarge,
    /// An operation failed (a `test` that does not hold, a path that is not there): 422.
    #[error("{0}")]
    Failed(#[from] json_patch::PatchError),
}

/// Applies a patch to a copy of `target`.
pub fn apply(target: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    if let Some(count) = patch.as_array().map(Vec::len).filter(|count| *count > MAX_OPERATIONS) {
        return Err(JsonPatchError::TooMany(count));
    }
    let Patch(operations) = serde::Deserialize::deserialize(patch)?;
    let mut result = target.clone();
    let mut copied = 0;
    for operation in &operations {
        if let PatchOperation::Copy(copy) = operation {
            let source = copy.from.resolve(&result).ok();
            copied += source.map_or(0, |source| source.to_string().len());
            if copied > MAX_COPIED_BYTES {
                return Err(JsonPatchError::TooLarge);
            }
        }
        json_patch::patch(&mut result, std::slice::from_ref(operation))?;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_apply_in_order() {
        let target = json!({"spec": {"list": [1, 2], "a~b": 1}});
        let patch = json!([
            {"op": "test", "path": "/spec/list/0", "value": 1},
            {"op": "add", "path": "/spec/list/-", "value": 3},
            {"op": "remove", "path": "/spec/list/0"},
            {"op": "replace", "path": "/spec/a~0b", "value": 2},
            {"op": "copy", "from": "/spec/list", "path": "/spec/copy"},
            {"op": "move", "from": "/spec/list", "path": "/moved"},
        ]);
        assert_eq!(
            apply(&target, &patch).unwrap(),
            json!({"spec": {"a~b": 2, "copy": [2, 3]}, "moved": [2, 3]})
        );
    }

    #[test]
    fn failures_are_told_apart() {
        let target = json!({"a": 1});
        for patch in [
            json!([{"op": "test", "path": "/a", "value": 2}]),
            json!([{"op": "remove", "path": "/b"}]),
            json!([{"op": "add", "path": "/b/c", "value": 1}]),
            json!([{"op": "replace", "path": "/b", "value": 1}]),
        ] {
            assert!(matches!(apply(&target, &patch), Err(JsonPatchError::Failed(_))), "{patch}");
        }
        for patch in [json!({}), json!([{"op": "dance", "path": "/a"}]), json!([{"op": "add"}])] {
            assert!(matches!(apply(&target, &patch), Err(JsonPatchError::Decode(_))), "{patch}");
        }
        let many = vec![json!({"op": "test", "path": "/a", "value": 1}); MAX_OPERATIONS + 1];
        assert!(matches!(apply(&target, &many.into()), Err(JsonPatchError::TooMany(10_001))));
    }

    #[test]
    fn copies_cannot_fill_the_memory() {
        let mut patch = Vec::new();
        for i in 0..40 {
            patch.push(json!({"op": "copy", "from": "", "path": format!("/c{i}")}));
        }
        assert!(matches!(apply(&json!({"a": "x"}), &patch.into()), Err(JsonPatchError::TooLarge)));
    }
}
