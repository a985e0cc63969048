//! Subresources of pods that are one-off requests: binding and eviction.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, json_value};
use super::delete::delete_object;
use super::options::{DeleteOptions, Effectiveness, WriteOptions};
use super::prepare;
use super::update::{Part, modify};
use crate::clock::rfc3339_seconds;
use crate::schema::decode::Decoded;
use crate::status::ApiError;

/// POST pods/NAME/binding: puts a pod on a node, once.
pub(crate) async fn bind(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let binding = call.decode(body)?.value;
    check(call, &binding, "Binding")?;
    let target = &binding["target"];
    let node = target["name"].as_str().unwrap_or_default().to_owned();
    if !matches!(target["kind"].as_str().unwrap_or_default(), "" | "Node") || node.is_empty() {
        let error = crate::schema::FieldError::required("target.name", "a pod is bound to a Node");
        let named = crate::status::Named { group: "", resource: "Binding", name: &call.path.name };
        return Err(ApiError::invalid(&named, prepare::causes(&[error])));
    }
    let key = call.served.key(&call.path.namespace, &call.path.name);
    let now = rfc3339_seconds(call.api.clock.now());
    let mut step = |current: &Value| {
        let name = call.path.name.as_str();
        let conflict = |why: String| ApiError::conflict(&call.served.named(name), &why);
        if !current["metadata"]["deletionTimestamp"].is_null() {
            return Err(conflict(format!(
                "pod {name} is being deleted, cannot be assigned to a host"
            )));
        }
        let assigned = current["spec"]["nodeName"].as_str().unwrap_or_default();
        if !assigned.is_empty() {
            return Err(conflict(format!("pod {name} is already assigned to node {assigned:?}")));
        }
        let mut value = current.clone();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        value["spec"]["nodeName"] = node.as_str().into();
        for member in ["annotations", "labels"] {
            for (key, text) in binding["metadata"][member].as_object().into_iter().flatten() {
                value["metadata"][member][key] = text.clone();
            }
        }
        scheduled(&mut value, &now);
        Ok(Decoded { value, duplicates: Vec::new() })
    };
    modify(call.api, &call.served, &key, Part::Whole, &options, &mut step).await?;
    Ok(success())
}

/// Sets the PodScheduled condition.
fn scheduled(value: &mut Value, now: &str) {
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
    });
    let status = &mut value["status"];
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    if let Some(conditions) = status["conditions"].as_array_mut() {
        match conditions.iter_mut().find(|known| known["type"] == "PodScheduled") {
            Some(known) => *known = condition,
            None => conditions.push(condition),
        }
    }
}

/// POST pods/NAME/eviction: a delete that disruption budgets may refuse. There are no budgets, so none does.
pub(crate) async fn evict(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let write = WriteOptions::parse(&call.query, "CreateOptions")?;
    let eviction = call.decode(body)?.value;
    check(call, &eviction, "Eviction")?;
    let mut options =
        DeleteOptions::parse(&call.query, eviction.get("deleteOptions").filter(|v| v.is_object()))?;
    options.dry_run |= write.effectiveness == Effectiveness::DryRun;
    let key = call.served.key(&call.path.namespace, &call.path.name);
    delete_object(call.api, &call.served, &key, &options).await?;
    Ok(success())
}

/// Holds the body of a one-off request to the pod in the URL.
fn check(call: &Call<'_>, body: &Value, kind: &str) -> Result<(), ApiError> {
    let found = body["kind"].as_str().unwrap_or(kind);
    if found != kind {
        return Err(ApiError::bad_request(format!(
            "the kind in the data ({found}) does not match the expected kind ({kind})"
        )));
    }
    let name = prepare::name_of(body);
    if !name.is_empty() && name != call.path.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.path.name
        )));
    }
    Ok(())
}

fn success() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
    });
    json_value(StatusCode::CREATED, &status)
}
