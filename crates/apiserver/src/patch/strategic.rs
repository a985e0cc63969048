//! Strategic merge patch: a merge patch that knows which lists are keyed, for Kubernetes' own kinds.
//!
//! `kubectl apply`, `edit`, `set`, `label` and most Go controllers send it. Beside plain values a patch may hold
//! directives:
//!
//! ```text
//!   $patch: replace | delete | merge       this object (or keyed item, or list) is replaced, goes, or merges
//!   $retainKeys: [a, b]                    of this object only these fields stay
//!   $deleteFromPrimitiveList/finalizers    these plain values leave the list
//!   $setElementOrder/containers            the order the list shall have afterwards
//! ```

use serde_json::{Map, Value};

use crate::schema::Schema;
use crate::schema::node::{Additional, Arena, MergeStrategy, Node};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// A patch that can't be applied; 400 or 422 with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// A directive has a value that means nothing.
    #[error("invalid value for {directive} directive: {found}")]
    Directive {
        /// The directive.
        directive: String,
        /// What it was given.
        found: String,
    },
    /// An item of a keyed list lacks the key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoKey {
        /// The merge key.
        key: String,
        /// The item.
        item: String,
    },
}

/// Applies a patch in place. What the schema does not know merges as in a merge patch and is pruned later.
pub fn apply(target: &mut Value, patch: &Value, schema: &Schema) -> Result<(), StrategicError> {
    let merge = Merge { arena: schema.arena() };
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            merge.object(target, patch, Some(schema.root()))
        }
        (target, patch) => {
            *target = patch.clone();
            Ok(())
        }
    }
}

struct Merge<'a> {
    arena: &'a Arena,
}

/// What a `$patch` directive says.
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, StrategicError> {
    match patch.get(PATCH) {
        None => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "merge" => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "replace" => Ok(Directive::Replace),
        Some(Value::String(word)) if word == "delete" => Ok(Directive::Delete),
        Some(found) => {
            Err(StrategicError::Directive { directive: PATCH.into(), found: found.to_string() })
        }
    }
}

impl<'a> Merge<'a> {
    fn below(&self, schema: Option<&'a Node>, name: &str) -> Option<&'a Node> {
        let schema = schema?;
        match (schema.properties.get(name), schema.additional) {
            (Some(id), _) => Some(self.arena.get(*id)),
            (None, Additional::Map(id)) => Some(self.arena.get(id)),
            _ => None,
        }
    }

    fn object(
        &self,
        target: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        schema: Option<&'a Node>,
    ) -> Result<(), StrategicError> {
        match directive(patch)? {
            Directive::Delete => {
                target.clear();
                return Ok(());
            }
            Directive::Replace => {
                *target = plain_map(patch);
                return Ok(());
            }
            Directive::Merge => {}
        }
        if let Some(keys) = patch.get(RETAIN_KEYS) {
            let keys = keys.as_array().ok_or_else(|| StrategicError::Directive {
                directive: RETAIN_KEYS.into(),
                found: keys.to_string(),
            })?;
            target.retain(|name, _| keys.iter().any(|key| key == name.as_str()));
        }
        let merge_key = |list: &str| {
            self.below(schema, list).and_then(|node| node.merge.as_ref()?.key.as_deref())
        };
        let orders: Vec<(&str, &Value, Vec<Value>)> = patch
            .iter()
            .filter_map(|(name, order)| {
                let list = name.strip_prefix(SET_ORDER)?;
                let items = target.get(list).and_then(Value::as_array).into_iter().flatten();
                let before = items.map(|item| identity(item, merge_key(list)).clone()).collect();
                Some((list, order, before))
            })
            .collect();
        for (name, change) in patch {
            if let Some(list) = name.strip_prefix(DELETE_FROM) {
                delete_values(target.get_mut(list), change);
            } else if !name.starts_with('$') {
                self.field(target, name, change, schema)?;
            }
        }
        for (list, order, before) in orders {
            set_order(target.get_mut(list), order, &before, merge_key(list));
        }
        Ok(())
    }

    fn field(
        &self,
        target: &mut Map<String, Value>,
        name: &str,
        change: &Value,
        schema: Option<&'a Node>,
    ) -> Result<(), StrategicError> {
        let below = self.below(schema, name);
        let strategy = below.and_then(|node| node.merge.as_ref());
        match (target.get_mut(name), change) {
            (_, Value::Null) => {
                target.remove(name);
            }
            (Some(Value::Object(old)), Value::Object(new)) => {
                if strategy.is_some_and(|strategy| strategy.replace) {
                    *old = plain_map(new);
                } else {
                    self.object(old, new, below)?;
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => match strategy {
                Some(strategy) if strategy.merge => self.list(old, new, strategy, below)?,
                _ => *old = new.iter().map(plain).collect(),
            },
            // Nothing there to merge with: the change itself, with its directives taken out as if merged into nothing.
            (_, Value::Object(new)) => {
                if !matches!(directive(new)?, Directive::Delete) {
                    let mut fresh = Map::new();
                    self.object(&mut fresh, new, below)?;
                    target.insert(name.to_owned(), Value::Object(fresh));
                }
            }
            (_, Value::Array(new)) => {
                let mut fresh = Vec::new();
                match strategy {
                    Some(strategy) if strategy.merge => {
                        self.list(&mut fresh, new, strategy, below)?
                    }
                    _ => fresh = new.iter().map(plain).collect(),
                }
                target.insert(name.to_owned(), Value::Array(fresh));
            }
            (_, other) => {
                target.insert(name.to_owned(), other.clone());
            }
        }
        Ok(())
    }

    fn list(
        &self,
        old: &mut Vec<Value>,
        new: &[Value],
        strategy: &MergeStrategy,
        schema: Option<&'a Node>,
    ) -> Result<(), StrategicError> {
        let Some(key) = &strategy.key else {
            // Plain values: a union, in the order of first appearance.
            for value in new {
                if !old.contains(value) {
                    old.push(value.clone());
                }
            }
            return Ok(());
        };
        // `- $patch: replace` as an item of its own replaces the whole list by the other items.
        let replaces = |item: &Value| {
            item.get(PATCH).is_some_and(|word| word == "replace") && item.get(key).is_none()
        };
        if new.iter().any(replaces) {
            *old = new.iter().filter(|item| !replaces(item)).map(plain).collect();
            return Ok(());
        }
        let item_schema = schema.and_then(|node| node.items).map(|id| self.arena.get(id));
        for change in new {
            let Value::Object(change) = change else {
                return Err(StrategicError::NoKey { key: key.clone(), item: change.to_string() });
            };
            let Some(wanted) = change.get(key) else {
                let item = Value::Object(change.clone()).to_string();
                return Err(StrategicError::NoKey { key: key.clone(), item });
            };
            if matches!(directive(change)?, Directive::Delete) {
                old.retain(|item| item.get(key) != Some(wanted));
                continue;
            }
            match old.iter_mut().find(|item| item.get(key) == Some(wanted)) {
                Some(Value::Object(item)) => self.object(item, change, item_schema)?,
                _ => {
                    let mut fresh = Map::new();
                    self.object(&mut fresh, change, item_schema)?;
                    old.push(Value::Object(fresh));
                }
            }
        }
        Ok(())
    }
}

/// A value of a patch without its directives, at every depth.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(plain_map(map)),
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

fn plain_map(map: &Map<String, Value>) -> Map<String, Value> {
    let directive = |name: &str| {
        matches!(name, PATCH | RETAIN_KEYS)
            || name.starts_with(DELETE_FROM)
            || name.starts_with(SET_ORDER)
    };
    map.iter()
        .filter(|(name, value)| !directive(name) && !value.is_null())
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect()
}

fn delete_values(list: Option<&mut Value>, leaving: &Value) {
    if let (Some(Value::Array(list)), Value::Array(leaving)) = (list, leaving) {
        list.retain(|value| !leaving.contains(value));
    }
}

/// The items of a list as a `$setElementOrder` names them: by key, or by value where there is none.
fn identity<'v>(item: &'v Value, key: Option<&str>) -> &'v Value {
    key.and_then(|key| item.get(key)).unwrap_or(item)
}

/// Puts a list into the wanted order. Items that the order does not name were made by somebody else; they go before the
/// first named item that they preceded on the server, and keep their order among each other.
fn set_order(list: Option<&mut Value>, order: &Value, before: &[Value], key: Option<&str>) {
    let (Some(Value::Array(list)), Value::Array(order)) = (list, order) else { return };
    let rank =
        |item: &Value| order.iter().position(|named| identity(named, key) == identity(item, key));
    let place = |item: &Value| before.iter().position(|known| known == identity(item, key));
    let (mut named, others): (Vec<_>, Vec<_>) =
        std::mem::take(list).into_iter().partition(|item| rank(item).is_some());
    named.sort_by_key(|item| rank(item));
    let mut others = others.into_iter().peekable();
    for item in named {
        let at = place(&item);
        while let Some(other) =
            others.next_if(|other| place(other).zip(at).is_some_and(|(o, at)| o < at))
        {
            list.push(other);
        }
        list.push(item);
    }
    list.extend(others);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    fn patched(mut target: Value, patch: &Value) -> Value {
        let pod = builtin::schema("", "v1", "Pod").unwrap();
        apply(&mut target, patch, &pod).unwrap_or_else(|error| panic!("{patch}: {error}"));
        target
    }

    fn containers(list: Value) -> Value {
        json!({"spec": {"containers": list}})
    }

    #[test]
    fn keyed_lists_merge_item_by_item() {
        let target = containers(
            json!([{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}]),
        );
        let patch = containers(json!([
            {"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]},
            {"name": "c", "image": "3", "command": null},
            {"name": "b", "$patch": "delete"},
        ]));
        assert_eq!(
            patched(target, &patch),
            containers(json!([
                {"name": "a", "image": "2", "env": [{"name": "X", "value": "3"}, {"name": "Y", "value": "2"}]},
                {"name": "c", "image": "3"},
            ]))
        );
    }

    #[test]
    fn lists_without_a_key_are_replaced_and_plain_ones_united() {
        let target = json!({"metadata": {"finalizers": ["a", "b"]}, "spec": {"tolerations": [{"key": "x"}]}});
        let patch = json!({"metadata": {"finalizers": ["b", "c"]}, "spec": {"tolerations": [{"key": "y"}]}});
        assert_eq!(
            patched(target, &patch),
            json!({"metadata": {"finalizers": ["a", "b", "c"]}, "spec": {"tolerations": [{"key": "y"}]}})
        );
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["d"],
                                        "$setElementOrder/finalizers": ["d", "b"]}});
        assert_eq!(
            patched(json!({"metadata": {"finalizers": ["a", "b", "x"]}}), &patch),
            json!({"metadata": {"finalizers": ["d", "b", "x"]}})
        );
    }

    #[test]
    fn directives_replace_delete_and_retain() {
        let target = json!({"metadata": {"labels": {"a": "1", "b": "2"}},
                            "spec": {"containers": [{"name": "a"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
        for (patch, pointer, expected) in [
            (
                json!({"metadata": {"labels": {"$patch": "replace", "c": "3"}}}),
                "/metadata/labels",
                json!({"c": "3"}),
            ),
            (json!({"metadata": {"labels": {"$patch": "delete"}}}), "/metadata/labels", json!({})),
            (
                json!({"metadata": {"labels": {"a": null, "$patch": "merge"}}}),
                "/metadata/labels",
                json!({"b": "2"}),
            ),
            (
                json!({"metadata": {"labels": {"$retainKeys": ["b", "c"], "c": "3"}}}),
                "/metadata/labels",
                json!({"b": "2", "c": "3"}),
            ),
            (
                json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}}),
                "/spec/containers",
                json!([{"name": "z"}]),
            ),
            (
                json!({"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}),
                "/spec/volumes",
                json!([{"name": "v", "hostPath": {"path": "/x"}}]),
            ),
        ] {
            assert_eq!(
                patched(target.clone(), &patch).pointer(pointer),
                Some(&expected),
                "{patch}"
            );
        }
    }

    #[test]
    fn directives_leave_no_trace_in_what_is_new() {
        let patch = json!({"metadata": {"labels": {"$patch": "merge", "a": "1"}},
                           "spec": {"$setElementOrder/containers": [{"name": "a"}],
                                    "containers": [{"name": "a", "ports": [{"containerPort": 1, "$patch": "delete"}]}],
                                    "securityContext": {"$retainKeys": ["x"]}, "affinity": {"$patch": "delete"}}});
        assert_eq!(
            patched(json!({}), &patch),
            json!({"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "a", "ports": []}], "securityContext": {}}})
        );
    }

    #[test]
    fn the_order_asked_for_and_the_strangers_in_between() {
        let target = containers(
            json!([{"name": "x"}, {"name": "a"}, {"name": "y"}, {"name": "b"}, {"name": "z"}]),
        );
        let patch = json!({"spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
            "containers": [{"name": "c"}]}});
        let result = patched(target, &patch);
        let names: Vec<&str> = result["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["c", "x", "y", "b", "a", "z"]);
    }

    proptest! {
        #[test]
        fn a_patch_of_items_changes_those_items_alone_and_only_once(
            before in prop::collection::btree_map("[a-e]", "[1-3]", 0..5),
            change in prop::collection::btree_map("[a-e]", prop::option::of("[4-6]"), 0..4),
        ) {
            let target: Vec<Value> =
                before.iter().map(|(name, image)| json!({"name": name, "image": image, "tty": true})).collect();
            let patch: Vec<Value> = change
                .iter()
                .map(|(name, image)| match image {
                    Some(image) => json!({"name": name, "image": image}),
                    None => json!({"name": name, "$patch": "delete"}),
                })
                .collect();
            let patch = containers(patch.into());
            let once = patched(containers(target.into()), &patch);
            prop_assert_eq!(&patched(once.clone(), &patch), &once);
            let mut expected = before.clone();
            for (name, image) in &change {
                match image {
                    Some(image) => expected.insert(name.clone(), image.clone()),
                    None => expected.remove(name),
                };
            }
            let list = once["spec"]["containers"].as_array().unwrap();
            prop_assert_eq!(list.len(), expected.len());
            for item in list {
                let name = item["name"].as_str().unwrap();
                prop_assert_eq!(item["image"].as_str(), expected.get(name).map(String::as_str));
                prop_assert_eq!(item.get("tty").is_some(), before.contains_key(name));
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let pod = builtin::schema("", "v1", "Pod").unwrap();
        let refuse = |patch: Value| {
            apply(&mut containers(json!([{"name": "a"}])), &patch, &pod).unwrap_err()
        };
        assert_eq!(
            refuse(json!({"spec": {"$patch": "destroy"}})).to_string(),
            r#"invalid value for $patch directive: "destroy""#
        );
        assert_eq!(
            refuse(containers(json!([{"image": "x"}]))).to_string(),
            r#"map: {"image":"x"} does not contain declared merge key: name"#
        );
        assert!(matches!(refuse(json!({"$retainKeys": "x"})), StrategicError::Directive { .. }));
    }
}
