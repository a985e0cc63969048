//! The rules that the metadata of every object obeys, whatever its kind.

use serde_json::{Map, Value};

use crate::kinds::{Kind, Names, Scope};
use crate::schema::FieldError;
use crate::status::ApiError;

/// All keys and values of annotations together.
const ANNOTATIONS_BYTES: usize = 256 << 10;

/// Members that this server neither keeps nor trusts from a client: field ownership is not tracked, and self links are
/// gone from the API.
const DROPPED: [&str; 2] = ["managedFields", "selfLink"];

/// Makes sure that there is a metadata object, and drops what is not kept.
pub(crate) fn normalise(value: &mut Value) -> Result<(), ApiError> {
    let metadata = &mut value["metadata"];
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    let members = metadata
        .as_object_mut()
        .ok_or_else(|| ApiError::bad_request("metadata is not a JSON object"))?;
    for member in DROPPED {
        members.remove(member);
    }
    Ok(())
}

/// Everything wrong with an object's metadata. `old` is the object before an update.
pub(crate) fn validate(kind: &Kind, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let metadata = &value["metadata"];
    let mut errors = Vec::new();
    let name = metadata["name"].as_str().unwrap_or_default();
    match old {
        None => names(kind, metadata, name, &mut errors),
        Some(old) => added_finalizers(&old["metadata"], metadata, &mut errors),
    }
    labels(&metadata["labels"], &mut errors);
    annotations(&metadata["annotations"], &mut errors);
    finalizers(&metadata["finalizers"], &mut errors);
    owners(&metadata["ownerReferences"], &mut errors);
    errors
}

fn names(kind: &Kind, metadata: &Value, name: &str, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if let Some(problem) = name_problem(kind.rules.names, name) {
        errors.push(FieldError::invalid("metadata.name", name.into(), problem));
    }
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    match kind.scope {
        Scope::Namespaced if namespace.is_empty() => {
            errors.push(FieldError::required("metadata.namespace", ""));
        }
        Scope::Cluster if !namespace.is_empty() => {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
        Scope::Namespaced => {
            if let Some(problem) = label_problem(namespace) {
                errors.push(FieldError::invalid("metadata.namespace", namespace.into(), problem));
            }
        }
        Scope::Cluster => {}
    }
}

/// What is wrong with a name, if anything.
pub(crate) fn name_problem(rule: Names, name: &str) -> Option<String> {
    match rule {
        Names::Subdomain => subdomain_problem(name),
        Names::Label => label_problem(name),
        Names::PathSegment => path_segment_problem(name),
    }
}

fn path_segment_problem(name: &str) -> Option<String> {
    if matches!(name, "." | "..") {
        return Some(format!("may not be '{name}'"));
    }
    ['/', '%', '\0']
        .into_iter()
        .find(|character| name.contains(*character))
        .map(|character| format!("may not contain '{character}'"))
}

/// A DNS label: what namespaces and services are named.
pub(crate) fn label_problem(name: &str) -> Option<String> {
    if name.len() > 63 {
        return Some("must be no more than 63 bytes".into());
    }
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if is_bounded(name) && name.bytes().all(inside) {
        return None;
    }
    Some(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            .into(),
    )
}

/// A DNS subdomain: what most objects are named.
pub(crate) fn subdomain_problem(name: &str) -> Option<String> {
    if name.len() > 253 {
        return Some("must be no more than 253 bytes".into());
    }
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.split('.').all(|part| is_bounded(part) && part.bytes().all(inside)) {
        return None;
    }
    Some(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            .into(),
    )
}

/// Starts and ends with a letter or digit, so is not empty.
fn is_bounded(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric))
}

/// A qualified name: `[prefix/]name`, the form of label and annotation keys and of finalizers.
pub(crate) fn qualified_problem(key: &str) -> Option<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            return Some("prefix part must be non-empty".into());
        }
        if let Some(problem) = subdomain_problem(prefix) {
            return Some(format!("prefix part {problem}"));
        }
    }
    if name.is_empty() {
        return Some("name part must be non-empty".into());
    }
    if name.len() > 63 {
        return Some("name part must be no more than 63 bytes".into());
    }
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if is_bounded(name) && name.bytes().all(inside) {
        return None;
    }
    Some(
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
         alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            .into(),
    )
}

/// What is wrong with a label's value, if anything.
pub(crate) fn label_value_problem(value: &str) -> Option<String> {
    if value.len() > 63 {
        return Some("must be no more than 63 bytes".into());
    }
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if value.is_empty() || (is_bounded(value) && value.bytes().all(inside)) {
        return None;
    }
    Some(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
         and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
         validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            .into(),
    )
}

fn labels(labels: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        if let Some(problem) = qualified_problem(key) {
            errors.push(FieldError::invalid("metadata.labels", key.as_str().into(), problem));
        }
        if let Some(problem) = value.as_str().and_then(label_value_problem) {
            errors.push(FieldError::invalid("metadata.labels", value.clone(), problem));
        }
    }
}

fn annotations(annotations: &Value, errors: &mut Vec<FieldError>) {
    let mut bytes = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        // The real server folds case before it checks an annotation's key.
        if let Some(problem) = qualified_problem(&key.to_ascii_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", key.as_str().into(), problem));
        }
    }
    if bytes > ANNOTATIONS_BYTES {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS_BYTES as u64));
    }
}

fn finalizers(finalizers: &Value, errors: &mut Vec<FieldError>) {
    for (index, finalizer) in finalizers.as_array().into_iter().flatten().enumerate() {
        let problem = finalizer.as_str().and_then(qualified_problem);
        if let Some(problem) = problem {
            let path = format!("metadata.finalizers[{index}]");
            errors.push(FieldError::invalid(path, finalizer.clone(), problem));
        }
    }
}

/// Once deletion was asked for, holding on longer is not allowed.
fn added_finalizers(old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
    if old["deletionTimestamp"].is_null() {
        return;
    }
    let before = old["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
    let after = new["finalizers"].as_array().map_or(&[][..], Vec::as_slice);
    let added: Vec<String> = after
        .iter()
        .filter(|finalizer| !before.contains(finalizer))
        .filter_map(Value::as_str)
        .map(|finalizer| format!("{finalizer:?}"))
        .collect();
    if !added.is_empty() {
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        errors.push(FieldError::forbidden("metadata.finalizers", detail));
    }
}

fn owners(owners: &Value, errors: &mut Vec<FieldError>) {
    let mut controllers = 0;
    for (index, owner) in owners.as_array().into_iter().flatten().enumerate() {
        for member in ["apiVersion", "kind", "name", "uid"] {
            if owner[member].as_str().unwrap_or_default().is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{member}");
                errors.push(FieldError::required(path, "must not be empty"));
            }
        }
        if owner["controller"] == true {
            controllers += 1;
        }
    }
    if controllers > 1 {
        errors.push(FieldError::invalid(
            "metadata.ownerReferences",
            owners.clone(),
            "only one reference can have Controller set to true",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keys_and_values_follow_dns_and_label_rules() {
        for good in ["a", "a-b", "a.b-c.d", "0a"] {
            assert_eq!(subdomain_problem(good), None, "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "ä", &"a".repeat(254)] {
            assert!(subdomain_problem(bad).is_some(), "{bad}");
        }
        assert!(label_problem("a.b").is_some());
        assert_eq!(qualified_problem("example.com/My_Key"), None);
        assert!(qualified_problem("Example.com/x").is_some());
        assert!(qualified_problem("/x").is_some());
        assert_eq!(label_value_problem(""), None);
        assert!(label_value_problem("not valid").is_some());
    }
}
