//! Lists: what makes their items different from each other.

use serde_json::{Map, Value};

use super::{Reader, strings};
use crate::schema::error::{FieldError, Path};
use crate::schema::node::{ListType, Node, Type};

impl Reader {
    pub(super) fn read_list_type(
        &mut self,
        node: &mut Node,
        map: &Map<String, Value>,
        path: &Path<'_>,
    ) {
        let keys = strings(map.get("x-kubernetes-list-map-keys"));
        let at = path.field("x-kubernetes-list-type");
        let at_keys = path.field("x-kubernetes-list-map-keys");
        let name = map.get("x-kubernetes-list-type").and_then(Value::as_str);
        if name.is_some() && node.ty != Type::Array {
            let detail = "must be array if x-kubernetes-list-type is specified";
            self.fail(FieldError::invalid(path.field("type"), node.ty.name().into(), detail));
            return;
        }
        if !keys.is_empty() && name != Some("map") {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            self.fail(FieldError::invalid(at, name.unwrap_or("").into(), detail));
        }
        node.list_type = match name {
            None | Some("atomic") => ListType::Atomic,
            Some("set") => {
                let item = node.items.map(|id| self.arena.get(id));
                let scalar = item.is_none_or(|item| match item.ty {
                    Type::Object => item.atomic_map,
                    Type::Array => item.list_type == ListType::Atomic,
                    _ => !item.nullable,
                });
                if !scalar {
                    let detail = "items of a set must be scalars or atomic";
                    self.fail(FieldError::invalid(path.field("items"), Value::Null, detail));
                }
                ListType::Set
            }
            Some("map") => {
                self.check_map_keys(node, &keys, path, &at_keys);
                ListType::Map(keys)
            }
            Some(other) => {
                self.fail(FieldError::not_supported(at, other.into(), ["atomic", "map", "set"]));
                ListType::Atomic
            }
        };
    }

    pub(super) fn check_map_keys(
        &mut self,
        node: &Node,
        keys: &[String],
        path: &Path<'_>,
        at: &Path<'_>,
    ) {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.fail(FieldError::required(at, detail));
        }
        let Some(item) = node.items else { return };
        if self.arena.get(item).ty != Type::Object {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            let ty = self.arena.get(item).ty.name();
            self.fail(FieldError::invalid(path.field("items").field("type"), ty.into(), detail));
            return;
        }
        let mut wrong = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let item = self.arena.get(item);
            let at_key = at.index(index);
            match item.properties.get(key).map(|id| self.arena.get(*id)) {
                None => {
                    let detail = "entries must all be names of item properties";
                    wrong.push(FieldError::invalid(at_key, key.as_str().into(), detail));
                }
                Some(property) if property.default.is_none() && !item.required.contains(key) => {
                    let items = path.field("items");
                    let at = items.field("properties");
                    let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                    wrong.push(FieldError::required(at.key(key).field("default"), detail));
                }
                Some(_) => {}
            }
            if keys[..index].contains(key) {
                wrong.push(FieldError::duplicate(at_key, key.as_str().into()));
            }
        }
        self.errors.extend(wrong);
    }
}
