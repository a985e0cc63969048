//! PATCH: merge, JSON and, for built-in kinds, strategic. Server-side apply is refused until it is served.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::call::Call;
use super::negotiate::content_type;
use super::options::WriteOptions;
use super::update::{Part, modify};
use crate::patch::{
    json::{self, JsonPatchError},
    merge, strategic,
};
use crate::schema::Schema;
use crate::schema::decode::{self, Decoded};
use crate::status::ApiError;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// A patch that was read and not yet applied.
pub(crate) struct Patch {
    form: Form,
    document: Decoded,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Merge,
    Json,
    Strategic,
}

pub(crate) async fn patch(call: &Call<'_>, body: &Bytes, part: Part) -> Result<Response, ApiError> {
    let patch = read(call, body)?;
    let options = WriteOptions::parse(&call.query, "PatchOptions")?;
    call.form()?;
    let key = call.served.key(&call.path.namespace, &call.path.name);
    let schema = call.served.version().schema.as_deref();
    let mut step = |current: &Value| apply(&patch, current, schema);
    let (object, warnings) =
        modify(call.api, &call.served, &key, part, &options, &mut step).await?;
    call.object(StatusCode::OK, &object, &warnings)
}

/// Reads a patch by its Content-Type.
pub(crate) fn read(call: &Call<'_>, body: &Bytes) -> Result<Patch, ApiError> {
    let custom = call.served.kind.is_custom();
    let form = match content_type(&call.headers) {
        JSON_PATCH => Form::Json,
        MERGE_PATCH => Form::Merge,
        STRATEGIC_PATCH if !custom => Form::Strategic,
        APPLY_PATCH => {
            return Err(ApiError::not_served_yet(
                "server-side apply (application/apply-patch+yaml)",
            ));
        }
        _ if custom => return Err(ApiError::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH])),
        _ => {
            let known = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH];
            return Err(ApiError::unsupported_media_type(&known));
        }
    };
    let document = decode::json(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    let fits =
        if form == Form::Json { document.value.is_array() } else { document.value.is_object() };
    if !fits {
        let (form, wanted) = match form {
            Form::Json => (JSON_PATCH, "a list of operations"),
            Form::Merge => (MERGE_PATCH, "an object"),
            Form::Strategic => (STRATEGIC_PATCH, "an object"),
        };
        return Err(ApiError::bad_request(format!(
            "error decoding patch: its Content-Type is {form}, which is {wanted}"
        )));
    }
    Ok(Patch { form, document })
}

/// Applies a patch to an object of the served version.
pub(crate) fn apply(
    patch: &Patch,
    current: &Value,
    schema: Option<&Schema>,
) -> Result<Decoded, ApiError> {
    let document = &patch.document.value;
    let mut value = current.clone();
    // A patch that does not speak of the revision applies to whatever is newest.
    if let Some(metadata) = value["metadata"].as_object_mut()
        && !patch.mentions_revision()
    {
        metadata.remove("resourceVersion");
    }
    match (patch.form, schema) {
        (Form::Json, _) => {
            value = json::apply(&value, document).map_err(|error| match error {
                JsonPatchError::Decode(_) => ApiError::bad_request(error.to_string()),
                JsonPatchError::TooMany(_) | JsonPatchError::TooLarge => {
                    ApiError::patch_too_large(error.to_string())
                }
                JsonPatchError::Failed(_) => ApiError::patch_failed(),
            })?;
        }
        (Form::Strategic, Some(schema)) => strategic::apply(&mut value, document, schema)
            .map_err(|error| ApiError::bad_request(error.to_string()))?,
        (Form::Merge | Form::Strategic, _) => merge::apply(&mut value, document),
    }
    if !value.is_object() {
        return Err(ApiError::patch_result("the result is not an object"));
    }
    // Keys that stand twice in a list of operations are not fields of the object.
    let duplicates =
        if patch.form == Form::Json { Vec::new() } else { patch.document.duplicates.clone() };
    Ok(Decoded { value, duplicates })
}

impl Patch {
    fn mentions_revision(&self) -> bool {
        let document = &self.document.value;
        if self.form != Form::Json {
            return document["metadata"].get("resourceVersion").is_some();
        }
        document.as_array().into_iter().flatten().any(|operation| {
            matches!(
                operation["path"].as_str(),
                Some("" | "/metadata" | "/metadata/resourceVersion")
            )
        })
    }
}
