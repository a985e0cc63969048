//! Events: one store, seen as core/v1 by those who read and as events.k8s.io/v1 by those who write the newer form.

use serde_json::{Map, Value};

use super::Hooks;
use crate::kinds::View;
use crate::schema::FieldError;

/// How long the text of an event may be that tells its time exactly.
const NOTE_BYTES: usize = 1024;

const FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

/// The newer form's own names of the same fields.
const NEW_FIELDS: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];

pub(super) const CORE: Hooks = Hooks { validate: validate_core, fields: FIELDS, ..Hooks::NONE };

pub(super) const VIEW: Hooks = Hooks {
    validate: validate_new,
    fields: NEW_FIELDS,
    view: Some(View { from_storage: to_new, to_storage: to_core }),
    ..Hooks::NONE
};

/// Names of the same fields: core/v1, events.k8s.io/v1.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn to_new(event: Value) -> Value {
    renamed(event, "events.k8s.io/v1", |name| {
        NAMES.iter().find(|(core, _)| *core == name).map(|(_, new)| *new)
    })
}

fn to_core(event: Value) -> Value {
    renamed(event, "v1", |name| NAMES.iter().find(|(_, new)| *new == name).map(|(core, _)| *core))
}

fn renamed<'a>(event: Value, api_version: &str, rename: impl Fn(&str) -> Option<&'a str>) -> Value {
    let Value::Object(members) = event else { return event };
    let mut result = Map::new();
    for (name, value) in members {
        let name = rename(&name).map_or(name, str::to_owned);
        result.insert(name, value);
    }
    // The newer form reports the instance under the same name on both sides, so nothing else moves.
    result.insert("apiVersion".into(), api_version.into());
    Value::Object(result)
}

fn validate_core(event: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_namespace(event, "involvedObject", &mut errors);
    if old.is_none() && event["involvedObject"].is_null() {
        errors.push(FieldError::required("involvedObject", ""));
    }
    // One of the newer form, written as the older: it has to be whole in both.
    if !event["eventTime"].is_null() {
        for (member, shown) in [
            ("reportingComponent", "reportingController"),
            ("reportingInstance", "reportingInstance"),
            ("action", "action"),
            ("reason", "reason"),
        ] {
            if event[member].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(shown, ""));
            }
        }
        if event["message"].as_str().is_some_and(|text| text.len() > NOTE_BYTES) {
            let detail = format!("can have at most {NOTE_BYTES} bytes");
            errors.push(FieldError::invalid("message", "".into(), detail));
        }
    }
    errors
}

fn validate_new(event: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_namespace(event, "regarding", &mut errors);
    // Events of the older form may still be changed through the newer one.
    if old.is_none() || !event["eventTime"].is_null() {
        if event["eventTime"].is_null() {
            errors.push(FieldError::required("eventTime", ""));
        }
        for member in ["reportingController", "reportingInstance", "action", "reason"] {
            if event[member].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(member, ""));
            }
        }
        if !matches!(event["type"].as_str(), Some("Normal" | "Warning")) {
            let detail = "has invalid value: must be Normal or Warning";
            errors.push(FieldError::invalid("type", event["type"].clone(), detail));
        }
    }
    errors
}

/// An event lives where its object does; events of cluster-scoped objects live in `default` or `kube-system`.
fn check_namespace(event: &Value, reference: &str, errors: &mut Vec<FieldError>) {
    let about = event[reference]["namespace"].as_str().unwrap_or_default();
    let lives = event["metadata"]["namespace"].as_str().unwrap_or_default();
    let fits =
        if about.is_empty() { matches!(lives, "default" | "kube-system") } else { about == lives };
    if !fits {
        let path = format!("{reference}.namespace");
        errors.push(FieldError::invalid(path, about.into(), "does not match event.namespace"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_that_tells_its_time_is_whole_in_both_forms() {
        let mut event = json!({
            "metadata": {"namespace": "n"}, "involvedObject": {"namespace": "n"},
            "eventTime": "2030-01-01T00:00:00.000000Z", "reason": "R", "message": "m",
        });
        let fields = |event: &Value| -> Vec<String> {
            validate_core(event, None).iter().map(|error| error.field().to_owned()).collect()
        };
        assert_eq!(fields(&event), ["reportingController", "reportingInstance", "action"]);
        for member in ["reportingComponent", "reportingInstance", "action"] {
            event[member] = "x".into();
        }
        event["type"] = "Normal".into();
        assert_eq!(fields(&event), [""; 0]);
        assert_eq!(validate_new(&to_new(event.clone()), None), []);
        event["message"] = "x".repeat(NOTE_BYTES + 1).into();
        assert_eq!(fields(&event), ["message"]);
    }

    #[test]
    fn both_views_show_the_same_event() {
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"name": "p"}, "message": "m", "count": 2, "reportingComponent": "c",
            "source": {"component": "s"}, "firstTimestamp": null, "type": "Normal",
        });
        let new = to_new(core.clone());
        assert_eq!(new["regarding"]["name"], "p");
        assert_eq!(new["note"], "m");
        assert_eq!(new["reportingController"], "c");
        assert_eq!(to_core(new), core);
    }
}
