//! Questions about access: posted, answered, never stored.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::call::{Call, json_value};
use super::options::WriteOptions;
use super::prepare::{check_type, settle};
use crate::auth::Identity;
use crate::kinds::Served;
use crate::status::ApiError;

/// Whether the kind is a question.
pub(crate) fn is_review(served: &Served) -> bool {
    !served.kind.is_custom() && served.kind.kind.ends_with("Review")
}

/// POST of a question: the same object with its status filled in.
pub(crate) fn answer(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    let mut decoded = call.decode(body)?;
    check_type(&call.served, &mut decoded.value)?;
    let warnings = settle(&call.served, &mut decoded, options.validation)?;
    let mut review = decoded.value;
    review["status"] = status(&call.served.kind.kind, &call.identity)?;
    let mut response = json_value(StatusCode::CREATED, &review);
    call.warn(&mut response, &warnings);
    Ok(response)
}

/// Until roles are served, whoever has a credential may do everything and nobody else anything.
fn status(kind: &str, identity: &Identity) -> Result<Value, ApiError> {
    match kind {
        "SelfSubjectAccessReview" => Ok(json!({"allowed": identity.is_authenticated()})),
        "SelfSubjectRulesReview" if identity.is_authenticated() => Ok(json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        })),
        "SelfSubjectRulesReview" => {
            Ok(json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false}))
        }
        "SelfSubjectReview" => {
            Ok(json!({"userInfo": {"username": identity.user, "groups": identity.groups}}))
        }
        _ => Err(ApiError::unknown_resource()),
    }
}
