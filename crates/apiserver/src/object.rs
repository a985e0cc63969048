//! An object as the server keeps it: the bytes it will send, and the few metadata fields it must know.
//!
//! Bytes are written once, by the write that made the object, and shared by every list and watch. Their layout is fixed
//! (`apiVersion`, `kind`, `metadata` first, `resourceVersion` last inside `metadata`), so that the writer can put in the
//! revision without serialising again, and a list can leave out the type or name another version by cutting bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A point in the store's history; the number behind `resourceVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A resource of an API group, whatever the version: what the store keeps apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// API group; empty for the core group.
    pub group: Arc<str>,
    /// Plural name.
    pub plural: Arc<str>,
}

impl ResourceId {
    /// Names a resource; `group` is empty for the core group.
    pub fn new(group: &str, plural: &str) -> Self {
        Self { group: group.into(), plural: plural.into() }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            formatter.write_str(&self.plural)
        } else {
            write!(formatter, "{}.{}", self.plural, self.group)
        }
    }
}

/// Where an object lives. Orders by resource, then namespace, then name: the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The resource.
    pub resource: ResourceId,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key from its parts; `namespace` is empty for cluster-scoped objects.
    pub fn new(
        resource: ResourceId,
        namespace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self { resource, namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(formatter, "{}/{}", self.resource, self.name)
        } else {
            write!(formatter, "{}/{}/{}", self.resource, self.namespace, self.name)
        }
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// Group and version of the owner.
    #[serde(default)]
    pub api_version: String,
    /// Kind of the owner.
    #[serde(default)]
    pub kind: String,
    /// Name of the owner.
    #[serde(default)]
    pub name: String,
    /// Uid of the owner. Owners are matched by uid: a namesake is not the owner.
    #[serde(default)]
    pub uid: String,
    /// Whether this owner manages the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

/// The metadata that the server itself acts on. Everything else stays in the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name, unique within namespace and resource.
    pub name: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Identity of this life of the name.
    pub uid: String,
    /// Counts changes of what the object asks for.
    pub generation: u64,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// Set once deletion was asked for and something still holds the object.
    pub deletion_timestamp: Option<Timestamp>,
    /// The grace that `deletion_timestamp` includes.
    pub deletion_grace_period_seconds: Option<i64>,
    /// What must let go before the object can leave.
    pub finalizers: Vec<String>,
    /// Whom it belongs to.
    pub owner_references: Vec<OwnerReference>,
    /// Labels, for selectors.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Meta {
    /// Whether deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// Why a value cannot become an object.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The bytes are not JSON.
    #[error("parse object: {0}")]
    Parse(#[from] serde_json::Error),
    /// It lacks what every object has.
    #[error("object has no {0}")]
    Missing(&'static str),
}

/// An object ready to be written: everything but its revision.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Bytes up to and including the quote that opens the revision's value.
    head: Vec<u8>,
    /// Bytes after the revision's digits.
    tail: Vec<u8>,
    body_at: usize,
    meta: Meta,
}

impl Draft {
    /// Lays out `value`. A `metadata.resourceVersion` inside it is dropped.
    pub fn new(value: &Value) -> Result<Self, ObjectError> {
        let root = value.as_object().ok_or(ObjectError::Missing("members"))?;
        let text = |name| root.get(name).and_then(Value::as_str);
        let api_version = text("apiVersion").ok_or(ObjectError::Missing("apiVersion"))?;
        let kind = text("kind").ok_or(ObjectError::Missing("kind"))?;
        let metadata = root
            .get("metadata")
            .filter(|metadata| metadata.is_object())
            .ok_or(ObjectError::Missing("metadata"))?;
        let meta = Meta::deserialize(metadata)?;
        let members = metadata.as_object().ok_or(ObjectError::Missing("metadata"))?;

        let mut head = Vec::with_capacity(1024);
        head.extend_from_slice(b"{\"apiVersion\":");
        serde_json::to_writer(&mut head, api_version)?;
        head.extend_from_slice(b",\"kind\":");
        serde_json::to_writer(&mut head, kind)?;
        head.push(b',');
        let body_at = head.len();
        head.extend_from_slice(b"\"metadata\":{");
        for (name, value) in members.iter().filter(|(name, _)| *name != "resourceVersion") {
            write_member(&mut head, name, value)?;
            head.push(b',');
        }
        head.extend_from_slice(b"\"resourceVersion\":\"");

        let mut tail = Vec::with_capacity(1024);
        tail.extend_from_slice(b"\"}");
        let rest = root
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata"));
        for (name, value) in rest {
            tail.push(b',');
            write_member(&mut tail, name, value)?;
        }
        tail.push(b'}');
        Ok(Self { head, tail, body_at, meta })
    }

    /// The metadata of the object to be.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The object, written at `revision`.
    pub fn seal(&self, revision: Revision) -> Object {
        let digits = revision.to_string();
        let mut bytes = Vec::with_capacity(self.head.len() + digits.len() + self.tail.len());
        bytes.extend_from_slice(&self.head);
        bytes.extend_from_slice(digits.as_bytes());
        bytes.extend_from_slice(&self.tail);
        Object {
            bytes: bytes.into(),
            body_at: self.body_at,
            revision_at: self.head.len(),
            revision,
            meta: Arc::new(self.meta.clone()),
        }
    }

    /// Whether writing this over `old` would change nothing but the revision.
    pub fn same_as(&self, old: &Object) -> bool {
        let digits = old.revision.to_string().len();
        let bytes = old.bytes.as_ref();
        bytes.len() == self.head.len() + digits + self.tail.len()
            && bytes.starts_with(&self.head)
            && bytes.ends_with(&self.tail)
    }
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &Value) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *out, name)?;
    out.push(b':');
    serde_json::to_writer(out, value)
}

/// A stored object. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Object {
    bytes: Bytes,
    /// Where `"metadata":` begins, after `apiVersion` and `kind`.
    body_at: usize,
    /// Where the digits of the revision begin.
    revision_at: usize,
    revision: Revision,
    meta: Arc<Meta>,
}

impl Object {
    /// Offsets of the body and of the revision's digits, for the log.
    pub(crate) fn layout(&self) -> [usize; 2] {
        [self.body_at, self.revision_at]
    }

    /// Puts together what the log kept apart; parses the metadata alone.
    pub(crate) fn from_layout(
        bytes: Bytes,
        [body_at, revision_at]: [usize; 2],
        revision: Revision,
    ) -> Result<Self, ObjectError> {
        #[derive(Deserialize)]
        struct Outer {
            metadata: Meta,
        }
        let digits = revision.to_string();
        let at_body = bytes.get(body_at..).is_some_and(|rest| rest.starts_with(b"\"metadata\":"));
        let at_digits =
            bytes.get(revision_at..).is_some_and(|rest| rest.starts_with(digits.as_bytes()));
        if !at_body || !at_digits {
            return Err(ObjectError::Missing("bytes where its layout says"));
        }
        let outer: Outer = serde_json::from_slice(&bytes)?;
        Ok(Self { bytes, body_at, revision_at, revision, meta: Arc::new(outer.metadata) })
    }

    /// Reads back bytes that [`Draft::seal`] made.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, ObjectError> {
        let value: Value = serde_json::from_slice(bytes)?;
        let revision = value["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|digits| digits.parse().ok())
            .ok_or(ObjectError::Missing("metadata.resourceVersion"))?;
        Ok(Draft::new(&value)?.seal(Revision(revision)))
    }

    /// The whole object as JSON, in the version it is stored in.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes after `apiVersion` and `kind`: what follows an opening brace where a list item goes without them.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(self.body_at..)
    }

    /// The object with another apiVersion, everything else as it is: conversion strategy `None`.
    pub fn with_api_version(&self, api_version: &str, kind: &str) -> Bytes {
        let body = &self.bytes[self.body_at..];
        let mut bytes = Vec::with_capacity(body.len() + api_version.len() + kind.len() + 32);
        bytes.extend_from_slice(b"{\"apiVersion\":\"");
        bytes.extend_from_slice(api_version.as_bytes());
        bytes.extend_from_slice(b"\",\"kind\":\"");
        bytes.extend_from_slice(kind.as_bytes());
        bytes.extend_from_slice(b"\",");
        bytes.extend_from_slice(body);
        bytes.into()
    }

    /// The version it is stored in, as `group/version`.
    pub fn api_version(&self) -> &str {
        const OPENING: usize = b"{\"apiVersion\":\"".len();
        let rest = self.bytes.get(OPENING..self.body_at).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).unwrap_or_default()
    }

    /// `"metadata":{...}` as it stands in the bytes.
    pub fn metadata(&self) -> &[u8] {
        // The revision is the last member of the metadata: after its digits come a quote and the closing brace.
        let end = self.revision_at + self.revision.to_string().len() + 2;
        &self.bytes[self.body_at..end]
    }

    /// The same state under a later revision: what a DELETED event carries.
    pub fn at_revision(&self, revision: Revision) -> Object {
        let digits = self.revision.to_string().len();
        let mut bytes = Vec::with_capacity(self.bytes.len() + 4);
        bytes.extend_from_slice(&self.bytes[..self.revision_at]);
        bytes.extend_from_slice(revision.to_string().as_bytes());
        bytes.extend_from_slice(&self.bytes[self.revision_at + digits..]);
        Object { bytes: bytes.into(), revision, ..self.clone() }
    }

    /// The revision of its last write.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Its metadata.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Parses the whole object. For validation, patches and selectors on fields; serving never needs it.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| Value::Object(Map::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn layout_survives_a_round_trip_and_names_the_revision() {
        let value = json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"name": "a", "namespace": "n", "labels": {"x": "y"}, "resourceVersion": "3"},
            "data": {"resourceVersion": "\"resourceVersion\":\"7\""}
        });
        let draft = Draft::new(&value).unwrap();
        let object = draft.seal(Revision(99));
        let mut expected = value.clone();
        expected["metadata"]["resourceVersion"] = "99".into();
        assert_eq!(object.value(), expected);
        assert!(draft.same_as(&object));
        let later = object.at_revision(Revision(100));
        expected["metadata"]["resourceVersion"] = "100".into();
        assert_eq!(later.value(), expected);
        assert!(draft.same_as(&later));
        let read = Object::from_stored(later.bytes()).unwrap();
        assert_eq!(read.bytes(), later.bytes());
        assert_eq!(read.meta(), later.meta());
    }

    #[test]
    fn another_version_changes_the_type_alone() {
        let value =
            json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a"}, "spec": 1});
        let object = Draft::new(&value).unwrap().seal(Revision(5));
        let other: Value = serde_json::from_slice(&object.with_api_version("g/v2", "K")).unwrap();
        assert_eq!(other["apiVersion"], "g/v2");
        assert_eq!(other["spec"], 1);
        assert!(object.body().starts_with(b"\"metadata\":"));
    }
}
