//! The schemas of the kinds that are part of Kubernetes, from the data in `data/kubernetes.json`.
//!
//! The data holds what Kubernetes publishes about its own kinds, so one code path prunes, defaults and validates them
//! and custom resources alike. `hack/kubernetes-schema.py` makes it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

use super::Schema;
use super::format::Format;
use super::node::{
    Additional, Arena, Canonical, Checks, ListType, MergeStrategy, Node, NodeId, Origin, Type,
};

/// The definition of the metadata of every object.
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
/// Definitions that stand for free-form JSON. The schemas inside a CRD are read by [`Schema::parse`], which knows their
/// rules better than the published definition does.
const FREE_FORM: [&str; 6] = [
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
];

/// Keyword of our data beside the published ones: items of a built-in list must differ in this field.
pub(crate) const UNIQUE_BY: &str = "x-unique-by";

struct BuiltIn {
    definitions: BTreeMap<String, Value>,
    arena: Arc<Arena>,
    by_name: HashMap<String, NodeId>,
    by_kind: HashMap<(String, String, String), String>,
}

static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(|| {
    let text = include_str!("../../data/kubernetes.json");
    let definitions: BTreeMap<String, Value> =
        serde_json::from_str(text).expect("generated data that a test reads");
    let mut arena = Arena::default();
    let mut loader =
        Loader { definitions: &definitions, arena: &mut arena, by_name: HashMap::new() };
    for name in definitions.keys() {
        loader.definition(name);
    }
    let by_name = loader.by_name;
    let mut by_kind = HashMap::new();
    for (name, definition) in &definitions {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let part = |key: &str| kind[key].as_str().unwrap_or_default().to_owned();
            by_kind.insert((part("group"), part("version"), part("kind")), name.clone());
        }
    }
    // Published with the versions of every group that accepts them; they belong to the machinery of all groups.
    for kind in ["DeleteOptions", "Status"] {
        by_kind.insert(
            (String::new(), "v1".into(), kind.into()),
            format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"),
        );
    }
    BuiltIn { definitions, arena: Arc::new(arena), by_name, by_kind }
});

/// The schema of a built-in kind.
pub fn schema(group: &str, version: &str, kind: &str) -> Option<Arc<Schema>> {
    let name = definition_name(group, version, kind)?;
    let root = *BUILT_IN.by_name.get(name)?;
    Some(Arc::new(Schema { arena: BUILT_IN.arena.clone(), root }))
}

/// The name under which a built-in kind is published, as `io.k8s.api.core.v1.Pod`.
pub fn definition_name(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    let key = (group.to_owned(), version.to_owned(), kind.to_owned());
    BUILT_IN.by_kind.get(&key).map(String::as_str)
}

/// All definitions as published, by name; references point below `#/components/schemas/`.
pub(crate) fn definitions() -> &'static BTreeMap<String, Value> {
    &BUILT_IN.definitions
}

/// Adds a definition and all it refers to to another arena: custom resources have the metadata of all objects.
pub(crate) fn copy_into(name: &str, arena: &mut Arena) -> NodeId {
    let mut loader = Loader { definitions: &BUILT_IN.definitions, arena, by_name: HashMap::new() };
    loader.definition(name)
}

struct Loader<'a> {
    definitions: &'a BTreeMap<String, Value>,
    arena: &'a mut Arena,
    by_name: HashMap<String, NodeId>,
}

impl Loader<'_> {
    fn reserve(&mut self) -> NodeId {
        let id = NodeId(u32::try_from(self.arena.nodes.len()).expect("a few thousand nodes"));
        self.arena.nodes.push(Node::default());
        id
    }

    /// A named definition. The place is reserved first, so that a definition may refer to itself.
    fn definition(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.reserve();
        self.by_name.insert(name.to_owned(), id);
        let mut node = match self.definitions.get(name).and_then(Value::as_object) {
            Some(map) => self.node(map),
            None => Node { preserve_unknown: true, ..Node::default() },
        };
        node.definition = Some(name.into());
        match name {
            QUANTITY => (node.ty, node.canonical) = (Type::Any, Some(Canonical::Quantity)),
            INT_OR_STRING => node.ty = Type::IntOrString,
            TIME => node.canonical = Some(Canonical::Time),
            MICRO_TIME => node.canonical = Some(Canonical::MicroTime),
            _ if FREE_FORM.contains(&name) => node.preserve_unknown = true,
            _ => {}
        }
        if matches!(name, QUANTITY | INT_OR_STRING | TIME | MICRO_TIME) {
            node.checks = None;
        }
        self.arena.nodes[id.0 as usize] = node;
        id
    }

    /// A schema at any place: a reference with what is said beside it, or a schema of its own.
    fn place(&mut self, schema: &Value) -> NodeId {
        let Some(map) = schema.as_object() else { return self.reserve() };
        let Some(reference) = map.get("$ref").and_then(Value::as_str) else {
            let node = self.node(map);
            let id = self.reserve();
            self.arena.nodes[id.0 as usize] = node;
            return id;
        };
        let name = reference.rsplit('/').next().unwrap_or(reference);
        let target = self.definition(name);
        if map.len() == 1 {
            return target;
        }
        // Beside the reference stand a default, a merge strategy or a map type: a node of its own that shares the
        // children. Definitions that refer to themselves are never annotated this way, so the target is complete.
        let shared = self.arena.get(target);
        let node = Node {
            ty: shared.ty,
            origin: Origin::BuiltIn,
            properties: shared.properties.clone(),
            additional: shared.additional,
            items: shared.items,
            required: shared.required.clone(),
            preserve_unknown: shared.preserve_unknown,
            canonical: shared.canonical,
            definition: shared.definition.clone(),
            default: map.get("default").cloned(),
            atomic_map: shared.atomic_map
                || map.get("x-kubernetes-map-type").is_some_and(|t| t == "atomic"),
            merge: merge_strategy(map),
            ..Node::default()
        };
        let id = self.reserve();
        self.arena.nodes[id.0 as usize] = node;
        id
    }

    fn node(&mut self, map: &Map<String, Value>) -> Node {
        let mut node = Node {
            origin: Origin::BuiltIn,
            ty: match map.get("type").and_then(Value::as_str) {
                Some("object") => Type::Object,
                Some("array") => Type::Array,
                Some("string") => Type::String,
                Some("integer") => Type::Integer,
                Some("number") => Type::Number,
                Some("boolean") => Type::Boolean,
                _ => Type::Any,
            },
            default: map.get("default").cloned(),
            atomic_map: map.get("x-kubernetes-map-type").is_some_and(|t| t == "atomic"),
            merge: merge_strategy(map),
            unique_by: map.get(UNIQUE_BY).and_then(Value::as_str).map(str::to_owned),
            ..Node::default()
        };
        let strings = |key: &str| -> Vec<String> {
            let list = map.get(key).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        node.required = strings("required");
        node.list_type = match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(strings("x-kubernetes-list-map-keys")),
            _ => ListType::Atomic,
        };
        for (name, schema) in map.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            let id = self.place(schema);
            node.properties.insert(name.clone(), id);
        }
        node.additional = match map.get("additionalProperties") {
            None => Additional::None,
            Some(Value::Bool(_)) => Additional::Any,
            Some(schema) => Additional::Map(self.place(schema)),
        };
        node.items = map.get("items").map(|schema| self.place(schema));
        let format = map.get("format").and_then(Value::as_str).and_then(Format::named);
        let enumeration = map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
        if format.is_some() || !enumeration.is_empty() {
            node.checks = Some(Box::new(Checks { format, enumeration, ..Checks::default() }));
        }
        node
    }
}

fn merge_strategy(map: &Map<String, Value>) -> Option<MergeStrategy> {
    let words = map.get("x-kubernetes-patch-strategy")?.as_str()?;
    let has = |word: &str| words.split(',').any(|w| w == word);
    Some(MergeStrategy {
        key: map.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).map(str::to_owned),
        merge: has("merge"),
        retain_keys: has("retainKeys"),
        replace: has("replace"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_data_is_resolved() {
        let built_in = &*BUILT_IN;
        for (name, definition) in &built_in.definitions {
            let text = definition.to_string();
            for reference in text.split("#/components/schemas/").skip(1) {
                let target = reference.split('"').next().unwrap();
                assert!(built_in.definitions.contains_key(target), "{name} refers to {target}");
            }
        }
    }

    #[test]
    fn the_kinds_of_the_machinery_have_schemas() {
        for (group, kind) in [
            ("", "Pod"),
            ("", "Secret"),
            ("", "Namespace"),
            ("", "Node"),
            ("", "Event"),
            ("", "DeleteOptions"),
            ("events.k8s.io", "Event"),
            ("coordination.k8s.io", "Lease"),
            ("networking.k8s.io", "NetworkPolicy"),
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
            ("policy", "Eviction"),
            ("autoscaling", "Scale"),
            ("authentication.k8s.io", "TokenRequest"),
            ("authorization.k8s.io", "SelfSubjectAccessReview"),
            ("storage.k8s.io", "StorageClass"),
            ("node.k8s.io", "RuntimeClass"),
        ] {
            assert!(schema(group, "v1", kind).is_some(), "{group} {kind}");
        }
        assert!(schema("", "v1", "Nothing").is_none());
    }

    #[test]
    fn list_and_merge_keys_are_those_of_kubernetes() {
        let pod = schema("", "v1", "Pod").unwrap();
        let at = |path: &[&str]| {
            let mut node = pod.arena.get(pod.root);
            for step in path {
                let id = match *step {
                    "[]" => node.items.unwrap(),
                    field => node.properties[field],
                };
                node = pod.arena.get(id);
            }
            node
        };
        let ports = at(&["spec", "containers", "[]", "ports"]);
        assert_eq!(ports.list_type, ListType::Map(vec!["containerPort".into(), "protocol".into()]));
        assert_eq!(ports.merge.as_ref().unwrap().key.as_deref(), Some("containerPort"));
        assert!(at(&["spec", "volumes"]).merge.as_ref().unwrap().retain_keys);
        assert!(at(&["metadata", "finalizers"]).merge.as_ref().unwrap().merge);
        assert_eq!(at(&["metadata", "finalizers"]).list_type, ListType::Set);
        assert!(at(&["spec", "tolerations"]).merge.is_none());
    }
}
