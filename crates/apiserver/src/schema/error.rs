//! What is wrong with an object, field by field, in the words the real server uses.

use std::fmt;

use serde_json::Value;

use crate::status::Cause;

/// Where in an object something is, as a chain of borrowed steps: validation walks every field of every write, and
/// only an error pays for the text of its path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'a> {
    /// The object itself.
    Root,
    /// A prefix that somebody else already wrote, such as `spec.validation.openAPIV3Schema`.
    Prefix(&'a str),
    /// A named field.
    Field(&'a Path<'a>, &'a str),
    /// An item of a list.
    Index(&'a Path<'a>, usize),
    /// An entry of a map whose keys are data, written `[key]`.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Prefix(text) => f.write_str(text),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(Path::Prefix(""), name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

/// The kind of a [`FieldError`]; it decides the text before the value and the reason of the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldErrorKind {
    /// A value that must be there is not.
    Required,
    /// Two values that must differ do not.
    Duplicate,
    /// A value breaks a rule.
    Invalid,
    /// A value is of the wrong type. Shown like [`FieldErrorKind::Invalid`]; it stops the later checks.
    TypeInvalid,
    /// A value is not one of those that are supported.
    NotSupported,
    /// The value may not be set, or not by this request.
    Forbidden,
    /// A text is longer than allowed.
    TooLong,
    /// A list or map has more entries than allowed.
    TooMany,
    /// The server could not find out.
    Internal,
}

impl FieldErrorKind {
    /// The words of the message.
    pub fn text(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }

    /// The `reason` of the cause in a Status.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
        }
    }
}

/// One thing that is wrong with one field. A list of them becomes a 422 Invalid with one cause each.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Where, as `spec.ports[1].port`; `None` for a remark about the object as a whole, shown as `<nil>`.
    pub path: Option<String>,
    /// What kind of error.
    pub kind: FieldErrorKind,
    /// The offending value, where showing it helps. Never the value of a secret: schema errors on Secrets name types.
    pub value: Option<Value>,
    /// Why, in words; empty where the kind says it all.
    pub detail: String,
}

impl FieldError {
    /// A value that must be there is not.
    pub fn required(path: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, path, None, detail)
    }

    /// A value breaks a rule.
    pub fn invalid(path: impl fmt::Display, value: Value, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, path, Some(value), detail)
    }

    /// Two values that must differ do not; points at the second.
    pub fn duplicate(path: impl fmt::Display, value: Value) -> Self {
        Self::new(FieldErrorKind::Duplicate, path, Some(value), "")
    }

    /// The value may not be set, or not by this request.
    pub fn forbidden(path: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, path, None, detail)
    }

    /// A value is not one of those that are supported.
    pub fn not_supported<'v>(
        path: impl fmt::Display,
        value: Value,
        supported: impl IntoIterator<Item = &'v str>,
    ) -> Self {
        let supported: Vec<String> = supported.into_iter().map(|v| format!("{v:?}")).collect();
        let detail = match supported.is_empty() {
            true => String::new(),
            false => format!("supported values: {}", supported.join(", ")),
        };
        Self::new(FieldErrorKind::NotSupported, path, Some(value), detail)
    }

    /// A text is longer than `bytes`.
    pub fn too_long(path: impl fmt::Display, bytes: u64) -> Self {
        let detail = format!("may not be more than {bytes} bytes");
        Self::new(FieldErrorKind::TooLong, path, None, detail)
    }

    pub(crate) fn new(
        kind: FieldErrorKind,
        path: impl fmt::Display,
        value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { path: Some(path.to_string()), kind, value, detail: detail.into() }
    }

    /// The message without the path, as it stands in a cause.
    pub fn body(&self) -> String {
        let mut text = self.kind.text().to_owned();
        if let Some(value) = &self.value {
            text.push_str(": ");
            text.push_str(&shown(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }

    /// The field of a cause: the path, or `<nil>`.
    pub fn field(&self) -> &str {
        self.path.as_deref().unwrap_or("<nil>")
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field(), self.body())
    }
}

impl std::error::Error for FieldError {}

impl From<&FieldError> for Cause {
    fn from(error: &FieldError) -> Self {
        Cause {
            reason: error.kind.reason(),
            message: error.body(),
            field: error.field().to_owned(),
        }
    }
}

/// Values longer than this are cut in messages: a message quotes a value to help a reader, not to return the object.
const SHOWN_BYTES: usize = 512;

fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > SHOWN_BYTES {
        let cut = (0..=SHOWN_BYTES).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(cut);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_read_as_the_real_ones() {
        let spec = Path::Root.field("spec").to_string();
        let root = Path::Root;
        let field = root.field("spec");
        let ports = field.field("ports");
        let port = ports.index(1);
        for (error, text) in [
            (FieldError::required(field.field("image"), ""), "spec.image: Required value"),
            (
                FieldError::duplicate(port, json!({"name": "a"})),
                r#"spec.ports[1]: Duplicate value: {"name":"a"}"#,
            ),
            (
                FieldError::not_supported(&spec, json!("x"), ["a", "b"]),
                r#"spec: Unsupported value: "x": supported values: "a", "b""#,
            ),
            (FieldError::too_long(&spec, 5), "spec: Too long: may not be more than 5 bytes"),
            (
                FieldError { path: None, ..FieldError::invalid("", Value::Null, "why") },
                "<nil>: Invalid value: null: why",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let error = FieldError::invalid("a", json!("é".repeat(1000)), "");
        assert!(error.to_string().len() < 600);
        assert!(error.to_string().ends_with("..."));
    }
}
