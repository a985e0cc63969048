//! `x-kubernetes-validations`: rules in CEL, with Kubernetes' own functions.
//!
//! A rule sees `self`, the value it stands at, and `oldSelf`, the value before an update. The library brings the
//! language and the functions; which old value belongs to which new one is decided here, by list type, as the real
//! server does: a rule that needs an old value is skipped where there is none.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map as CelMap, OptionalValue};
use kube_cel::cel::{Context, Program, Value as Cel};
use serde_json::{Map, Value};

use super::error::{FieldError, FieldErrorKind, Path};
use super::format::Format;
use super::node::{Additional, Arena, ListType, Node, Type};
use super::validate::map_key;

/// A longer expression is refused: parsing is recursive, and nobody writes these by hand.
const MAX_RULE_BYTES: usize = 16 * 1024;

/// One compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    text: String,
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
    reason: FieldErrorKind,
    /// Appended to the path of the value, with its leading dot.
    field_path: String,
    /// The rule speaks of `oldSelf`.
    transition: bool,
    /// The rule also runs on create, with `oldSelf` an empty optional.
    optional_old_self: bool,
}

impl Rule {
    /// Compiles a rule of a schema; `path` is where it stands.
    pub(crate) fn compile(rule: &Value, path: &Path<'_>) -> Result<Self, Box<FieldError>> {
        let text = rule["rule"].as_str().map(str::trim).unwrap_or_default().to_owned();
        let field = |name: &str| rule[name].as_str().map(str::to_owned);
        if text.is_empty() {
            return Err(Box::new(FieldError::required(
                path.field("rule"),
                "rule is not specified",
            )));
        }
        let program = compile(&text, &path.field("rule"))?;
        let message_program = match field("messageExpression") {
            Some(expression) => Some(compile(&expression, &path.field("messageExpression"))?),
            None => None,
        };
        let message = field("message").map(|message| message.trim().to_owned());
        if message.as_ref().is_some_and(|message| message.contains('\n')) {
            let detail = "message must not contain line breaks";
            return Err(Box::new(FieldError::invalid(
                path.field("message"),
                rule["message"].clone(),
                detail,
            )));
        }
        let reason = match rule["reason"].as_str() {
            None | Some("FieldValueInvalid") => FieldErrorKind::Invalid,
            Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
            Some("FieldValueRequired") => FieldErrorKind::Required,
            Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
            Some(other) => {
                let known = [
                    "FieldValueRequired",
                    "FieldValueInvalid",
                    "FieldValueForbidden",
                    "FieldValueDuplicate",
                ];
                return Err(Box::new(FieldError::not_supported(
                    path.field("reason"),
                    other.into(),
                    known,
                )));
            }
        };
        let transition = program.references().has_variable("oldSelf");
        let optional_old_self = rule["optionalOldSelf"].as_bool().unwrap_or(false);
        if optional_old_self && !transition {
            let detail = "may not be set if oldSelf is not used in rule";
            let at = path.field("optionalOldSelf");
            return Err(Box::new(FieldError::invalid(at, true.into(), detail)));
        }
        let field_path = field("fieldPath").unwrap_or_default();
        if !field_path.is_empty() && !field_path.starts_with(['.', '[']) {
            let detail = "fieldPath must start with a dot or a bracket";
            let at = path.field("fieldPath");
            return Err(Box::new(FieldError::invalid(at, field_path.into(), detail)));
        }
        Ok(Self {
            text,
            program,
            message,
            message_program,
            reason,
            field_path,
            transition,
            optional_old_self,
        })
    }

    /// Whether there is something to evaluate: a rule about a transition needs the old value, or must know its absence.
    fn runs(&self, has_old: bool) -> bool {
        has_old || !self.transition || self.optional_old_self
    }

    fn evaluate(
        &self,
        scope: &Context<'_>,
        value: &Cel,
        old: Option<&Cel>,
        path: &Path<'_>,
    ) -> Option<FieldError> {
        let mut scope = scope.new_inner_scope();
        scope.add_variable_from_value("self", value.clone());
        match (old, self.optional_old_self) {
            (Some(old), false) => scope.add_variable_from_value("oldSelf", old.clone()),
            (Some(old), true) => {
                scope.add_variable_from_value(
                    "oldSelf",
                    Cel::Opaque(Arc::new(OptionalValue::of(old.clone()))),
                );
            }
            (None, true) => {
                scope.add_variable_from_value(
                    "oldSelf",
                    Cel::Opaque(Arc::new(OptionalValue::none())),
                );
            }
            (None, false) => {}
        }
        let at = format!("{path}{}", self.field_path);
        let error = match self.program.execute(&scope) {
            Ok(Cel::Bool(true)) => return None,
            Ok(Cel::Bool(false)) => self.failure(&at, self.words(&scope)),
            Ok(_) => self.failure(&at, format!("rule must evaluate to a bool: {}", self.text)),
            Err(error) => {
                let detail = format!(
                    "{error} evaluating rule: {}",
                    self.message.as_ref().unwrap_or(&self.text)
                );
                FieldError::new(FieldErrorKind::Invalid, &at, None, detail)
            }
        };
        Some(error)
    }

    fn failure(&self, at: &str, detail: String) -> FieldError {
        FieldError::new(self.reason, at, None, detail)
    }

    /// The message: the expression's result if it is one line of text, else the fixed message, else the rule.
    fn words(&self, scope: &Context<'_>) -> String {
        if let Some(Ok(Cel::String(text))) = self.message_program.as_ref().map(|p| p.execute(scope))
        {
            let text = text.trim();
            if !text.is_empty() && !text.contains('\n') {
                return text.to_owned();
            }
        }
        self.message.clone().unwrap_or_else(|| format!("failed rule: {}", self.text))
    }
}

fn compile(text: &str, path: &Path<'_>) -> Result<Program, Box<FieldError>> {
    if text.len() > MAX_RULE_BYTES {
        return Err(Box::new(FieldError::too_long(path, MAX_RULE_BYTES as u64)));
    }
    Program::compile(text).map_err(|error| {
        let detail = format!("compilation failed: {error}");
        Box::new(FieldError::invalid(path, text.into(), detail))
    })
}

thread_local! {
    /// The functions are the same for every rule; registering about a hundred of them costs more than most rules.
    static FUNCTIONS: Context<'static> = Context::default().with_all();
    /// CEL's own conversions, so that times here are what `timestamp()` makes.
    static CONVERSIONS: Conversions = Conversions {
        timestamp: Program::compile("timestamp(text)").expect("a constant expression that the tests run"),
        duration: Program::compile("duration(text)").expect("a constant expression that the tests run"),
        bytes: Program::compile("base64.decode(text)").expect("a constant expression that the tests run"),
    };
}

struct Conversions {
    timestamp: Program,
    duration: Program,
    bytes: Program,
}

/// Runs all rules of a schema on a value that is valid otherwise.
pub(crate) fn node(
    arena: &Arena,
    schema: &Node,
    value: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if schema.rules_below {
        FUNCTIONS.with(|functions| {
            Run { arena, functions, errors: &mut errors }.value(schema, value, old, &Path::Root);
        });
    }
    errors
}

struct Run<'a> {
    arena: &'a Arena,
    functions: &'a Context<'static>,
    errors: &'a mut Vec<FieldError>,
}

impl Run<'_> {
    fn value(&mut self, schema: &Node, value: &Value, old: Option<&Value>, path: &Path<'_>) {
        if !schema.rules_below || value.is_null() {
            return;
        }
        // Most rules are about transitions: on a create nothing need be converted for them.
        let runs = |rule: &&Rule| rule.runs(old.is_some());
        if schema.rules.iter().any(|rule| runs(&rule)) {
            let cel = convert(self.arena, schema, value);
            let needs_old = schema.rules.iter().any(|rule| rule.transition);
            let old_cel = old.filter(|_| needs_old).map(|old| convert(self.arena, schema, old));
            for rule in schema.rules.iter().filter(runs) {
                let found = rule.evaluate(self.functions, &cel, old_cel.as_ref(), path);
                self.errors.extend(found);
            }
        }
        match value {
            Value::Object(map) => self.object(schema, map, old.and_then(Value::as_object), path),
            Value::Array(items) => self.array(schema, items, old.and_then(Value::as_array), path),
            _ => {}
        }
    }

    fn object(
        &mut self,
        schema: &Node,
        map: &Map<String, Value>,
        old: Option<&Map<String, Value>>,
        path: &Path<'_>,
    ) {
        // Inside an atomic object, old and new values do not belong together.
        let old = old.filter(|_| !schema.atomic_map);
        for (name, child) in map {
            let old = old.and_then(|old| old.get(name));
            match (schema.properties.get(name), schema.additional) {
                (Some(id), _) => self.value(self.arena.get(*id), child, old, &path.field(name)),
                (None, Additional::Map(id)) => {
                    self.value(self.arena.get(id), child, old, &path.key(name))
                }
                _ => {}
            }
        }
    }

    fn array(&mut self, schema: &Node, items: &[Value], old: Option<&Vec<Value>>, path: &Path<'_>) {
        let Some(id) = schema.items else { return };
        let below = self.arena.get(id);
        if !below.rules_below {
            return;
        }
        let by_key: HashMap<String, &Value> = match (&schema.list_type, old) {
            (ListType::Map(keys), Some(old)) => {
                old.iter().map(|item| (map_key(item, keys).to_string(), item)).collect()
            }
            _ => HashMap::new(),
        };
        for (index, item) in items.iter().enumerate() {
            let old = match &schema.list_type {
                ListType::Map(keys) => by_key.get(&map_key(item, keys).to_string()).copied(),
                _ => None,
            };
            self.value(below, item, old, &path.index(index));
        }
    }
}

/// A value as rules see it: fields by their escaped names, numbers and texts by the schema's type and format.
fn convert(arena: &Arena, schema: &Node, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) if schema.ty == Type::Number => {
            Cel::Float(number.as_f64().unwrap_or(f64::NAN))
        }
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Cel::Int(integer),
            (None, Some(float)) if schema.ty == Type::Integer => Cel::Int(float as i64),
            (None, float) => Cel::Float(float.unwrap_or(f64::NAN)),
        },
        Value::String(text) => convert_text(schema, text),
        Value::Array(items) => {
            let below = schema.items.map(|id| arena.get(id));
            let free = Node::default();
            let below = below.unwrap_or(&free);
            Cel::List(Arc::new(items.iter().map(|item| convert(arena, below, item)).collect()))
        }
        Value::Object(map) => {
            let free = Node::default();
            let mut entries = HashMap::with_capacity(map.len());
            for (name, child) in map {
                let (key, below) = match (schema.properties.get(name), schema.additional) {
                    (Some(id), _) => (escape(name), arena.get(*id)),
                    (None, Additional::Map(id)) => (name.clone(), arena.get(id)),
                    (None, Additional::Any) => (name.clone(), &free),
                    (None, Additional::None) => (escape(name), &free),
                };
                entries.insert(Key::String(Arc::new(key)), convert(arena, below, child));
            }
            Cel::Map(CelMap { map: Arc::new(entries) })
        }
    }
}

fn convert_text(schema: &Node, text: &str) -> Cel {
    let plain = || Cel::String(Arc::new(text.to_owned()));
    let format = schema.checks.as_ref().and_then(|checks| checks.format);
    let run = |pick: fn(&Conversions) -> &Program| {
        CONVERSIONS.with(|conversions| {
            FUNCTIONS.with(|functions| {
                let mut scope = functions.new_inner_scope();
                scope.add_variable_from_value("text", plain());
                pick(conversions).execute(&scope).unwrap_or_else(|_| plain())
            })
        })
    };
    match format {
        Some(Format::DateTime) => run(|c| &c.timestamp),
        Some(Format::Duration) => run(|c| &c.duration),
        Some(Format::Byte) => run(|c| &c.bytes),
        _ => plain(),
    }
}

/// Words that CEL keeps for itself; a field of that name is written between double underscores.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A field name as rules write it.
fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    if !name.contains("__") && !name.contains(['.', '-', '/']) {
        return name.to_owned();
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_rules_write_them() {
        for (name, escaped) in [
            ("replicas", "replicas"),
            ("namespace", "__namespace__"),
            ("x-prop", "x__dash__prop"),
            ("a.b/c", "a__dot__b__slash__c"),
            ("redact__d", "redact__underscores__d"),
            ("one_two", "one_two"),
        ] {
            assert_eq!(escape(name), escaped);
        }
    }
}
