//! JSON merge patch (RFC 7396): objects merge, null removes, everything else replaces.

use serde_json::Value;

/// Applies a patch in place. Every patch applies to every value, so this can't fail.
pub fn apply(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn applied(mut target: Value, patch: &Value) -> Value {
        apply(&mut target, patch);
        target
    }

    #[test]
    fn null_removes_objects_merge_and_the_rest_replaces() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b", "c"]}), json!({"a": ["d"]}), json!({"a": ["d"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(applied(target.clone(), &patch), result, "{target} + {patch}");
        }
    }

    fn any_object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i8>().prop_map(Value::from),
            "[a-z]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 30, 4, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn applying_twice_is_applying_once(target in any_object(), patch in any_object()) {
            let once = applied(target, &patch);
            prop_assert_eq!(&applied(once.clone(), &patch), &once);
        }

        #[test]
        fn an_empty_patch_changes_no_object(target in any_object()) {
            if target.is_object() {
                prop_assert_eq!(&applied(target.clone(), &json!({})), &target);
            }
        }
    }
}
