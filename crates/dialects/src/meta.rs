//! Object metadata, as far as we look at it.

use engine::{Key, Precondition, Uid, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels or annotations.
pub type Pairs = BTreeMap<String, String>;

/// The part of an object's metadata that decisions are made from. Objects are never written back from it: what it does not know would be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// The name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The namespace; empty for cluster-wide objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The uid; empty before the object was stored.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The version; empty before the object was stored.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Counts changes of the spec.
    #[serde(skip_serializing_if = "is_zero")]
    pub generation: i64,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// Set when it is being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub labels: Pairs,
    /// Its annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub annotations: Pairs,
    /// What has to be done before it is gone.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub finalizers: Vec<String>,
    /// Who owns it.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub owner_references: Vec<OwnerReference>,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Reads `null` like an absent field, as Kubernetes does.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Meta {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }

    /// The uid.
    pub fn uid(&self) -> Uid {
        Uid::new(&self.uid)
    }

    /// The version; zero if the server's is not a number, which then never passes as newer than anything.
    pub fn version(&self) -> Version {
        Version::parse(&self.resource_version).unwrap_or_default()
    }

    /// What must still be true when a write about this object arrives.
    pub fn precondition(&self) -> Precondition {
        Precondition { uid: self.uid(), version: self.version() }
    }

    /// The reference to its controller, if it has one.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether it is being deleted.
    pub fn is_leaving(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// When it was created; the epoch if the server did not say.
    pub fn created(&self) -> Timestamp {
        self.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A reference to an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version; only the group is compared, since versions of one kind are the same object.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The uid: the only thing that says which life of the owner is meant.
    pub uid: String,
    /// Whether the owner controls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl OwnerReference {
    /// A reference that controls and blocks.
    pub fn controlling(api_version: &str, kind: &str, name: &str, uid: &str) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// Whether it refers to this kind of this group, in whatever version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.kind == kind
            && self.api_version.split_once('/').map_or("", |(group, _)| group) == group
    }
}
