//! Selectors on labels, in the short text of a parameter or the long form of a spec.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::SelectorError;

/// What must hold for the labels of an object. All requirements must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads the text of a `labelSelector` parameter. An empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { tokens: tokens(text), next: 0 };
        Ok(Self { requirements: parser.requirements()? })
    }

    /// Reads the selector of an object's spec: `matchLabels` and `matchExpressions`. An empty one selects everything.
    pub fn from_spec(selector: &Value) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements
                .push(Requirement { key: key.clone(), condition: Condition::In([value].into()) });
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            let condition = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Condition::In(values),
                "NotIn" => Condition::NotIn(values),
                "Exists" => Condition::Exists,
                "DoesNotExist" => Condition::Absent,
                other => {
                    return Err(SelectorError(format!(
                        "{other:?} is not a valid label selector operator"
                    )));
                }
            };
            requirements.push(Requirement { key, condition });
        }
        Ok(Self { requirements })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether it selects an object with these labels.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match &requirement.condition {
                Condition::In(values) => value.is_some_and(|value| values.contains(value)),
                Condition::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Condition::Exists => value.is_some(),
                Condition::Absent => value.is_none(),
                Condition::Above(bound) => number().is_some_and(|number| number > *bound),
                Condition::Below(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, condition }) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let list =
                |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>().join(",");
            match condition {
                Condition::In(values) if values.len() == 1 => write!(f, "{key}={}", list(values))?,
                Condition::NotIn(values) if values.len() == 1 => {
                    write!(f, "{key}!={}", list(values))?
                }
                Condition::In(values) => write!(f, "{key} in ({})", list(values))?,
                Condition::NotIn(values) => write!(f, "{key} notin ({})", list(values))?,
                Condition::Exists => write!(f, "{key}")?,
                Condition::Absent => write!(f, "!{key}")?,
                Condition::Above(bound) => write!(f, "{key}>{bound}")?,
                Condition::Below(bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `(`, `)`, `,`, `!`, `=`, `==`, `!=`, `>` or `<`.
    Mark(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => f.write_str(word),
            Token::Mark(mark) => f.write_str(mark),
            Token::End => Ok(()),
        }
    }
}

fn tokens(text: &str) -> Vec<Token> {
    const MARKS: [&str; 9] = ["==", "!=", "(", ")", ",", "!", "=", ">", "<"];
    let mut rest = text.trim_start();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            tokens.push(Token::Mark(mark));
            rest = rest[mark.len()..].trim_start();
            continue;
        }
        let ends = |c: char| c.is_whitespace() || "=!(),><".contains(c);
        let end = rest.find(ends).unwrap_or(rest.len());
        tokens.push(Token::Word(rest[..end].to_owned()));
        rest = rest[end..].trim_start();
    }
    tokens.push(Token::End);
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).unwrap_or(&Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Mark("!") => {
                    let requirement = self.requirement().map_err(|SelectorError(why)| {
                        SelectorError(format!("unable to parse requirement: {why}"))
                    })?;
                    requirements.push(requirement);
                }
                Token::End => return Ok(requirements),
                other => return Err(unexpected(other, "!, identifier, or 'end of string'")),
            }
            match self.take() {
                Token::End => return Ok(requirements),
                Token::Mark(",") => {
                    if !matches!(self.peek(), Token::Word(_) | Token::Mark("!")) {
                        return Err(unexpected(self.peek(), "identifier after ','"));
                    }
                }
                other => return Err(unexpected(&other, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = *self.peek() == Token::Mark("!");
        if absent {
            self.take();
        }
        let key = match self.take() {
            Token::Word(word) => word,
            other => return Err(unexpected(&other, "identifier")),
        };
        check_key(&key)?;
        if absent {
            return Ok(Requirement { key, condition: Condition::Absent });
        }
        if matches!(self.peek(), Token::End | Token::Mark(",")) {
            return Ok(Requirement { key, condition: Condition::Exists });
        }
        let operator = self.take();
        let condition = match &operator {
            Token::Mark("=" | "==") => Condition::In([self.value()?].into()),
            Token::Mark("!=") => Condition::NotIn([self.value()?].into()),
            Token::Mark(">") => Condition::Above(self.number()?),
            Token::Mark("<") => Condition::Below(self.number()?),
            Token::Word(word) if word == "in" => Condition::In(self.values()?),
            Token::Word(word) if word == "notin" => Condition::NotIn(self.values()?),
            other => return Err(unexpected(other, "in, notin, =, ==, !=, gt, lt")),
        };
        if let Condition::In(values) | Condition::NotIn(values) = &condition {
            for value in values {
                check_value(&key, value)?;
            }
        }
        Ok(Requirement { key, condition })
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            Token::End | Token::Mark(",") => Ok(String::new()),
            Token::Word(word) => {
                let word = word.clone();
                self.take();
                Ok(word)
            }
            other => Err(unexpected(other, "identifier")),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        let value = self.value()?;
        value.parse().map_err(|_| {
            SelectorError("for 'Gt', 'Lt' operators, the value must be an integer".to_owned())
        })
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        match self.take() {
            Token::Mark("(") => {}
            other => return Err(SelectorError(format!("found '{other}' expected: '('"))),
        }
        let mut values = BTreeSet::new();
        loop {
            match self.take() {
                Token::Word(word) => {
                    values.insert(word);
                    match self.take() {
                        Token::Mark(",") => {}
                        Token::Mark(")") => return Ok(values),
                        other => return Err(unexpected(&other, "',' or ')'")),
                    }
                }
                Token::Mark(",") => {
                    values.insert(String::new());
                }
                Token::Mark(")") => {
                    // `()` and `(a,)` both name the empty value.
                    values.insert(String::new());
                    return Ok(values);
                }
                other => return Err(unexpected(&other, "',', ')' or identifier")),
            }
        }
    }
}

fn unexpected(found: &Token, expected: &str) -> SelectorError {
    SelectorError(format!("found '{found}', expected: {expected}"))
}

const QUALIFIED_NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// What a part of a label is at most; the limit of the names in it.
const MAX_LABEL_PART: usize = 63;

fn is_name(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let fits = is_name(name)
        && name.len() <= MAX_LABEL_PART
        && prefix.is_none_or(|prefix| is_name(prefix) && prefix.len() <= 253);
    match fits {
        true => Ok(()),
        false => Err(SelectorError(format!("key: Invalid value: {key:?}: {QUALIFIED_NAME}"))),
    }
}

fn check_value(key: &str, value: &str) -> Result<(), SelectorError> {
    match value.is_empty() || (is_name(value) && value.len() <= MAX_LABEL_PART) {
        true => Ok(()),
        false => {
            Err(SelectorError(format!("values[0][{key}]: Invalid value: {value:?}: {LABEL_VALUE}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn label_selectors_select() {
        let pod = labels(&[("app", "web"), ("tier", "front"), ("n", "5"), ("e.io/empty", "")]);
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web, tier = front", true),
            ("app!=web", false),
            ("gone!=web", true),
            ("app in (web, api)", true),
            ("app in (api)", false),
            ("app notin (api,db)", true),
            ("gone notin (api)", true),
            ("app", true),
            ("!app", false),
            ("!gone", true),
            ("e.io/empty=", true),
            ("e.io/empty", true),
            ("gone=", false),
            ("n>4", true),
            ("n<5", false),
            ("app>1", false),
            ("app=web,tier=back", false),
            ("e.io/empty in (,x)", true),
        ] {
            let parsed =
                LabelSelector::parse(selector).unwrap_or_else(|e| panic!("{selector}: {e}"));
            assert_eq!(parsed.matches(&pod), expected, "{selector}");
            let again = LabelSelector::parse(&parsed.to_string()).unwrap();
            assert_eq!(again, parsed, "{selector} printed as {parsed}");
        }
    }

    #[test]
    fn label_selectors_that_cannot_be_read() {
        for (selector, expected) in [
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("a in x", "unable to parse requirement: found 'x' expected: '('"),
            ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            (
                "a ~ b",
                "unable to parse requirement: found '~', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            (
                "a>x",
                "unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            ("-a=b", "unable to parse requirement: key: Invalid value: \"-a\": name part must"),
            (
                "a=-b",
                "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must",
            ),
        ] {
            let error = LabelSelector::parse(selector).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{selector}: {error}");
        }
    }

    #[test]
    fn selectors_of_specs() {
        let selector = LabelSelector::from_spec(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["back"]}, {"key": "x", "operator": "DoesNotExist"}]
        }))
        .unwrap();
        assert!(selector.matches(&labels(&[("app", "web"), ("tier", "front")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("tier", "back")])));
        assert!(!selector.matches(&labels(&[("app", "web"), ("x", "")])));
        assert_eq!(selector.to_string(), "app=web,tier!=back,!x");
        assert!(
            LabelSelector::from_spec(&json!({"matchExpressions": [{"operator": "Near"}]})).is_err()
        );
    }
}
