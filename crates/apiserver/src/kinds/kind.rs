//! A kind is data. Built-in kinds and custom ones differ only in where this data comes from.

use std::sync::Arc;

use serde_json::Value;

use crate::object::{ResourceId, Revision};
use crate::schema::{FieldError, Schema};

/// Everything the server knows about one resource of one API group.
#[derive(Debug, Clone)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name: the path segment, and half of the store's key.
    pub plural: String,
    /// Singular name, for discovery.
    pub singular: String,
    /// The `kind` of its objects.
    pub kind: String,
    /// The `kind` of its lists.
    pub list_kind: String,
    /// Short names, for discovery.
    pub short_names: Vec<String>,
    /// Categories such as `all`, for discovery.
    pub categories: Vec<String>,
    /// Where objects live.
    pub scope: Scope,
    /// Served and formerly served versions, the preferred one first.
    pub versions: Vec<Version>,
    /// Name of the version objects are stored in; one of `versions`.
    pub storage: String,
    /// Where the data came from.
    pub source: Source,
    /// Where this kind differs from the rule.
    pub rules: Rules,
    /// The resource whose objects these are; differs from group and plural only for a view of another kind
    /// (events.k8s.io shows the core group's events).
    pub stored_as: ResourceId,
    /// Objects older than this were written under another schema, so its defaults are filled in when they are read.
    pub defaults_since: Revision,
}

impl Kind {
    /// The key under which the store keeps its objects.
    pub fn resource(&self) -> &ResourceId {
        &self.stored_as
    }

    /// The named version, if it is served.
    pub fn served(&self, version: &str) -> Option<&Version> {
        self.versions.iter().find(|known| known.name == version && known.served)
    }

    /// The version objects are stored in.
    pub fn storage_version(&self) -> Option<&Version> {
        self.versions.iter().find(|known| known.name == self.storage)
    }

    /// `v1` or `group/version`.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// Whether it came from a CustomResourceDefinition.
    pub fn is_custom(&self) -> bool {
        matches!(self.source, Source::Custom { .. })
    }
}

/// Where the objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Inside namespaces.
    Namespaced,
    /// Beside them.
    Cluster,
}

/// Where a kind's data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Compiled in.
    Builtin,
    /// A CustomResourceDefinition.
    Custom {
        /// Name of the definition.
        definition: String,
        /// Its uid: a definition deleted and made again is another kind.
        uid: String,
        /// How versions become each other.
        conversion: Conversion,
    },
}

/// How an object stored in one version is shown in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// Only `apiVersion` changes.
    None,
    /// The converter registered with the server for this kind; without one the versions can't be told apart and the
    /// request fails.
    InProcess,
}

/// One version of a kind.
#[derive(Debug, Clone)]
pub struct Version {
    /// `v1`, `v1beta1` ...
    pub name: String,
    /// Whether requests may name it.
    pub served: bool,
    /// The warning that each request for it answers with, if it is deprecated.
    pub deprecation: Option<String>,
    /// What `kubectl get` shows beyond name and age.
    pub columns: Vec<Column>,
    /// The subresources it offers.
    pub subresources: Subresources,
    /// Paths usable in field selectors, beyond name and namespace: `.spec.color`.
    pub selectable: Vec<String>,
    /// What prunes, defaults and validates its objects; none only where a kind is free-form.
    pub schema: Option<Arc<Schema>>,
    /// The `openAPIV3Schema` of a custom kind, as written; none for built-in kinds.
    pub open_api: Option<Arc<Value>>,
}

/// A printer column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub column_type: String,
    /// An optional hint such as `int32`.
    pub format: String,
    /// What it means.
    pub description: String,
    /// Above zero it shows only with `-o wide`.
    pub priority: i64,
    /// Where the value is, as a JSONPath such as `.status.phase`.
    pub json_path: String,
}

/// The subresources of a version. Named members where the server acts on them itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subresources {
    /// Whether `status` is written apart from the rest.
    pub status: Status,
    /// Whether and where `scale` finds its numbers.
    pub scale: Option<ScalePaths>,
    /// Others, with their kind and verbs, such as `binding` and `log` of pods.
    pub others: Vec<Subresource>,
}

/// How a kind's status is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Like any other field.
    #[default]
    Inline,
    /// Only through the `status` subresource.
    Subresource,
}

/// Where the scale subresource reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// `.spec.replicas`
    pub spec_replicas: String,
    /// `.status.replicas`
    pub status_replicas: String,
    /// `.status.selector`; a string in serialised form.
    pub label_selector: Option<String>,
}

/// A subresource as discovery lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subresource {
    /// Path segment after the object's name.
    pub name: &'static str,
    /// Group of its kind; empty for the core group.
    pub group: &'static str,
    /// Version of its kind.
    pub version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Verbs it answers.
    pub verbs: &'static [&'static str],
}

/// Verbs of an ordinary resource, in discovery's order.
pub const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Where a kind differs from the rule.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Verbs that the resource answers.
    pub verbs: &'static [&'static str],
    /// What a PUT to a name that is free does.
    pub put_missing: PutMissing,
    /// What a PUT without a resourceVersion does.
    pub put_unversioned: PutUnversioned,
    /// What raises `metadata.generation`.
    pub generation: Generation,
    /// What an object name must look like.
    pub names: Names,
    /// Built-in behaviour: defaults, checks, field labels.
    pub hooks: Hooks,
}

/// What a PUT to a name that is free does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMissing {
    /// 404.
    Refuse,
    /// Creates the object.
    Create,
}

/// What a PUT without a resourceVersion does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutUnversioned {
    /// Overwrites whatever is there.
    Overwrite,
    /// 422: the client must say what it read.
    Refuse,
}

/// What raises `metadata.generation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The kind has none.
    None,
    /// Any change outside metadata (and outside status, where status is a subresource).
    Content,
}

/// What an object name must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// A DNS subdomain: up to 253 characters, dots allowed.
    Subdomain,
    /// A DNS label: up to 63 characters, no dots.
    Label,
    /// A path segment: anything but `.`, `..`, `/` and `%` (RBAC names).
    PathSegment,
}

/// Built-in behaviour of a kind, as plain functions on its JSON. Custom kinds have none.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Fills in defaults, on create and on update, before validation.
    pub default: fn(&mut Value),
    /// Sets what only the server sets on a new object: phases, finalizers. Runs before `default`.
    pub on_create: fn(&mut Value),
    /// Keeps what clients may not change from changing silently: new, old. Runs before validation.
    pub on_update: fn(&mut Value, &Value),
    /// Checks beyond the schema: the object, and the old one on an update.
    pub validate: fn(&Value, Option<&Value>) -> Vec<FieldError>,
    /// Field labels that selectors may use beyond name and namespace.
    pub fields: &'static [&'static str],
    /// How objects look in this kind if they are stored as another.
    pub view: Option<View>,
}

impl Hooks {
    /// No behaviour of its own.
    pub const NONE: Self = Self {
        default: |_| {},
        on_create: |_| {},
        on_update: |_, _| {},
        validate: |_, _| Vec::new(),
        fields: &[],
        view: None,
    };
}

/// The two directions between a stored kind and another way to see it.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// As stored, to as seen.
    pub from_storage: fn(Value) -> Value,
    /// As seen, to as stored.
    pub to_storage: fn(Value) -> Value,
}
