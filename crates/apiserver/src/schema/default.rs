//! Fills in defaults, takes out nulls that say nothing, and writes the texts of built-in types the one way Kubernetes writes them.

use serde_json::Value;

use super::node::{Additional, Arena, Canonical, Node};
use super::quantity::Quantity;

/// Fills a value in place. Doing it twice changes nothing more.
pub(crate) fn node(arena: &Arena, schema: &Node, value: &mut Value) {
    if let Some(canonical) = schema.canonical {
        canonicalise(canonical, value);
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, id) in &schema.properties {
                let below = arena.get(*id);
                match (map.get_mut(name), &below.default) {
                    // A null where none may stand gives way to the default; without one it is as if it were not there. Clients written in Go send such nulls.
                    (Some(Value::Null), Some(default)) if !below.nullable => {
                        map.insert(name.clone(), default.clone());
                    }
                    (Some(Value::Null), None) if !below.nullable => {
                        map.remove(name);
                    }
                    (None, Some(default)) => {
                        map.insert(name.clone(), default.clone());
                    }
                    _ => {}
                }
                if let Some(child) = map.get_mut(name) {
                    node(arena, below, child);
                }
            }
            if let Additional::Map(id) = schema.additional {
                let below = arena.get(id);
                map.retain(|name, child| {
                    if schema.properties.contains_key(name) {
                        return true;
                    }
                    match (child.is_null() && !below.nullable, &below.default) {
                        (true, Some(default)) => *child = default.clone(),
                        (true, None) => return false,
                        (false, _) => {}
                    }
                    node(arena, below, child);
                    true
                });
            }
        }
        Value::Array(items) => {
            let Some(id) = schema.items else { return };
            let below = arena.get(id);
            for item in items {
                if let (true, false, Some(default)) =
                    (item.is_null(), below.nullable, &below.default)
                {
                    *item = default.clone();
                }
                node(arena, below, item);
            }
        }
        _ => {}
    }
}

/// Texts that do not parse stay as they are: checking types is another step, and it names the field.
fn canonicalise(canonical: Canonical, value: &mut Value) {
    let text = match (&*value, canonical) {
        (Value::String(text), Canonical::Quantity) => Quantity::canonical(text).ok(),
        (Value::Number(number), Canonical::Quantity) => {
            Quantity::canonical(&number.to_string()).ok()
        }
        (Value::String(text), Canonical::Time) => {
            let time = text.parse::<jiff::Timestamp>().ok();
            time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        }
        (Value::String(text), Canonical::MicroTime) => {
            let time = text.parse::<jiff::Timestamp>().ok();
            time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
        }
        _ => None,
    };
    if let Some(text) = text {
        *value = Value::String(text);
    }
}
