//! What the real server refuses while it reads a built-in object into its structs, before any validation.
//!
//! A wrong type there is a 400 that names the Go type and field; the same mistake in a custom resource is a 422. Only
//! the parts of Kubernetes itself are held to this; of a custom resource that is the metadata.

use serde_json::Value;

use super::error::Path;
use super::format::Format;
use super::node::{Additional, Arena, Canonical, Node, Origin, Type};
use super::quantity::Quantity;

/// A value that does not fit the type of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeMismatch(String);

/// The first value that does not fit, if any.
pub(crate) fn node(arena: &Arena, schema: &Node, value: &Value) -> Result<(), TypeMismatch> {
    let owner = schema.definition.as_deref().unwrap_or_default();
    check(arena, schema, value, owner, &Path::Root)
}

fn check(
    arena: &Arena,
    schema: &Node,
    value: &Value,
    owner: &str,
    path: &Path<'_>,
) -> Result<(), TypeMismatch> {
    if value.is_null() {
        return Ok(());
    }
    if schema.origin == Origin::BuiltIn {
        check_scalar(arena, schema, value, owner, path)?;
    }
    let owner = schema.definition.as_deref().unwrap_or(owner);
    match value {
        Value::Object(map) => {
            for (name, child) in map {
                let id = match (schema.properties.get(name), schema.additional) {
                    (Some(id), _) => *id,
                    (None, Additional::Map(id)) => id,
                    _ => continue,
                };
                check(arena, arena.get(id), child, owner, &path.field(name))?;
            }
        }
        Value::Array(items) => {
            // Go names the field of a list, not the item in it.
            let Some(id) = schema.items else { return Ok(()) };
            for item in items {
                check(arena, arena.get(id), item, owner, path)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn check_scalar(
    arena: &Arena,
    schema: &Node,
    value: &Value,
    owner: &str,
    path: &Path<'_>,
) -> Result<(), TypeMismatch> {
    if let Some(canonical) = schema.canonical {
        // The real server quotes the text around the mistake; a path says the same to whoever wrote the object.
        return check_text(canonical, value)
            .map_err(|TypeMismatch(text)| TypeMismatch(format!("{path}: {text}")));
    }
    let fits = match (schema.ty, value) {
        (Type::Any, _)
        | (Type::Object, Value::Object(_))
        | (Type::Array, Value::Array(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::IntOrString, Value::String(_)) => true,
        (Type::IntOrString, Value::Number(number)) => {
            number.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
        }
        (Type::Integer, Value::Number(number)) => {
            let wide = schema.checks.as_ref().is_none_or(|c| c.format != Some(Format::Int32));
            number.as_i64().is_some_and(|n| wide || i32::try_from(n).is_ok())
        }
        (Type::String, Value::String(text)) => {
            let bytes = schema.checks.as_ref().is_some_and(|c| c.format == Some(Format::Byte));
            if bytes && !Format::Byte.matches(text) {
                return Err(TypeMismatch(format!("illegal base64 data in {path}")));
            }
            true
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let found = match value {
        Value::Number(number) if schema.ty == Type::Integer => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) | Value::Null => "object".to_owned(),
    };
    let structure = owner.rsplit('.').next().unwrap_or(owner);
    let go = go_type(arena, schema);
    let message = match path {
        Path::Root => format!("json: cannot unmarshal {found} into Go value of type {go}"),
        path => format!(
            "json: cannot unmarshal {found} into Go struct field {structure}.{path} of type {go}"
        ),
    };
    Err(TypeMismatch(message))
}

fn check_text(canonical: Canonical, value: &Value) -> Result<(), TypeMismatch> {
    let (text, layout) = match (canonical, value) {
        (Canonical::Quantity, Value::String(text)) => {
            return match text.parse::<Quantity>() {
                Ok(_) => Ok(()),
                Err(error) => Err(TypeMismatch(error.to_string())),
            };
        }
        (Canonical::Quantity, Value::Number(_)) => return Ok(()),
        (Canonical::Quantity, _) => {
            return Err(TypeMismatch(super::quantity::QuantityError::Form.to_string()));
        }
        (Canonical::Time, Value::String(text)) => (text, "2006-01-02T15:04:05Z07:00"),
        (Canonical::MicroTime, Value::String(text)) => (text, "2006-01-02T15:04:05.000000Z07:00"),
        _ => {
            return Err(TypeMismatch(
                "json: cannot unmarshal a time from something else than a string".into(),
            ));
        }
    };
    // A MicroTime without exactly six digits of fraction is refused, and clients rely on that layout.
    let fraction = text
        .split_once('.')
        .map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count());
    let fits = Format::DateTime.matches(text) && (canonical == Canonical::Time || fraction == 6);
    match fits {
        true => Ok(()),
        false => {
            Err(TypeMismatch(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?}")))
        }
    }
}

/// The type as Go writes it.
fn go_type(arena: &Arena, schema: &Node) -> String {
    if let Some(name) = &schema.definition {
        let mut parts = name.rsplit('.');
        let (kind, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return format!("{package}.{kind}");
    }
    let below = |id| go_type(arena, arena.get(id));
    match schema.ty {
        Type::Integer => match schema.checks.as_ref().and_then(|c| c.format) {
            Some(Format::Int32) => "int32".into(),
            _ => "int64".into(),
        },
        Type::Number => "float64".into(),
        Type::Boolean => "bool".into(),
        Type::String if schema.checks.as_ref().is_some_and(|c| c.format == Some(Format::Byte)) => {
            "[]uint8".into()
        }
        Type::String => "string".into(),
        Type::Array => format!("[]{}", schema.items.map(below).unwrap_or_default()),
        Type::Object => match schema.additional {
            Additional::Map(id) => format!("map[string]{}", below(id)),
            _ => "map[string]interface {}".into(),
        },
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Any => "interface {}".into(),
    }
}
