//! Selectors on the few fields of a kind that may be selected by.

use serde_json::Value;

use super::SelectorError;

/// What must hold for single fields of an object. All terms must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// One term of a [`FieldSelector`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field, as `status.phase`.
    pub field: String,
    /// What it is compared with.
    pub value: String,
    /// Whether it must be equal, or must differ.
    pub equal: bool,
}

impl FieldSelector {
    /// Reads the text of a `fieldSelector` parameter. An empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_unescaped(text).into_iter().filter(|part| !part.is_empty()) {
            let wrong =
                || SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'"));
            let (field, equal, value) = operator(part).ok_or_else(wrong)?;
            let value = unescape(value).ok_or_else(wrong)?;
            terms.push(FieldTerm { field: field.to_owned(), value, equal });
        }
        Ok(Self { terms })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms, in the order written.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// The value that a field must equal, if a term says so: a watch of one name need look at one object only.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|term| term.equal && term.field == field)
            .map(|term| term.value.as_str())
    }

    /// Refuses fields that are neither `metadata.name`, `metadata.namespace` nor in `known`, in the words of a kind
    /// with fields of its own or of one without.
    pub fn check(&self, known: &[&str]) -> Result<(), SelectorError> {
        for term in &self.terms {
            let field = term.field.as_str();
            if matches!(field, "metadata.name" | "metadata.namespace") || known.contains(&field) {
                continue;
            }
            return Err(SelectorError(match known.is_empty() {
                true => format!(
                    "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                ),
                false => format!("field label not supported: {field}"),
            }));
        }
        Ok(())
    }

    /// Whether it selects an object whose fields read so. Absent fields read as the empty text.
    pub fn matches(&self, read: impl Fn(&str) -> String) -> bool {
        self.terms.iter().all(|term| (read(&term.field) == term.value) == term.equal)
    }
}

/// A field of an object as selectors compare it: texts as they are, numbers and truths as written, all else empty.
pub fn field_text(object: &Value, path: &str) -> String {
    let mut value = object;
    for step in path.trim_start_matches('.').split('.') {
        match value.get(step) {
            Some(child) => value = child,
            None => return String::new(),
        }
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => String::new(),
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn operator(part: &str) -> Option<(&str, bool, &str)> {
    let at = part.find(['=', '!'])?;
    let (field, rest) = part.split_at(at);
    let (equal, value) = match rest.as_bytes() {
        [b'!', b'=', ..] => (false, &rest[2..]),
        [b'=', b'=', ..] => (true, &rest[2..]),
        [b'=', ..] => (true, &rest[1..]),
        _ => return None,
    };
    Some((field, equal, value))
}

fn unescape(value: &str) -> Option<String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                escaped @ ('\\' | ',' | '=') => text.push(escaped),
                _ => return None,
            },
            ',' | '=' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn field_selectors_select_and_refuse() {
        let pod = json!({"metadata": {"name": "a,b"}, "spec": {"hostNetwork": true}, "status": {"phase": "Running"}});
        let matches = |text: &str| {
            FieldSelector::parse(text).unwrap().matches(|field| field_text(&pod, field))
        };
        assert!(matches(""));
        assert!(matches("status.phase=Running"));
        assert!(matches("status.phase!=Pending,spec.hostNetwork==true"));
        assert!(!matches("status.phase=Running,spec.nodeName=x"));
        assert!(matches("spec.nodeName="));
        assert!(matches(r"metadata.name=a\,b"));
        assert_eq!(
            FieldSelector::parse("metadata.name=x").unwrap().exact("metadata.name"),
            Some("x")
        );
        assert_eq!(FieldSelector::parse("metadata.name!=x").unwrap().exact("metadata.name"), None);
        for text in ["a", "a=b=c", r"a=\x", "a!b"] {
            let error = FieldSelector::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("invalid selector: '{text}'")), "{error}");
        }
        let unknown = FieldSelector::parse("data.i=1").unwrap();
        assert_eq!(
            unknown.check(&[]).unwrap_err().to_string(),
            r#""data.i" is not a known field selector: only "metadata.name", "metadata.namespace""#
        );
        assert_eq!(
            unknown.check(&["status.phase"]).unwrap_err().to_string(),
            "field label not supported: data.i"
        );
        assert_eq!(unknown.check(&["data.i"]), Ok(()));
    }
}
