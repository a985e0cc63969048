//! Reads a CRD's `openAPIV3Schema` and holds it to the rules of structural schemas.
//!
//! A structural schema says at every place what type stands there; only then can the server prune what is unknown and
//! fill in defaults. Value rules (`allOf`, `anyOf`, `oneOf`, `not`) may narrow that, but add no structure.

mod checks;
mod lists;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::builtin;
use super::cel::Rule;
use super::error::{FieldError, Path};
use super::node::{Additional, Arena, Checks, Node, NodeId, Pattern, Type};

/// Deeper schemas are refused: the walk over values follows the schema, on the stack.
const MAX_SCHEMA_DEPTH: usize = 64;

/// Keywords of JSON schema that have no meaning in a structural schema and are refused, so that nobody believes they
/// are enforced.
const UNSUPPORTED: [&str; 10] = [
    "$ref",
    "$schema",
    "additionalItems",
    "definitions",
    "dependencies",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
    "xml",
];

/// Whether a node describes structure or only narrows values.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    Root,
    Structure,
    /// Inside `allOf`, `anyOf`, `oneOf` or `not`. `true`: directly below an int-or-string node, where naming the two
    /// types is allowed.
    Narrowing {
        int_or_string: bool,
    },
}

/// Reads nodes into an arena and collects what is wrong.
pub(crate) struct Reader {
    arena: Arena,
    patterns: HashMap<String, Arc<Pattern>>,
    errors: Vec<FieldError>,
    object_meta: Option<NodeId>,
}

/// Reads a whole schema; `path` is where it stands in the CRD.
pub(crate) fn read(schema: &Value, path: &Path<'_>) -> Result<(Arena, NodeId), Vec<FieldError>> {
    let mut reader = Reader {
        arena: Arena::default(),
        patterns: HashMap::new(),
        errors: Vec::new(),
        object_meta: None,
    };
    let root = reader.node(schema, path, Position::Root, 0);
    match reader.errors.is_empty() {
        true => Ok((reader.arena, root)),
        false => Err(reader.errors),
    }
}

impl Reader {
    fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.arena.nodes.len()).expect("a schema of bounded size"));
        self.arena.nodes.push(node);
        id
    }

    fn fail(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    fn node(
        &mut self,
        schema: &Value,
        path: &Path<'_>,
        position: Position,
        depth: usize,
    ) -> NodeId {
        let Some(map) = schema.as_object() else {
            self.fail(FieldError::invalid(path, schema.clone(), "must be a schema object"));
            return self.add(Node::default());
        };
        if depth > MAX_SCHEMA_DEPTH {
            let detail = format!("must not nest deeper than {MAX_SCHEMA_DEPTH} levels");
            self.fail(FieldError::forbidden(path, detail));
            return self.add(Node::default());
        }
        self.refuse_unsupported(map, path);
        let mut node = Node { ty: self.read_type(map, path, position), ..Node::default() };
        let narrowing = matches!(position, Position::Narrowing { .. });
        node.nullable = flag(map, "nullable");
        node.preserve_unknown = flag(map, "x-kubernetes-preserve-unknown-fields") || (narrowing);
        node.required = strings(map.get("required"));
        node.default = map.get("default").cloned();
        node.atomic_map =
            map.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
        if narrowing {
            self.refuse_structure(map, path, position);
        }
        self.read_children(&mut node, map, path, position, depth);
        self.read_list_type(&mut node, map, path);
        node.checks = self.read_checks(map, path, &node, depth);
        node.rules = self.read_rules(map, path);
        if position == Position::Root || flag(map, "x-kubernetes-embedded-resource") {
            self.read_resource(&mut node, path, position);
        }
        node.rules_below = !node.rules.is_empty() || self.children(&node).any(|c| c.rules_below);
        self.check_default(&node, path);
        self.add(node)
    }

    fn children<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        let additional = match node.additional {
            Additional::Map(id) => Some(id),
            _ => None,
        };
        node.properties
            .values()
            .copied()
            .chain(node.items)
            .chain(additional)
            .map(|id| self.arena.get(id))
    }

    fn refuse_unsupported(&mut self, map: &Map<String, Value>, path: &Path<'_>) {
        for keyword in UNSUPPORTED {
            if map.get(keyword).is_some_and(|v| !v.is_null()) {
                let detail = format!("{keyword} is not supported");
                self.fail(FieldError::forbidden(path.field(keyword), detail));
            }
        }
        if flag(map, "uniqueItems") {
            let detail =
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            self.fail(FieldError::forbidden(path.field("uniqueItems"), detail));
        }
        let preserve = path.field("x-kubernetes-preserve-unknown-fields");
        if map.get("x-kubernetes-preserve-unknown-fields").is_some_and(|v| *v == Value::Bool(false))
        {
            self.fail(FieldError::invalid(
                preserve,
                Value::Bool(false),
                "must be true or undefined",
            ));
        }
    }

    fn read_type(&mut self, map: &Map<String, Value>, path: &Path<'_>, position: Position) -> Type {
        let at = path.field("type");
        let ty = match map.get("type").and_then(Value::as_str).unwrap_or("") {
            "object" => Type::Object,
            "array" => Type::Array,
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            "" => Type::Any,
            other => {
                let names = ["array", "boolean", "integer", "number", "object", "string"];
                self.fail(FieldError::not_supported(at, other.into(), names));
                return Type::Any;
            }
        };
        let int_or_string = flag(map, "x-kubernetes-int-or-string");
        match (position, ty) {
            (Position::Narrowing { int_or_string }, ty) => {
                let allowed = int_or_string && matches!(ty, Type::Integer | Type::String);
                if ty != Type::Any && !allowed {
                    self.fail(FieldError::forbidden(at, "must be empty to be structural"));
                }
                ty
            }
            (Position::Root, Type::Any) => {
                self.fail(FieldError::required(at, "must not be empty at the root"));
                Type::Object
            }
            (Position::Root, ty) if ty != Type::Object => {
                self.fail(FieldError::invalid(at, ty.name().into(), "must be object at the root"));
                Type::Object
            }
            (_, ty) if int_or_string => {
                if ty != Type::Any {
                    let detail = "must be empty if x-kubernetes-int-or-string is true";
                    self.fail(FieldError::invalid(at, ty.name().into(), detail));
                }
                Type::IntOrString
            }
            (_, Type::Any) if !flag(map, "x-kubernetes-preserve-unknown-fields") => {
                let detail = match path {
                    Path::Field(_, "items") => "must not be empty for specified array items",
                    _ => "must not be empty for specified object fields",
                };
                self.fail(FieldError::required(at, detail));
                Type::Any
            }
            (_, ty) => ty,
        }
    }

    /// Value rules must not bring structure of their own.
    fn refuse_structure(&mut self, map: &Map<String, Value>, path: &Path<'_>, position: Position) {
        let shown = [
            "additionalProperties",
            "default",
            "description",
            "nullable",
            "title",
            "x-kubernetes-embedded-resource",
            "x-kubernetes-int-or-string",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "x-kubernetes-map-type",
            "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-validations",
        ];
        debug_assert!(matches!(position, Position::Narrowing { .. }));
        for keyword in shown {
            let set = map
                .get(keyword)
                .is_some_and(|v| !v.is_null() && *v != Value::Bool(false) && *v != "");
            if set {
                self.fail(FieldError::forbidden(
                    path.field(keyword),
                    "must be undefined to be structural",
                ));
            }
        }
    }

    fn read_children(
        &mut self,
        node: &mut Node,
        map: &Map<String, Value>,
        path: &Path<'_>,
        position: Position,
        depth: usize,
    ) {
        let below = match position {
            Position::Narrowing { .. } => Position::Narrowing { int_or_string: false },
            _ => Position::Structure,
        };
        if let Some(properties) = map.get("properties").and_then(Value::as_object) {
            let at = path.field("properties");
            for (name, schema) in properties {
                let id = self.node(schema, &at.key(name), below, depth + 1);
                node.properties.insert(name.clone(), id);
            }
        }
        let additional = path.field("additionalProperties");
        node.additional = match map.get("additionalProperties") {
            None | Some(Value::Null) => Additional::None,
            Some(Value::Bool(true)) => Additional::Any,
            Some(Value::Bool(false)) => {
                let detail = "additionalProperties cannot be set to false";
                self.fail(FieldError::forbidden(additional, detail));
                Additional::None
            }
            Some(schema) => {
                if !node.properties.is_empty()
                    && position != (Position::Narrowing { int_or_string: false })
                {
                    let detail = "additionalProperties and properties are mutual exclusive";
                    self.fail(FieldError::forbidden(additional, detail));
                }
                Additional::Map(self.node(schema, &additional, below, depth + 1))
            }
        };
        let items = path.field("items");
        match map.get("items") {
            None | Some(Value::Null) => {
                if node.ty == Type::Array && below == Position::Structure {
                    self.fail(FieldError::required(items, "must be specified"));
                }
            }
            Some(Value::Array(_)) => {
                let detail = "items must be a schema object and not an array";
                self.fail(FieldError::forbidden(items, detail));
            }
            Some(schema) => node.items = Some(self.node(schema, &items, below, depth + 1)),
        }
    }

    fn read_rules(&mut self, map: &Map<String, Value>, path: &Path<'_>) -> Vec<Rule> {
        let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
        let at = path.field("x-kubernetes-validations");
        let mut read = Vec::new();
        for (index, rule) in rules.into_iter().flatten().enumerate() {
            match Rule::compile(rule, &at.index(index)) {
                Ok(rule) => read.push(rule),
                Err(error) => self.fail(*error),
            }
        }
        read
    }

    /// The root and embedded resources have apiVersion, kind and metadata whatever the schema says, and their metadata
    /// is checked as that of every object.
    fn read_resource(&mut self, node: &mut Node, path: &Path<'_>, position: Position) {
        if position != Position::Root && node.ty != Type::Object {
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            self.fail(FieldError::invalid(path.field("type"), node.ty.name().into(), detail));
        }
        let meta = match self.object_meta {
            Some(id) => id,
            None => {
                let id = builtin::copy_into(builtin::OBJECT_META, &mut self.arena);
                self.object_meta = Some(id);
                id
            }
        };
        let narrowed = node.properties.get("metadata").copied().filter(|id| {
            let own = self.arena.get(*id);
            !own.properties.is_empty()
        });
        let metadata = match narrowed {
            None => meta,
            Some(own) => {
                let shared = self.arena.get(meta);
                let combined = Node {
                    ty: shared.ty,
                    origin: shared.origin,
                    properties: shared.properties.clone(),
                    definition: shared.definition.clone(),
                    checks: Some(Box::new(Checks { all_of: vec![own], ..Checks::default() })),
                    ..Node::default()
                };
                self.add(combined)
            }
        };
        node.properties.insert("metadata".to_owned(), metadata);
        for name in ["apiVersion", "kind"] {
            if !node.properties.contains_key(name) {
                let id = self.add(Node { ty: Type::String, ..Node::default() });
                node.properties.insert(name.to_owned(), id);
            }
        }
    }

    /// A default is written into objects, so it must itself fit.
    fn check_default(&mut self, node: &Node, path: &Path<'_>) {
        let Some(default) = &node.default else { return };
        let at = path.field("default");
        let mut pruned = default.clone();
        let unknown = super::prune::node(&self.arena, node, &mut pruned, &Path::Root);
        if !unknown.is_empty() {
            self.errors.push(FieldError::invalid(at, default.clone(), "must be pruned"));
            return;
        }
        super::default::node(&self.arena, node, &mut pruned);
        let found = super::validate::node(&self.arena, node, &pruned, &at);
        self.errors.extend(found);
    }
}

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
