//! Checks a value against its schema: types, required fields, value rules, uniqueness in lists.

use std::collections::HashSet;

use serde_json::{Map, Number, Value};

use super::error::{FieldError, FieldErrorKind, Path};
use super::format::Format;
use super::node::{Additional, Arena, Bound, Checks, ListType, Node, NodeId, Origin, Type};

/// Errors beyond this many are not collected: one broken object must not make an answer of megabytes.
const MAX_ERRORS: usize = 100;

/// Everything that is wrong with a value, in the order of its fields.
pub(crate) fn node(
    arena: &Arena,
    schema: &Node,
    value: &Value,
    path: &Path<'_>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    Check { arena, errors: &mut errors }.value(schema, value, path);
    errors.truncate(MAX_ERRORS);
    errors
}

struct Check<'a> {
    arena: &'a Arena,
    errors: &'a mut Vec<FieldError>,
}

impl Check<'_> {
    fn fail(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    fn value(&mut self, schema: &Node, value: &Value, path: &Path<'_>) {
        if self.errors.len() >= MAX_ERRORS || (value.is_null() && schema.nullable) {
            return;
        }
        if !fits(schema.ty, value) {
            self.fail(wrong_type(schema, value, path));
            return;
        }
        match value {
            Value::Object(map) => self.object(schema, map, path),
            Value::Array(items) => self.array(schema, items, path),
            _ => {}
        }
        if let Some(checks) = &schema.checks {
            self.checks(checks, schema, value, path);
        }
    }

    fn object(&mut self, schema: &Node, map: &Map<String, Value>, path: &Path<'_>) {
        for name in &schema.required {
            let absent = match map.get(name) {
                None => true,
                // Kubernetes' own structs can't tell an empty text from an absent one.
                Some(Value::String(text)) => schema.origin == Origin::BuiltIn && text.is_empty(),
                Some(Value::Array(items)) => schema.origin == Origin::BuiltIn && items.is_empty(),
                Some(_) => false,
            };
            let filled = || {
                let property = schema.properties.get(name).map(|id| self.arena.get(*id));
                property.is_some_and(|property| property.default.is_some())
            };
            if absent && !(schema.origin == Origin::BuiltIn && filled()) {
                self.fail(FieldError::required(path.field(name), ""));
            }
        }
        for (name, child) in map {
            let id = match (schema.properties.get(name), schema.additional) {
                (Some(id), _) => *id,
                (None, Additional::Map(id)) => id,
                _ => continue,
            };
            self.value(self.arena.get(id), child, &path.field(name));
        }
    }

    fn array(&mut self, schema: &Node, items: &[Value], path: &Path<'_>) {
        if let Some(id) = schema.items {
            let below = self.arena.get(id);
            for (index, item) in items.iter().enumerate() {
                self.value(below, item, &path.index(index));
            }
        }
        if let Some(field) = &schema.unique_by {
            let mut seen = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let key = item.get(field).unwrap_or(&Value::Null);
                if !key.is_null() && !seen.insert(key.to_string()) {
                    self.fail(FieldError::duplicate(path.index(index).field(field), key.clone()));
                }
            }
        }
        // The real server declares sets and maps among its own kinds too, but holds only custom resources to them here.
        if schema.origin == Origin::BuiltIn {
            return;
        }
        match &schema.list_type {
            ListType::Atomic => {}
            ListType::Set => {
                let mut seen = HashSet::new();
                for (index, item) in items.iter().enumerate() {
                    if !seen.insert(item.to_string()) {
                        self.fail(FieldError::duplicate(path.index(index), item.clone()));
                    }
                }
            }
            ListType::Map(keys) => {
                let mut seen = HashSet::new();
                for (index, item) in items.iter().enumerate() {
                    let key = map_key(item, keys);
                    if !seen.insert(key.to_string()) {
                        self.fail(FieldError::duplicate(path.index(index), key));
                    }
                }
            }
        }
    }

    fn checks(&mut self, checks: &Checks, schema: &Node, value: &Value, path: &Path<'_>) {
        if !checks.enumeration.is_empty() && !checks.enumeration.contains(value) {
            let supported: Vec<String> = checks.enumeration.iter().map(plain).collect();
            let supported = supported.iter().map(String::as_str);
            self.fail(FieldError::not_supported(path, value.clone(), supported));
        }
        match value {
            Value::String(text) => self.text(checks, text, path),
            Value::Number(number) => self.number(checks, schema, number, path),
            Value::Array(items) => {
                let count = items.len() as u64;
                self.too_many(checks.max_items, count, path);
                if let Some(least) = checks.min_items.filter(|least| count < *least) {
                    let detail = format!("{path} in body should have at least {least} items");
                    self.fail(FieldError::invalid(path, count.into(), detail));
                }
            }
            Value::Object(map) => {
                let count = map.len() as u64;
                self.too_many(checks.max_properties, count, path);
                if let Some(least) = checks.min_properties.filter(|least| count < *least) {
                    let detail = format!("{path} in body should have at least {least} properties");
                    self.fail(FieldError::invalid(path, count.into(), detail));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
        self.branches(checks, value, path);
    }

    fn too_many(&mut self, most: Option<u64>, count: u64, path: &Path<'_>) {
        if let Some(most) = most.filter(|most| count > *most) {
            let items = if most == 1 { "item" } else { "items" };
            let detail = format!("must have at most {most} {items}");
            self.fail(FieldError::new(FieldErrorKind::TooMany, path, Some(count.into()), detail));
        }
    }

    fn text(&mut self, checks: &Checks, text: &str, path: &Path<'_>) {
        // Length counts characters; a limit in bytes would refuse names that fit.
        let length = text.chars().count() as u64;
        if let Some(most) = checks.max_length.filter(|most| length > *most) {
            self.fail(FieldError::too_long(path, most));
        }
        if let Some(least) = checks.min_length.filter(|least| length < *least) {
            let detail = format!("{path} in body should be at least {least} chars long");
            self.fail(FieldError::invalid(path, text.into(), detail));
        }
        if let Some(pattern) =
            checks.pattern.as_ref().filter(|pattern| !pattern.regex.is_match(text))
        {
            let detail = format!("{path} in body should match '{}'", pattern.text);
            self.fail(FieldError::invalid(path, text.into(), detail));
        }
        if let Some(format) = checks.format.filter(|format| !format.matches(text)) {
            let detail = format!("{path} in body must be of type {}: {text:?}", format.name());
            self.fail(FieldError::new(
                FieldErrorKind::TypeInvalid,
                path,
                Some(text.into()),
                detail,
            ));
        }
    }

    fn number(&mut self, checks: &Checks, schema: &Node, number: &Number, path: &Path<'_>) {
        let amount = number.as_f64().unwrap_or(f64::NAN);
        let shown = || Value::Number(number.clone());
        let range = match checks.format {
            Some(Format::Int32) if schema.ty == Type::Integer => {
                Some((f64::from(i32::MIN), f64::from(i32::MAX)))
            }
            _ => None,
        };
        if range.is_some_and(|(least, most)| amount < least || amount > most) {
            let detail = format!("{path} in body must be of type int32: {:?}", number.to_string());
            self.fail(FieldError::new(FieldErrorKind::TypeInvalid, path, Some(shown()), detail));
        }
        if let Some(Bound { value, exclusive }) = checks.maximum
            && (amount > value || (exclusive && amount == value))
        {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let detail = format!("{path} in body should be less than{or_equal} {value}");
            self.fail(FieldError::invalid(path, shown(), detail));
        }
        if let Some(Bound { value, exclusive }) = checks.minimum
            && (amount < value || (exclusive && amount == value))
        {
            let or_equal = if exclusive { "" } else { " or equal to" };
            let detail = format!("{path} in body should be greater than{or_equal} {value}");
            self.fail(FieldError::invalid(path, shown(), detail));
        }
        if let Some(step) = checks.multiple_of.filter(|step| (amount / step).fract() != 0.0) {
            let detail = format!("{path} in body should be a multiple of {step}");
            self.fail(FieldError::invalid(path, shown(), detail));
        }
    }

    fn branches(&mut self, checks: &Checks, value: &Value, path: &Path<'_>) {
        for id in &checks.all_of {
            self.value(self.arena.get(*id), value, path);
        }
        let composed = |detail: String| FieldError::invalid(path, "".into(), detail);
        if !checks.any_of.is_empty() {
            let mut best: Option<Vec<FieldError>> = None;
            let found =
                checks.any_of.iter().any(|id| self.branch_fits(*id, value, path, &mut best));
            if !found {
                self.fail(composed(format!(
                    "{:?} must validate at least one schema (anyOf)",
                    path.to_string()
                )));
                self.errors.extend(best.unwrap_or_default());
            }
        }
        if !checks.one_of.is_empty() {
            let mut best = None;
            let count = checks
                .one_of
                .iter()
                .filter(|id| self.branch_fits(**id, value, path, &mut best))
                .count();
            let at = path.to_string();
            let opening = format!("{at:?} must validate one and only one schema (oneOf).");
            match count {
                1 => {}
                0 => {
                    self.fail(composed(format!("{opening} Found none valid")));
                    self.errors.extend(best.unwrap_or_default());
                }
                many => self.fail(composed(format!("{opening} Found {many} valid alternatives"))),
            }
        }
        if let Some(id) = checks.not
            && self.branch_fits(id, value, path, &mut None)
        {
            self.fail(composed(format!(
                "{:?} must not validate the schema (not)",
                path.to_string()
            )));
        }
    }

    /// Whether a branch accepts the value; if not, the shortest list of objections is kept for the message.
    fn branch_fits(
        &self,
        id: NodeId,
        value: &Value,
        path: &Path<'_>,
        best: &mut Option<Vec<FieldError>>,
    ) -> bool {
        let errors = node(self.arena, self.arena.get(id), value, path);
        let fits = errors.is_empty();
        if best.as_ref().is_none_or(|known| errors.len() < known.len()) {
            *best = Some(errors);
        }
        fits
    }
}

/// The key fields of a list item, as duplicates are reported and rules find their old item.
pub(crate) fn map_key(item: &Value, keys: &[String]) -> Value {
    let entries = keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(entries.collect())
}

fn fits(ty: Type, value: &Value) -> bool {
    match (ty, value) {
        (Type::Any, _)
        | (Type::Object, Value::Object(_))
        | (Type::Array, Value::Array(_))
        | (Type::String | Type::IntOrString, Value::String(_))
        | (Type::Number, Value::Number(_))
        | (Type::Boolean, Value::Bool(_)) => true,
        (Type::Integer | Type::IntOrString, Value::Number(number)) => is_integer(number),
        _ => false,
    }
}

/// `1.0` is an integer in JSON.
fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
}

fn wrong_type(schema: &Node, value: &Value, path: &Path<'_>) -> FieldError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if is_integer(number) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let wanted = match schema.ty {
        Type::IntOrString => "integer,string",
        ty => ty.name(),
    };
    let detail = format!("{path} in body must be of type {wanted}: {found:?}");
    FieldError::new(FieldErrorKind::TypeInvalid, path, Some(found.into()), detail)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
