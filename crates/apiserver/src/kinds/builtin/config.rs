//! ConfigMaps and Secrets: data that may be sealed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Hooks, default_to};
use crate::schema::FieldError;

/// All values of a Secret or ConfigMap together: what the real server allows.
const DATA_BYTES: usize = 1 << 20;

pub(super) const CONFIG_MAP: Hooks = Hooks { validate: validate_config_map, ..Hooks::NONE };

pub(super) const SECRET: Hooks =
    Hooks { default: default_secret, validate: validate_secret, fields: &["type"], ..Hooks::NONE };

fn default_secret(secret: &mut Value) {
    default_to(secret, "type", "Opaque");
    let Some(plain) = secret.as_object_mut().and_then(|members| members.remove("stringData"))
    else {
        return;
    };
    for (key, text) in plain.as_object().into_iter().flatten() {
        if let Some(text) = text.as_str() {
            if !secret["data"].is_object() {
                secret["data"] = json!({});
            }
            secret["data"][key] = STANDARD.encode(text).into();
        }
    }
}

fn validate_config_map(map: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_keys(&map["data"], "data", &mut errors);
    check_keys(&map["binaryData"], "binaryData", &mut errors);
    for key in map["binaryData"].as_object().into_iter().flatten().map(|(key, _)| key) {
        if map["data"].get(key).is_some() {
            errors.push(FieldError::duplicate(format!("data[{key}]"), key.as_str().into()));
        }
    }
    check_size(map, &mut errors);
    check_sealed(map, old, &["data", "binaryData"], &mut errors);
    errors
}

fn validate_secret(secret: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_keys(&secret["data"], "data", &mut errors);
    for (key, text) in secret["data"].as_object().into_iter().flatten() {
        if STANDARD.decode(text.as_str().unwrap_or_default()).is_err() {
            // The value itself is a secret, even a broken one.
            let error =
                FieldError::invalid(format!("data[{key}]"), "<redacted>".into(), "is not base64");
            errors.push(error);
        }
    }
    check_size(secret, &mut errors);
    if old.is_some_and(|old| old["type"] != secret["type"]) {
        errors.push(FieldError::invalid("type", secret["type"].clone(), "field is immutable"));
    }
    check_sealed(secret, old, &["data"], &mut errors);
    errors
}

fn check_keys(data: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for key in data.as_object().into_iter().flatten().map(|(key, _)| key) {
        let fits = !key.is_empty()
            && key.len() <= 253
            && key.chars().all(inside)
            && key != "."
            && !key.starts_with("..");
        if !fits {
            let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                          'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            errors.push(FieldError::invalid(format!("{path}[{key}]"), key.as_str().into(), detail));
        }
    }
}

fn check_size(object: &Value, errors: &mut Vec<FieldError>) {
    let texts = |member: &str| -> usize {
        object[member]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(_, text)| text.as_str())
            .map(str::len)
            .sum()
    };
    // Base64 is a third longer than what it says.
    let encoded = texts("binaryData") + if object["kind"] == "Secret" { texts("data") } else { 0 };
    let plain = if object["kind"] == "Secret" { 0 } else { texts("data") };
    if plain + encoded / 4 * 3 > DATA_BYTES {
        errors.push(FieldError::too_long("data", DATA_BYTES as u64));
    }
}

/// `immutable: true` seals the data and itself.
fn check_sealed(new: &Value, old: Option<&Value>, data: &[&str], errors: &mut Vec<FieldError>) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    let sealed = "field is immutable when `immutable` is set";
    if new["immutable"] != true {
        errors.push(FieldError::forbidden("immutable", sealed));
    }
    for member in data {
        if new.get(member) != old.get(member) {
            errors.push(FieldError::forbidden(member, sealed));
        }
    }
}
