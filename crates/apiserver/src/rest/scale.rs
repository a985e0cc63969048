//! The scale subresource: replicas of any kind, seen as one kind.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, json_value, strictness};
use super::options::WriteOptions;
use super::patch;
use super::prepare;
use super::update::{Part, modify};
use crate::kinds::ScalePaths;
use crate::object::Object;
use crate::schema::FieldError;
use crate::schema::decode::Decoded;
use crate::status::ApiError;

pub(crate) fn get(call: &Call<'_>) -> Result<Response, ApiError> {
    let key = call.served.key(&call.path.namespace, &call.path.name);
    let object = call.api.store.get(&key);
    let object = object.ok_or_else(|| ApiError::not_found(&call.served.named(&key.name)))?;
    answer(call, &object)
}

pub(crate) async fn replace(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
    let decoded = call.decode(body)?;
    strictness(options.validation, &[], &decoded.duplicates)?;
    change(call, &options, &mut |_| Ok(decoded.value.clone())).await
}

pub(crate) async fn patch(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let options = WriteOptions::parse(&call.query, "PatchOptions")?;
    let patch = patch::read(call, body)?;
    change(call, &options, &mut |scale| Ok(patch::apply(&patch, scale, None)?.value)).await
}

/// Writes replicas through the object, so that the object's own rules hold.
async fn change(
    call: &Call<'_>,
    options: &WriteOptions,
    edit: &mut (dyn FnMut(&Value) -> Result<Value, ApiError> + Send),
) -> Result<Response, ApiError> {
    let key = call.served.key(&call.path.namespace, &call.path.name);
    let paths = paths(call)?.clone();
    let mut step = |current: &Value| {
        let scale = edit(&seen(&paths, current))?;
        let kind = scale["kind"].as_str().unwrap_or("Scale");
        if kind != "Scale" {
            return Err(ApiError::bad_request(format!(
                "the kind in the data ({kind}) does not match the expected kind (Scale)"
            )));
        }
        let name = prepare::name_of(&scale);
        if !name.is_empty() && name != call.path.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                call.path.name
            )));
        }
        let replicas = match &scale["spec"]["replicas"] {
            Value::Null => 0,
            value => value.as_i64().ok_or_else(|| {
                ApiError::bad_request(format!(
                    "Scale in version \"v1\" cannot be handled as a Scale: spec.replicas is not a number: {value}"
                ))
            })?,
        };
        if replicas < 0 {
            let detail = "must be greater than or equal to 0";
            let error = FieldError::invalid("spec.replicas", replicas.into(), detail);
            let named = crate::status::Named {
                group: "autoscaling",
                resource: "Scale",
                name: &call.path.name,
            };
            return Err(ApiError::invalid(&named, prepare::causes(&[error])));
        }
        let mut value = current.clone();
        let wanted = scale["metadata"]["resourceVersion"].clone();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
            if !wanted.is_null() {
                metadata.insert("resourceVersion".into(), wanted);
            }
        }
        set(&mut value, &paths.spec_replicas, replicas.into());
        Ok(Decoded { value, duplicates: Vec::new() })
    };
    let (object, _) = modify(call.api, &call.served, &key, Part::Main, options, &mut step).await?;
    answer(call, &object)
}

fn paths<'a>(call: &'a Call<'_>) -> Result<&'a ScalePaths, ApiError> {
    let scale = call.served.version().subresources.scale.as_ref();
    scale.ok_or_else(ApiError::unknown_resource)
}

fn answer(call: &Call<'_>, object: &Object) -> Result<Response, ApiError> {
    let value = call.api.value_in(&call.served, object)?;
    Ok(json_value(StatusCode::OK, &seen(paths(call)?, &value)))
}

/// The Scale that stands for an object.
fn seen(paths: &ScalePaths, value: &Value) -> Value {
    let metadata = &value["metadata"];
    let mut kept = serde_json::Map::new();
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(known) = metadata.get(member) {
            kept.insert(member.into(), known.clone());
        }
    }
    let number = |path: &str| get_path(value, path).and_then(Value::as_i64).unwrap_or(0);
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": number(&paths.spec_replicas)},
        "status": {"replicas": number(&paths.status_replicas)},
    });
    let selector = paths.label_selector.as_ref().and_then(|path| get_path(value, path));
    if let Some(selector) = selector.and_then(Value::as_str) {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// The value at a simple path such as `.spec.replicas`.
fn get_path<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.trim_start_matches('.').split('.').try_fold(value, |value, step| value.get(step))
}

fn set(value: &mut Value, path: &str, number: Value) {
    let mut at = value;
    for step in path.trim_start_matches('.').split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[step];
    }
    *at = number;
}
