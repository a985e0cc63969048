//! A stored object in the version and form a client asked for.
//!
//! In the common case this is the stored bytes themselves; the rest is cutting, and only a real conversion parses.

use bytes::Bytes;
use serde_json::Value;

use crate::kinds::{Conversion, Served, Source};
use crate::object::{Draft, Object};
use crate::server::Api;
use crate::status::ApiError;

impl Api {
    /// The object as JSON in the served version.
    pub(crate) fn show(&self, served: &Served, object: &Object) -> Result<Bytes, ApiError> {
        if served.kind.rules.hooks.view.is_none() && !is_dated(served, object) {
            let wanted = served.api_version();
            if object.api_version() == wanted {
                return Ok(object.bytes().clone());
            }
            if !matches!(
                served.kind.source,
                Source::Custom { conversion: Conversion::InProcess, .. }
            ) {
                return Ok(object.with_api_version(&wanted, &served.kind.kind));
            }
        }
        let value = self.value_in(served, object)?;
        let draft = Draft::new(&value).map_err(ApiError::internal)?;
        Ok(draft.seal(object.revision()).bytes().clone())
    }

    /// The object parsed, in the served version.
    pub(crate) fn value_in(&self, served: &Served, object: &Object) -> Result<Value, ApiError> {
        let mut value = object.value();
        if let Some(view) = served.kind.rules.hooks.view {
            value = (view.from_storage)(value);
        }
        let mut value = self.convert(served, value, &served.api_version())?;
        if let (true, Some(schema)) = (is_dated(served, object), &served.version().schema) {
            schema.default(&mut value);
        }
        Ok(value)
    }

    /// An object of the served version as it is stored.
    pub(crate) fn to_storage(&self, served: &Served, value: Value) -> Result<Draft, ApiError> {
        let value = match served.kind.rules.hooks.view {
            Some(view) => (view.to_storage)(value),
            None => {
                let storage = served.kind.api_version(&served.kind.storage);
                self.convert(served, value, &storage)?
            }
        };
        Draft::new(&value).map_err(|error| ApiError::bad_request(error.to_string()))
    }

    fn convert(&self, served: &Served, mut value: Value, wanted: &str) -> Result<Value, ApiError> {
        if value["apiVersion"] == wanted {
            return Ok(value);
        }
        let Source::Custom { conversion: Conversion::InProcess, .. } = served.kind.source else {
            value["apiVersion"] = wanted.into();
            return Ok(value);
        };
        let kind = &served.kind;
        let converter = self.converter(&kind.group, &kind.kind).ok_or_else(|| {
            ApiError::internal(format!(
                "no converter is registered for {}.{}; its versions can't be converted",
                kind.kind, kind.group
            ))
        })?;
        let metadata = value["metadata"].clone();
        let mut converted = converter.convert(value, wanted).map_err(|error| {
            ApiError::internal(format!("convert {} to {wanted}: {error}", kind.kind))
        })?;
        // A conversion is not a write: identity and bookkeeping pass through whatever the converter does with them.
        for member in [
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "finalizers",
            "ownerReferences",
        ] {
            match metadata.get(member) {
                Some(kept) => converted["metadata"][member] = kept.clone(),
                None => {
                    if let Some(members) = converted["metadata"].as_object_mut() {
                        members.remove(member);
                    }
                }
            }
        }
        converted["apiVersion"] = wanted.into();
        Ok(converted)
    }
}

/// Whether the object was written before its kind had the schema it has now.
fn is_dated(served: &Served, object: &Object) -> bool {
    object.revision() < served.kind.defaults_since
}

/// The object's metadata alone, as a PartialObjectMetadata.
pub(crate) fn metadata_only(object: &Object) -> Bytes {
    let mut bytes = br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#.to_vec();
    bytes.extend_from_slice(object.metadata());
    bytes.push(b'}');
    bytes.into()
}
