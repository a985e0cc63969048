//! Between v1beta1, which is stored, and v1alpha1, which is served beside it.
//!
//! What v1alpha1 can say and v1beta1 can't is kept in an annotation, in the shape that other implementations of this family use too: the name of the annotation
//! says the kind, its value is JSON with the fields in question. Nothing is computed from what was saved where the live object knows better.

pub mod claim;
mod pool;
mod sandbox;
mod template;

use super::names::{Kind, V1ALPHA1, V1BETA1};
use serde_json::Value;
use thiserror::Error;

/// Why an object can't be converted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConvertError {
    /// It is not an object, or has no kind and version.
    #[error("an object to convert needs apiVersion and kind")]
    Untyped,
    /// Its metadata, spec or status is not an object.
    #[error("metadata, spec and status have to be objects")]
    Malformed,
    /// Of another family.
    #[error("kind {0} of {1} is not of this family")]
    UnknownKind(String, String),
    /// A version that does not exist.
    #[error("version {0} is not served")]
    UnknownVersion(String),
}

/// Converts an object to a version (`v1alpha1` or `v1beta1`) of its kind. Objects that are in that version already come back as they are.
///
/// # Errors
/// If the object or the version is not of this family.
pub fn convert(mut object: Value, to: &str) -> Result<Value, ConvertError> {
    let (Some(api_version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str())
    else {
        return Err(ConvertError::Untyped);
    };
    let (group, from) = api_version.split_once('/').ok_or(ConvertError::Untyped)?;
    let known = Kind::parse(kind).filter(|known| known.group() == group);
    let Some(known) = known else {
        return Err(ConvertError::UnknownKind(kind.to_owned(), api_version.to_owned()));
    };
    let from = from.to_owned();
    for version in [from.as_str(), to] {
        if ![V1ALPHA1, V1BETA1].contains(&version) {
            return Err(ConvertError::UnknownVersion(version.to_owned()));
        }
    }
    if from == to {
        return Ok(object);
    }
    let sound = |part: &str| object[part].is_null() || object[part].is_object();
    if !["metadata", "spec", "status"].into_iter().all(sound) {
        return Err(ConvertError::Malformed);
    }
    object["apiVersion"] = Value::String(format!("{}/{to}", known.group()));
    match (known, to) {
        (Kind::Sandbox, V1BETA1) => sandbox::up(&mut object),
        (Kind::Sandbox, _) => sandbox::down(&mut object),
        (Kind::SandboxTemplate, V1BETA1) => template::up(&mut object),
        (Kind::SandboxTemplate, _) => template::down(&mut object),
        (Kind::SandboxWarmPool, V1BETA1) => pool::up(&mut object),
        (Kind::SandboxWarmPool, _) => pool::down(&mut object),
        (Kind::SandboxClaim, V1BETA1) => claim::up(&mut object),
        (Kind::SandboxClaim, _) => claim::down(&mut object),
    }
    Ok(object)
}

/// Takes a member out of an object.
fn take(object: &mut Value, part: &str, member: &str) -> Option<Value> {
    // `get_mut`, since an index would put a null where there is nothing.
    object.get_mut(part)?.as_object_mut()?.remove(member)
}

/// Sets an annotation.
fn annotate(object: &mut Value, key: &str, value: String) {
    let annotations = &mut object["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = serde_json::json!({});
    }
    annotations[key] = Value::String(value);
}

/// Takes an annotation away; the last one takes the map with it.
fn unannotate(object: &mut Value, key: &str) -> Option<String> {
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
    let value = annotations.remove(key)?;
    if annotations.is_empty() {
        metadata.remove("annotations");
    }
    value.as_str().map(str::to_owned)
}
