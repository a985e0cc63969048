//! Probes and lifecycle handlers of a container: what is refused.

use serde_json::Value;

use crate::schema::FieldError;

/// The ways to ask a container something.
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];

/// The ways to tell it that it begins or ends; one of them only waits.
const HOOKS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "sleep"];

/// Everything wrong with the probes and handlers of a container.
pub(super) fn check(container: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &container[name];
        if probe.is_null() {
            continue;
        }
        let path = format!("{path}.{name}");
        one_handler(probe, &HANDLERS, &path, errors);
        for member in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            if let Some(number) = probe[member].as_i64().filter(|number| *number < 0) {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(format!("{path}.{member}"), number.into(), detail));
            }
        }
        let successes = &probe["successThreshold"];
        // One success is as alive as a container can be.
        if name != "readinessProbe" && successes.as_i64().is_some_and(|number| number > 1) {
            let path = format!("{path}.successThreshold");
            errors.push(FieldError::invalid(path, successes.clone(), "must be 1"));
        }
    }
    for name in ["postStart", "preStop"] {
        let hook = &container["lifecycle"][name];
        if !hook.is_null() {
            one_handler(hook, &HOOKS, &format!("{path}.lifecycle.{name}"), errors);
        }
    }
}

fn one_handler(value: &Value, handlers: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let mut given = handlers.iter().filter(|handler| !value[**handler].is_null());
    let Some(first) = given.next() else {
        errors.push(FieldError::required(path, "must specify a handler type"));
        return;
    };
    for more in given {
        let detail = "may not specify more than 1 handler type";
        errors.push(FieldError::forbidden(format!("{path}.{more}"), detail));
    }
    if *first == "exec" && value["exec"]["command"].as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(format!("{path}.exec.command"), ""));
    }
}
