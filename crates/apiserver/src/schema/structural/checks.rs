//! Value rules: limits, patterns, enumerations and the four ways to combine schemas.

use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

use super::{Position, Reader, flag};
use crate::schema::error::{FieldError, Path};
use crate::schema::format::Format;
use crate::schema::node::{Additional, Bound, Checks, Node, NodeId, Pattern, Type};

impl Reader {
    pub(super) fn read_checks(
        &mut self,
        map: &Map<String, Value>,
        path: &Path<'_>,
        node: &Node,
        depth: usize,
    ) -> Option<Box<Checks>> {
        let number = |key: &str| map.get(key).and_then(Value::as_f64);
        let count = |key: &str| map.get(key).and_then(Value::as_u64);
        let bound = |key: &str, exclusive: &str| {
            number(key).map(|value| Bound { value, exclusive: flag(map, exclusive) })
        };
        let int_or_string = node.ty == Type::IntOrString;
        let branches = |reader: &mut Self, keyword: &'static str| -> Vec<NodeId> {
            let list = map.get(keyword).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let at = path.field(keyword);
            let position = Position::Narrowing { int_or_string };
            (list.iter().enumerate())
                .map(|(i, schema)| reader.node(schema, &at.index(i), position, depth + 1))
                .collect()
        };
        let all_of = branches(self, "allOf");
        let any_of = branches(self, "anyOf");
        let one_of = branches(self, "oneOf");
        let position = Position::Narrowing { int_or_string };
        let not = map
            .get("not")
            .filter(|v| !v.is_null())
            .map(|schema| self.node(schema, &path.field("not"), position, depth + 1));
        for id in all_of.iter().chain(&any_of).chain(&one_of).chain(&not).copied() {
            self.check_narrowing(id, node, path);
        }
        let checks = Checks {
            format: map.get("format").and_then(Value::as_str).and_then(Format::named),
            enumeration: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            pattern: self.read_pattern(map, path),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            all_of,
            any_of,
            one_of,
            not,
        };
        let empty = checks.format.is_none()
            && checks.enumeration.is_empty()
            && checks.pattern.is_none()
            && checks.minimum.is_none()
            && checks.maximum.is_none()
            && checks.multiple_of.is_none()
            && checks.min_length.or(checks.max_length).or(checks.min_items).is_none()
            && checks.max_items.or(checks.min_properties).or(checks.max_properties).is_none()
            && checks.all_of.is_empty()
            && checks.any_of.is_empty()
            && checks.one_of.is_empty()
            && checks.not.is_none();
        (!empty).then(|| Box::new(checks))
    }

    /// A property that a value rule speaks of must exist in the structure beside it.
    pub(super) fn check_narrowing(&mut self, rule: NodeId, structure: &Node, path: &Path<'_>) {
        if structure.ty == Type::Any || structure.preserve_unknown {
            return;
        }
        let missing: Vec<String> = (self.arena.get(rule).properties.keys())
            .filter(|name| !structure.properties.contains_key(*name))
            .filter(|_| structure.additional == Additional::None)
            .filter(|name| !matches!(name.as_str(), "metadata" | "apiVersion" | "kind"))
            .cloned()
            .collect();
        for name in missing {
            let at = path.field("properties");
            let detail = "because it is defined in a value rule beside it";
            self.fail(FieldError::required(at.key(&name), detail));
        }
    }

    pub(super) fn read_pattern(
        &mut self,
        map: &Map<String, Value>,
        path: &Path<'_>,
    ) -> Option<Arc<Pattern>> {
        let text = map.get("pattern").and_then(Value::as_str).filter(|text| !text.is_empty())?;
        if let Some(known) = self.patterns.get(text) {
            return Some(known.clone());
        }
        match Regex::new(text) {
            Ok(regex) => {
                let pattern = Arc::new(Pattern { text: text.to_owned(), regex });
                self.patterns.insert(text.to_owned(), pattern.clone());
                Some(pattern)
            }
            Err(error) => {
                let detail = format!("must be a valid regular expression, but isn't: {error}");
                self.fail(FieldError::invalid(path.field("pattern"), text.into(), detail));
                None
            }
        }
    }
}
