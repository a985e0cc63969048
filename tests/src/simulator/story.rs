//! How a change is told to a person: one line, what matters first.

use serde_json::Value;

use super::view::Change;

/// Differences shown of one change. A status that is written for the first time has many, and the first few tell what it is.
const SHOWN: usize = 8;

/// Letters shown of a structure.
const LONGEST: usize = 40;

/// One change as a line.
pub fn tell(change: &Change) -> String {
    let (resource, namespace, name) = &change.place;
    let what = match (&change.old, &change.new) {
        (None, Some(new)) => format!("created {}", owner(new)),
        (Some(_), None) => "removed".to_owned(),
        (Some(old), Some(new)) => {
            let mut found = Vec::new();
            compare("", old, new, &mut found);
            let more = found.len().saturating_sub(SHOWN);
            found.truncate(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", found.join(", "))
        }
        (None, None) => "nothing".to_owned(),
    };
    format!(
        "{:>9.3}s r{} {resource} {namespace}/{name}: {what}",
        seconds(change.at),
        change.revision
    )
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}

fn owner(object: &Value) -> String {
    super::view::controller(object)
        .map_or(String::new(), |(kind, name, _)| format!("by {kind} {name}"))
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let noise = ["/metadata/resourceVersion", "/metadata/managedFields", "/metadata/generation"];
    if old == new || noise.contains(&path) {
        return;
    }
    match (old, new) {
        (Value::Null, Value::Object(b)) if path == "/status" => {
            for key in b.keys() {
                compare(&format!("{path}/{key}"), &Value::Null, &new[key], found);
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                compare(&format!("{path}/{key}"), &old[key], &new[key], found);
            }
        }
        (before, Value::Array(after)) if path.ends_with("/conditions") => {
            let before = before.as_array().map(Vec::as_slice).unwrap_or_default();
            for condition in after.iter().filter(|condition| !before.contains(condition)) {
                found.push(format!(
                    "{}={} {}",
                    text(&condition["type"]),
                    text(&condition["status"]),
                    text(&condition["reason"])
                ));
            }
        }
        _ => found.push(format!("{path} {} -> {}", text(old), text(new))),
    }
}

/// A value, as much of it as fits in a line.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => {
            let text = value.to_string();
            let short: String = text.chars().take(LONGEST).collect();
            if short.len() < text.len() { format!("{short}...") } else { text }
        }
        other => other.to_string(),
    }
}
