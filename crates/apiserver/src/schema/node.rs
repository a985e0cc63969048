//! A schema as the server walks it: an arena of nodes, so that recursive definitions need no special case.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use super::cel::Rule;
use super::format::Format;

/// A node's place in its [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(pub(crate) u32);

/// All nodes of one schema document.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    pub(crate) nodes: Vec<Node>,
}

impl Arena {
    pub(crate) fn get(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }
}

/// What a value may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Type {
    /// Anything at all: free-form JSON, and the value rules inside `allOf` and the like.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// An integer or a string.
    IntOrString,
}

impl Type {
    /// The name in a schema and in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Any => "any",
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
            Type::IntOrString => "integer or string",
        }
    }
}

/// What an object may hold beside its properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Additional {
    /// Nothing: unknown fields are dropped.
    #[default]
    None,
    /// Entries under any key, all of one schema.
    Map(NodeId),
    /// Entries of any kind.
    Any,
}

/// How the items of a list are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    /// Not at all: the list is one value.
    #[default]
    Atomic,
    /// Items are values and differ from each other.
    Set,
    /// Items are objects with these key fields.
    Map(Vec<String>),
}

/// Where a schema comes from, which decides how the server reads a value against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A CustomResourceDefinition: values are JSON, a null is a value.
    #[default]
    Custom,
    /// Kubernetes itself: the real server reads into typed structs, where a null is an absent field and a wrong type
    /// is a decoding error (400), not a validation error (422).
    BuiltIn,
}

/// Texts of a type that Kubernetes writes in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Canonical {
    Quantity,
    /// RFC 3339 to the second, in UTC.
    Time,
    /// RFC 3339 with exactly six digits of fraction.
    MicroTime,
}

/// How strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergeStrategy {
    /// Lists: merge items by this field. `None` with `merge` set: a list of plain values.
    pub(crate) key: Option<String>,
    /// Merge into what is there rather than replace it (lists only; objects merge unless told otherwise).
    pub(crate) merge: bool,
    /// `$retainKeys` is understood.
    pub(crate) retain_keys: bool,
    /// Objects: replace as a whole.
    pub(crate) replace: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) ty: Type,
    pub(crate) origin: Origin,
    pub(crate) nullable: bool,
    pub(crate) properties: BTreeMap<String, NodeId>,
    pub(crate) additional: Additional,
    pub(crate) items: Option<NodeId>,
    pub(crate) required: Vec<String>,
    pub(crate) default: Option<Value>,
    /// Unknown fields stay.
    pub(crate) preserve_unknown: bool,
    pub(crate) list_type: ListType,
    /// The object is one value for server-side apply.
    pub(crate) atomic_map: bool,
    pub(crate) canonical: Option<Canonical>,
    /// Built-in lists: items must differ in this field.
    pub(crate) unique_by: Option<String>,
    pub(crate) merge: Option<MergeStrategy>,
    pub(crate) rules: Vec<Rule>,
    /// Whether this node or one below it has rules: most writes need not look further.
    pub(crate) rules_below: bool,
    /// The name of the type in Kubernetes' sources, for decoding errors and OpenAPI.
    pub(crate) definition: Option<Arc<str>>,
    /// Checks of the value itself; `None` for the many nodes that have none.
    pub(crate) checks: Option<Box<Checks>>,
}

/// Checks of a value beside its type and shape.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    pub(crate) format: Option<Format>,
    pub(crate) enumeration: Vec<Value>,
    pub(crate) pattern: Option<Arc<Pattern>>,
    pub(crate) minimum: Option<Bound>,
    pub(crate) maximum: Option<Bound>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) all_of: Vec<NodeId>,
    pub(crate) any_of: Vec<NodeId>,
    pub(crate) one_of: Vec<NodeId>,
    pub(crate) not: Option<NodeId>,
}

/// A regular expression and its text, which messages quote.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    pub(crate) regex: Regex,
}

/// A limit of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    pub(crate) exclusive: bool,
}
