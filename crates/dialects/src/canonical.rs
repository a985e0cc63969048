//! The meaning of a JSON document, as bytes to hash.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Adds a document to a hash: members in order of their keys, and nothing for a `null`, which servers drop. Empty objects count: `emptyDir: {}` means something.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n;"),
        Value::Bool(true) => hasher.update(b"t;"),
        Value::Bool(false) => hasher.update(b"f;"),
        Value::Number(number) => {
            hasher.update(b"d");
            hasher.update(number.to_string());
            hasher.update(b";");
        }
        Value::String(text) => {
            hasher.update(b"s");
            hasher.update(text.len().to_string());
            hasher.update(b":");
            hasher.update(text);
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
            }
            hasher.update(b"]");
        }
        Value::Object(members) => {
            hasher.update(b"{");
            // serde_json's map is ordered by key unless a feature of another crate in the build says otherwise, so order here.
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            for key in keys {
                let member = &members[key.as_str()];
                if !member.is_null() {
                    feed(hasher, &Value::String(key.clone()));
                    feed(hasher, member);
                }
            }
            hasher.update(b"}");
        }
    }
}

/// Sixteen hexadecimal digits of the SHA-256 of what the document means. Sixty-four bits: a collision within one pool's history is out of the question.
pub fn digest(value: &Value) -> String {
    let mut hasher = Sha256::new();
    feed(&mut hasher, value);
    let bytes = hasher.finalize();
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The document as JSON text, with members in the order of their keys and without nulls.
pub fn text(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            let kept = keys.into_iter().filter(|key| !members[key.as_str()].is_null());
            text.push('{');
            for (place, key) in kept.enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write(text, &members[key.as_str()]);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(text, item);
            }
            text.push(']');
        }
        simple => text.push_str(&simple.to_string()),
    }
}
