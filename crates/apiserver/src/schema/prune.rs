//! Drops what the schema does not know, and says what it dropped.

use serde_json::Value;

use super::error::Path;
use super::node::{Additional, Arena, Node, Origin};

/// Prunes a value in place and returns the paths of the unknown fields, in order.
pub(crate) fn node(
    arena: &Arena,
    schema: &Node,
    value: &mut Value,
    path: &Path<'_>,
) -> Vec<String> {
    let mut unknown = Vec::new();
    prune(arena, schema, value, path, &mut unknown);
    unknown
}

fn prune(
    arena: &Arena,
    schema: &Node,
    value: &mut Value,
    path: &Path<'_>,
    unknown: &mut Vec<String>,
) {
    match value {
        Value::Object(map) => {
            if schema.additional == Additional::Any {
                return;
            }
            let absent_nulls = schema.origin == Origin::BuiltIn && !schema.preserve_unknown;
            map.retain(|name, child| {
                let below = match (schema.properties.get(name), schema.additional) {
                    (Some(id), _) => *id,
                    (None, Additional::Map(id)) => id,
                    (None, _) if schema.preserve_unknown => return true,
                    (None, _) => {
                        unknown.push(path.field(name).to_string());
                        return false;
                    }
                };
                if absent_nulls && child.is_null() {
                    return false;
                }
                prune(arena, arena.get(below), child, &path.field(name), unknown);
                true
            });
        }
        Value::Array(items) => {
            let Some(id) = schema.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                prune(arena, arena.get(id), item, &path.index(index), unknown);
            }
        }
        _ => {}
    }
}
