//! Reads a CRD's `openAPIV3Schema` and holds it to the rules of structural schemas.
//!
//! A structural schema says at every place what type stands there; only then can the server prune what is unknown and
//! fill in defaults. Value rules (`allOf`, `anyOf`, `oneOf`, `not`) may narrow that, but add no structure.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

use super::builtin;
use super::cel::Rule;
use super::error::{FieldError, Path};
use super::format::Format;
use super::node::{Additional, Arena, Bound, Checks, ListType, Node, NodeId, Pattern, Type};

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

    fn read_list_type(&mut self, node: &mut Node, map: &Map<String, Value>, path: &Path<'_>) {
        let keys = strings(map.get("x-kubernetes-list-map-keys"));
        let at = path.field("x-kubernetes-list-type");
        let at_keys = path.field("x-kubernetes-list-map-keys");
        let name = map.get("x-kubernetes-list-type").and_then(Value::as_str);
        if name.is_some() && node.ty != Type::Array {
            let detail = "must be array if x-kubernetes-list-type is specified";
            self.fail(FieldError::invalid(path.field("type"), node.ty.name().into(), detail));
            return;
        }
        if !keys.is_empty() && name != Some("map") {
            let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
            self.fail(FieldError::invalid(&at, name.unwrap_or("").into(), detail));
        }
        node.list_type = match name {
            None | Some("atomic") => ListType::Atomic,
            Some("set") => {
                let item = node.items.map(|id| self.arena.get(id));
                let scalar = item.is_none_or(|item| match item.ty {
                    Type::Object => item.atomic_map,
                    Type::Array => item.list_type == ListType::Atomic,
                    _ => !item.nullable,
                });
                if !scalar {
                    let detail = "items of a set must be scalars or atomic";
                    self.fail(FieldError::invalid(path.field("items"), Value::Null, detail));
                }
                ListType::Set
            }
            Some("map") => {
                self.check_map_keys(node, &keys, path, &at_keys);
                ListType::Map(keys)
            }
            Some(other) => {
                self.fail(FieldError::not_supported(at, other.into(), ["atomic", "map", "set"]));
                ListType::Atomic
            }
        };
    }

    fn check_map_keys(&mut self, node: &Node, keys: &[String], path: &Path<'_>, at: &Path<'_>) {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.fail(FieldError::required(at, detail));
        }
        let Some(item) = node.items else { return };
        if self.arena.get(item).ty != Type::Object {
            let detail = "must be object if parent array's x-kubernetes-list-type is map";
            let ty = self.arena.get(item).ty.name();
            self.fail(FieldError::invalid(path.field("items").field("type"), ty.into(), detail));
            return;
        }
        let mut wrong = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let item = self.arena.get(item);
            let at_key = at.index(index);
            match item.properties.get(key).map(|id| self.arena.get(*id)) {
                None => {
                    let detail = "entries must all be names of item properties";
                    wrong.push(FieldError::invalid(at_key, key.as_str().into(), detail));
                }
                Some(property) if property.default.is_none() && !item.required.contains(key) => {
                    let items = path.field("items");
                    let at = items.field("properties");
                    let detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                    wrong.push(FieldError::required(at.key(key).field("default"), detail));
                }
                Some(_) => {}
            }
            if keys[..index].contains(key) {
                wrong.push(FieldError::duplicate(at_key, key.as_str().into()));
            }
        }
        self.errors.extend(wrong);
    }

    fn read_checks(
        &mut self,
        map: &Map<String, Value>,
        path: &Path<'_>,
        node: &Node,
        depth: usize,
    ) -> Option<Box<Checks>> {
        let number = |key: &str| map.get(key).and_then(Value::as_f64);
        let count = |key: &str| map.get(key).and_then(Value::as_u64);
        let bound = |key: &str, exclusive: &str| {
            number(key).map(|value| Bound { value, exclusive: flag(map, exclusive) })
        };
        let int_or_string = node.ty == Type::IntOrString;
        let branches = |reader: &mut Self, keyword: &'static str| -> Vec<NodeId> {
            let list = map.get(keyword).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let at = path.field(keyword);
            let position = Position::Narrowing { int_or_string };
            (list.iter().enumerate())
                .map(|(i, schema)| reader.node(schema, &at.index(i), position, depth + 1))
                .collect()
        };
        let all_of = branches(self, "allOf");
        let any_of = branches(self, "anyOf");
        let one_of = branches(self, "oneOf");
        let position = Position::Narrowing { int_or_string };
        let not = map
            .get("not")
            .filter(|v| !v.is_null())
            .map(|schema| self.node(schema, &path.field("not"), position, depth + 1));
        for id in all_of.iter().chain(&any_of).chain(&one_of).chain(&not).copied() {
            self.check_narrowing(id, node, path);
        }
        let checks = Checks {
            format: map.get("format").and_then(Value::as_str).and_then(Format::named),
            enumeration: map.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            pattern: self.read_pattern(map, path),
            minimum: bound("minimum", "exclusiveMinimum"),
            maximum: bound("maximum", "exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            all_of,
            any_of,
            one_of,
            not,
        };
        let empty = checks.format.is_none()
            && checks.enumeration.is_empty()
            && checks.pattern.is_none()
            && checks.minimum.is_none()
            && checks.maximum.is_none()
            && checks.multiple_of.is_none()
            && checks.min_length.or(checks.max_length).or(checks.min_items).is_none()
            && checks.max_items.or(checks.min_properties).or(checks.max_properties).is_none()
            && checks.all_of.is_empty()
            && checks.any_of.is_empty()
            && checks.one_of.is_empty()
            && checks.not.is_none();
        (!empty).then(|| Box::new(checks))
    }

    /// A property that a value rule speaks of must exist in the structure beside it.
    fn check_narrowing(&mut self, rule: NodeId, structure: &Node, path: &Path<'_>) {
        if structure.ty == Type::Any || structure.preserve_unknown {
            return;
        }
        let missing: Vec<String> = (self.arena.get(rule).properties.keys())
            .filter(|name| !structure.properties.contains_key(*name))
            .filter(|_| structure.additional == Additional::None)
            .filter(|name| !matches!(name.as_str(), "metadata" | "apiVersion" | "kind"))
            .cloned()
            .collect();
        for name in missing {
            let at = path.field("properties");
            let detail = "because it is defined in a value rule beside it";
            self.fail(FieldError::required(at.key(&name), detail));
        }
    }

    fn read_pattern(&mut self, map: &Map<String, Value>, path: &Path<'_>) -> Option<Arc<Pattern>> {
        let text = map.get("pattern").and_then(Value::as_str).filter(|text| !text.is_empty())?;
        if let Some(known) = self.patterns.get(text) {
            return Some(known.clone());
        }
        match Regex::new(text) {
            Ok(regex) => {
                let pattern = Arc::new(Pattern { text: text.to_owned(), regex });
                self.patterns.insert(text.to_owned(), pattern.clone());
                Some(pattern)
            }
            Err(error) => {
                let detail = format!("must be a valid regular expression, but isn't: {error}");
                self.fail(FieldError::invalid(path.field("pattern"), text.into(), detail));
                None
            }
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
