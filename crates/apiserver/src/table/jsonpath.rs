//! The JSONPath of printer columns: fields, indexes, wildcards and filters.
//!
//! ```text
//!   .status.conditions[?(@.type=="Ready")].status     .spec['a.b'][0]     .items[*].name
//! ```

use serde_json::Value;

/// A path that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    /// From the end if negative.
    Index(i64),
    All,
    Filter {
        path: Vec<Step>,
        operator: Operator,
        literal: Value,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Exists,
}

/// A path that can't be read; says where it stopped making sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable JSONPath at {0:?}")]
pub(crate) struct PathError(String);

impl JsonPath {
    /// Reads `.a.b`, with or without the leading dot, `$` or surrounding braces.
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let inner =
            text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text.trim());
        let (steps, rest) = steps(inner.strip_prefix('$').unwrap_or(inner))?;
        match rest.is_empty() {
            true => Ok(Self { steps }),
            false => Err(PathError(rest.to_owned())),
        }
    }

    /// The values it leads to, in document order. What is missing leads nowhere.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        find(&self.steps, value)
    }
}

fn find<'v>(steps: &[Step], value: &'v Value) -> Vec<&'v Value> {
    let mut found = vec![value];
    for step in steps {
        found = found.into_iter().flat_map(|value| follow(step, value)).collect();
    }
    found
}

fn follow<'v>(step: &Step, value: &'v Value) -> Vec<&'v Value> {
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(index) => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            let at = if *index < 0 { items.len() as i64 + index } else { *index };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        Step::All => match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        },
        Step::Filter { path, operator, literal } => {
            let items = value.as_array().map_or(&[][..], Vec::as_slice);
            items
                .iter()
                .filter(|item| holds(*operator, find(path, item).first().copied(), literal))
                .collect()
        }
    }
}

fn holds(operator: Operator, left: Option<&Value>, right: &Value) -> bool {
    let Some(left) = left else { return false };
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) => {
            left.as_f64().zip(right.as_f64()).and_then(|(left, right)| left.partial_cmp(&right))
        }
    };
    match operator {
        Operator::Exists => true,
        Operator::Equal => left == right || order.is_some_and(std::cmp::Ordering::is_eq),
        Operator::NotEqual => left != right && !order.is_some_and(std::cmp::Ordering::is_eq),
        Operator::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Operator::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Operator::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Operator::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

/// Reads steps as far as they go and returns the rest of the text.
fn steps(text: &str) -> Result<(Vec<Step>, &str), PathError> {
    let mut steps = Vec::new();
    let mut rest = text;
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        let (name, after) = field(rest);
        steps.push(Step::Field(name));
        rest = after;
    }
    loop {
        if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after)?;
            steps.push(step);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            if after.starts_with('[') || (after.is_empty() && steps.is_empty()) {
                rest = after;
                continue;
            }
            let (name, after) = field(after);
            match name.as_str() {
                "" => return Err(PathError(rest.to_owned())),
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        } else {
            return Ok((steps, rest));
        }
    }
}

/// A name up to the next dot, bracket or operator; a backslash takes the next character as it is.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' | ']' | ')' | '=' | '!' | '<' | '>' | ' ' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

fn bracket(text: &str) -> Result<(Step, &str), PathError> {
    let wrong = || PathError(format!("[{text}"));
    if let Some(filter) = text.strip_prefix("?(") {
        let path = filter.trim_start().strip_prefix('@').ok_or_else(wrong)?;
        let (path, rest) = steps(path)?;
        let rest = rest.trim_start();
        const OPERATORS: [(&str, Operator); 6] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let (operator, literal, rest) =
            match OPERATORS.iter().find(|(mark, _)| rest.starts_with(mark)) {
                None => (Operator::Exists, Value::Null, rest),
                Some((mark, operator)) => {
                    let (literal, rest) =
                        literal(rest[mark.len()..].trim_start()).ok_or_else(wrong)?;
                    (*operator, literal, rest)
                }
            };
        let rest = rest.trim_start().strip_prefix(")]").ok_or_else(wrong)?;
        return Ok((Step::Filter { path, operator, literal }, rest));
    }
    if text.starts_with(['\'', '"']) {
        let (name, rest) = literal(text).ok_or_else(wrong)?;
        let name = name.as_str().unwrap_or_default().to_owned();
        return Ok((Step::Field(name), rest.strip_prefix(']').ok_or_else(wrong)?));
    }
    let (inside, rest) = text.split_once(']').ok_or_else(wrong)?;
    let step = match inside.trim() {
        "*" => Step::All,
        number => Step::Index(number.parse().map_err(|_| wrong())?),
    };
    Ok((step, rest))
}

/// A quoted text, a number or a truth.
fn literal(text: &str) -> Option<(Value, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
    if let Some(quote) = quote {
        let mut value = String::new();
        let mut chars = text.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                c if c == quote => return Some((Value::String(value), &text[at + 1..])),
                other => value.push(other),
            }
        }
        return None;
    }
    let end = text.find([')', ' ']).unwrap_or(text.len());
    let value = serde_json::from_str(&text[..end]).ok()?;
    Some((value, &text[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "n": 3}, {"type": "Done", "status": "False"}],
                "list": [1, 2, 3]
            }
        });
        for (path, expected) in [
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type=='Gone')].status", json!([])),
            (".status.conditions[?(@.type != 'Ready')].status", json!(["False"])),
            (".status.conditions[?(@.n>=3)].type", json!(["Ready"])),
            (".status.conditions[?(@.n)].type", json!(["Ready"])),
            (".status.conditions[*].type", json!(["Ready", "Done"])),
            (".status.list[0]", json!([1])),
            (".status.list[-1]", json!([3])),
            (".status.list[7]", json!([])),
            (".metadata.labels['a.b/c']", json!(["x"])),
            (".metadata.labels.a\\.b/c", json!(["x"])),
            ("{.status.list[1]}", json!([2])),
            ("$.status.list[1]", json!([2])),
            ("status.missing.deeper", json!([])),
        ] {
            let parsed = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(json!(parsed.find(&object)), expected, "{path}");
        }
    }

    #[test]
    fn paths_that_cannot_be_read() {
        for path in [".a[", ".a[x]", ".a[?(.b==1)]", ".a[?(@.b=='x)]", ".a..b", ".a[?(@.b==)]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
