//! What every object goes through before it is stored: decode, prune, default, check.

use serde_json::Value;

use super::call::strictness;
use super::metadata;
use super::options::FieldValidation;
use crate::kinds::builtin::pod;
use crate::kinds::{Generation, Served, Status};
use crate::schema::{FieldError, decode::Decoded};
use crate::status::{ApiError, Cause};

/// Members of the metadata that only the server writes.
const SERVER_OWNED: [&str; 5] =
    ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// Checks that a body is an object of the served kind and version, filling in both where a built-in kind allows to leave
/// them out.
pub(crate) fn check_type(served: &Served, value: &mut Value) -> Result<(), ApiError> {
    let expected = served.api_version();
    for (member, expected, what) in
        [("apiVersion", expected.as_str(), "API version"), ("kind", &served.kind.kind, "kind")]
    {
        let found = value.get(member).and_then(Value::as_str).unwrap_or_default();
        if found == expected {
            continue;
        }
        if !found.is_empty() || served.kind.is_custom() {
            return Err(ApiError::bad_request(format!(
                "the {what} in the data ({found}) does not match the expected {what} ({expected})"
            )));
        }
        value[member] = expected.into();
    }
    Ok(())
}

/// Prunes what the schema does not know and normalises the metadata. Answers with warnings, or refuses if told to be strict.
pub(crate) fn settle(
    served: &Served,
    decoded: &mut Decoded,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let value = &mut decoded.value;
    metadata::normalise(value)?;
    let Some(schema) = &served.version().schema else {
        return strictness(validation, &[], &decoded.duplicates);
    };
    let unknown = schema.prune(value);
    // Built-in kinds, and the metadata of all, are typed when they are decoded: a wrong type is an unreadable body.
    schema.check_types(value).map_err(|error| {
        ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: {error}",
            kind = served.kind.kind,
            version = served.version().name,
        ))
    })?;
    strictness(validation, &unknown, &decoded.duplicates)
}

/// Fills in defaults: those of the schema and those that are behaviour.
pub(crate) fn default(served: &Served, value: &mut Value) {
    (served.kind.rules.hooks.default)(value);
    if let Some(schema) = &served.version().schema {
        schema.default(value);
    }
}

/// Which checks a write goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Metadata, schema, and the kind's own rules for clients.
    All,
    /// Metadata, schema, and the rules for changing what a pod's containers may use.
    Resize,
    /// Metadata and schema: the server itself may change what clients may not, such as a pod's node.
    Schema,
}

/// Everything that is checked of an object in the end.
pub(crate) fn validate(
    served: &Served,
    value: &Value,
    old: Option<&Value>,
    checks: Checks,
) -> Result<(), ApiError> {
    let mut errors = metadata::validate(&served.kind, value, old);
    if let Some(schema) = &served.version().schema {
        for error in schema.validate(value, old) {
            // The schema repeats what the rules of metadata say better.
            let is_said = |said: &FieldError| said.path == error.path && said.kind == error.kind;
            if error.path.is_none() || !errors.iter().any(is_said) {
                errors.push(error);
            }
        }
    }
    // Built-in checks read fields by their type, which the schema has just vouched for.
    if errors.is_empty() {
        errors = match (checks, old) {
            (Checks::All, _) => (served.kind.rules.hooks.validate)(value, old),
            (Checks::Resize, Some(old)) => pod::resize_errors(value, old),
            (Checks::Resize, None) | (Checks::Schema, _) => Vec::new(),
        };
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(&served.invalid(name_of(value)), causes(&errors)))
}

/// Field errors as the causes of a Status.
pub(crate) fn causes(errors: &[FieldError]) -> Vec<Cause> {
    errors
        .iter()
        .map(|error| Cause {
            reason: error.kind.reason(),
            message: error.body(),
            field: error.field().to_owned(),
        })
        .collect()
}

/// Puts back what clients may not set, from the object as it was.
pub(crate) fn keep_server_owned(value: &mut Value, old: &Value) {
    let Some(metadata) = value["metadata"].as_object_mut() else { return };
    for member in SERVER_OWNED {
        match old["metadata"].get(member) {
            Some(kept) => metadata.insert(member.to_owned(), kept.clone()),
            None => metadata.remove(member),
        };
    }
}

/// Drops what clients may not set on a new object.
pub(crate) fn drop_server_owned(value: &mut Value) {
    if let Some(metadata) = value["metadata"].as_object_mut() {
        for member in SERVER_OWNED {
            metadata.remove(member);
        }
    }
}

/// Whether an update changed what `metadata.generation` counts.
pub(crate) fn content_changed(served: &Served, new: &Value, old: &Value) -> bool {
    if served.kind.rules.generation == Generation::None {
        return false;
    }
    let status_apart = served.version().subresources.status == Status::Subresource;
    let counts = |name: &str| match name {
        "metadata" | "apiVersion" | "kind" => false,
        "status" => !status_apart,
        _ => true,
    };
    // In both directions: what went away has changed as well. Nothing is copied, for this is asked at every update.
    let differs = |one: &Value, other: &Value| {
        let mut members = one.as_object().into_iter().flatten();
        members.any(|(name, value)| counts(name) && other.get(name) != Some(value))
    };
    differs(new, old) || differs(old, new)
}

/// `metadata.name`, or nothing.
pub(crate) fn name_of(value: &Value) -> &str {
    value["metadata"]["name"].as_str().unwrap_or_default()
}
