//! How a change is told to a person: one line, what matters first.

use serde_json::Value;

use super::view::Change;

/// Differences shown of one change. A status that is written for the first time has many, and the first few tell what it is.
const SHOWN: usize = 8;

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
    format!("{:>9.3}s r{} {resource} {namespace}/{name}: {what}", seconds(change.at), change.revision)
}

/// Milliseconds as seconds.
pub fn seconds(millis: u64) -> f64 {
    std::time::Duration::from_millis(millis).as_secs_f64()
}

fn owner(object: &Value) -> String {
    super::view::controller(object).map_or(String::new(), |(kind, name, _)| format!("by {kind} {name}"))
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    let noise = ["/metadata/resourceVersion", "/metadata/managedFields", "/metadata/generation"];
    if old == new || noise.contains(&path) {
        return;
    }
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                compare(&format!("{path}/{key}"), &old[key], &new[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if path.ends_with("/conditions") => {
            for condition in b.iter().filter(|condition| !a.contains(condition)) {
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

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
