//! Every way a request can fail, as the Status object a Kubernetes client expects.
//!
//! Clients branch on `reason` first and on the code second, and some of them read `details` and `causes`: all of it is
//! interface. So an error is built by a constructor named after the case, and nowhere else.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::object::Revision;

/// A failed request. Turns into a Status object (or, for an unknown path, into the plain text clients know).
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP code, repeated inside the Status.
    pub code: StatusCode,
    /// What clients branch on; empty for the few errors the real server sends without one.
    pub reason: &'static str,
    /// For people. Several clients match on parts of it.
    pub message: String,
    /// Boxed because an error is rare and the result of every function carries one.
    pub details: Box<Details>,
    /// A fresh continue token, given with an expired one so that the client can go on inconsistently.
    pub continue_token: Option<String>,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Status,
    PlainText,
}

/// The `details` of a Status. Empty members are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object the error is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group; empty for the core group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural resource name, but the Kind in a validation error: clients rely on both.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Uid of the object, where the answer is about one particular life of a name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry per wrong field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to come back; zero means that the client decides.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

// serde's `skip_serializing_if` hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// One reason among those that make a request fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Machine word, such as `FieldValueInvalid`.
    pub reason: &'static str,
    /// What is wrong, without the path.
    pub message: String,
    /// Path of the field, such as `spec.ports[0].name`; empty where no field is meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// A resource as errors name it: `configmaps`, or `sandboxes.agents.x-k8s.io`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Plural resource name (the Kind for validation errors).
    pub resource: &'a str,
    /// Name of the object; may be empty.
    pub name: &'a str,
}

impl Named<'_> {
    fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    fn details(&self) -> Details {
        Details {
            name: self.name.to_owned(),
            group: self.group.to_owned(),
            kind: self.resource.to_owned(),
            ..Details::default()
        }
    }
}

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Box::default(),
            continue_token: None,
            shape: Shape::Status,
        }
    }

    fn about(mut self, details: Details) -> Self {
        *self.details = details;
        self
    }

    fn cause(mut self, reason: &'static str, message: impl Into<String>, field: &str) -> Self {
        self.details.causes.push(Cause {
            reason,
            message: message.into(),
            field: field.to_owned(),
        });
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.details.retry_after_seconds = seconds;
        self
    }

    /// Path, group or version that is not served at all: plain text, not a Status.
    pub fn unknown_path() -> Self {
        let mut error = Self::new(StatusCode::NOT_FOUND, "NotFound", "404 page not found");
        error.shape = Shape::PlainText;
        error
    }

    /// A well-known API group that this server does not serve yet. A Status, so that the reader learns why.
    pub fn group_not_served(group: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("the API group {group} is not served by sandbank yet"),
        )
    }

    /// A resource that its version does not have.
    pub fn unknown_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// The object is not there.
    pub fn not_found(named: &Named<'_>) -> Self {
        let message = format!("{} \"{}\" not found", named.qualified(), named.name);
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(named.details())
    }

    /// The name is taken.
    pub fn already_exists(named: &Named<'_>) -> Self {
        let message = format!("{} \"{}\" already exists", named.qualified(), named.name);
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(named.details())
    }

    /// The name is taken by an object that waits for its finalizers.
    pub fn already_exists_deleting(named: &Named<'_>) -> Self {
        let message = format!(
            "object is being deleted: {} \"{}\" already exists",
            named.qualified(),
            named.name
        );
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(named.details())
    }

    /// A conditional write that lost. `why` is the second half of the sentence.
    pub fn conflict(named: &Named<'_>, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": {why}",
            named.qualified(),
            named.name
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(named.details())
    }

    /// A write based on a resourceVersion that is no longer the newest.
    pub fn stale(named: &Named<'_>) -> Self {
        Self::conflict(
            named,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// A precondition (`UID` or `ResourceVersion`) that names another life or state of the object.
    pub fn precondition(named: &Named<'_>, what: &str, wanted: &str, found: &str) -> Self {
        Self::conflict(
            named,
            &format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). \
                 The object might have been deleted and then recreated"
            ),
        )
    }

    /// Fields that are wrong. `named.resource` is the Kind here.
    pub fn invalid(named: &Named<'_>, causes: Vec<Cause>) -> Self {
        let mut parts: Vec<String> = Vec::with_capacity(causes.len());
        for cause in &causes {
            let part = if cause.field.is_empty() {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            };
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        let list = match parts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{}\" is invalid: {list}", named.qualified(), named.name);
        let details = Details { causes, ..named.details() };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(details)
    }

    /// An option of the request (`kind` is `CreateOptions`, `ListOptions` ...) that is wrong.
    pub fn invalid_options(kind: &str, cause: Cause) -> Self {
        let named = Named { group: "meta.k8s.io", resource: kind, name: "" };
        Self::invalid(&named, vec![cause])
    }

    /// A JSON patch that could not be applied: a failed `test`, a path that is not there.
    pub fn patch_failed() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// A patch whose result is not an object of the kind.
    pub fn patch_result(detail: &str) -> Self {
        let message = format!(" \"\" is invalid: patch: Invalid value: {detail}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).cause(
            "FieldValueInvalid",
            format!("Invalid value: {detail}"),
            "patch",
        )
    }

    /// A request that can't be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// Credentials that are wrong.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// An operation on an object that policy refuses. `why` follows `is forbidden: `.
    pub fn forbidden(named: &Named<'_>, why: &str) -> Self {
        let message = if named.name.is_empty() {
            format!("{} is forbidden: {why}", named.qualified())
        } else {
            format!("{} \"{}\" is forbidden: {why}", named.qualified(), named.name)
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(named.details())
    }

    /// A path that is no resource and not open to this user.
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        let message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"");
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// A create inside a namespace that is going away.
    pub fn namespace_terminating(named: &Named<'_>, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        Self::forbidden(named, &why).cause(
            "NamespaceTerminating",
            format!("namespace {namespace} is being terminated"),
            "metadata.namespace",
        )
    }

    /// A verb that the resource does not offer.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// A new object of a custom kind whose definition is being deleted.
    pub fn definition_terminating() -> Self {
        let message = "create not allowed while custom resource definition is terminating";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// No format that the client accepts can be served.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message =
            format!("only the following media types are accepted: {}", offered.join(", "));
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// A body in a format that this resource does not read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// A feature that has its place but is not served yet; the Status says which.
    pub fn not_served_yet(what: &str) -> Self {
        let message = format!("{what} is not served by sandbank yet");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// A request for which this server has no counterpart, whatever its form.
    pub fn not_implemented(what: &str) -> Self {
        let message = format!("{what} is not served by sandbank yet");
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// A body larger than the server reads.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("limit is {limit} bytes");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            format!("Request entity too large: {message}"),
        )
    }

    /// A JSON patch with more operations, or larger copies, than are applied.
    pub fn patch_too_large(message: String) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// A list at a revision whose history is gone.
    pub fn list_expired() -> Self {
        let message = "The resourceVersion for the provided list is too old.";
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// A continue token whose revision is gone; `fresh` goes on from the same place in the newest state.
    pub fn continue_expired(fresh: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. \
                       You can start a new list without the continue parameter, or use the continue token in this \
                       response to retrieve the remainder of the results. Continuing with the provided token results \
                       in an inconsistent list.";
        let mut error = Self::new(StatusCode::GONE, "Expired", message);
        error.continue_token = Some(fresh);
        error
    }

    /// A watch from a revision whose history is gone; travels as an ERROR event.
    pub fn watch_expired(asked: Revision, oldest: Revision) -> Self {
        let message = format!("too old resource version: {asked} ({oldest})");
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// A revision that the store has not reached, after waiting for it.
    pub fn revision_too_large(asked: Revision, current: Revision) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
            .cause("ResourceVersionTooLarge", "Too large resource version", "")
            .retry_after(1)
    }

    /// A kind that is registered but not served for another moment.
    pub fn initializing() -> Self {
        let message = "storage is (re)initializing";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).retry_after(1)
    }

    /// The client should come back later.
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).retry_after(seconds)
    }

    /// An eviction that a disruption budget blocks.
    pub fn eviction_blocked(budget: &str) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).cause(
            "DisruptionBudget",
            format!("The disruption budget {budget} does not allow it"),
            "",
        )
    }

    /// A create that carries a resourceVersion. The real server answers 500 without a reason.
    pub fn revision_on_create() -> Self {
        let message = "resourceVersion should not be set on objects to be created";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// Something on our side failed; `what` names the attempt and its cause.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        let message = format!("Internal error occurred: {what}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// The store could not make the write durable because its disk is full.
    pub fn insufficient_storage(what: impl std::fmt::Display) -> Self {
        let message = format!("the write could not be stored: {what}");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "InternalError", message)
    }

    /// The server is stopping, or what serves this request is not there.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// The Status object as it travels in a body or in an ERROR event.
    pub fn status(&self) -> serde_json::Value {
        let mut metadata = serde_json::Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".into(), token.clone().into());
        }
        let mut status = serde_json::json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if self.reason == "NotFound" || *self.details != Details::default() {
            status["details"] = serde_json::json!(self.details);
        }
        status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (body, media) = match self.shape {
            Shape::PlainText => (format!("{}\n", self.message), "text/plain; charset=utf-8"),
            Shape::Status => (self.status().to_string(), "application/json"),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        if self.details.retry_after_seconds > 0 {
            headers.insert(header::RETRY_AFTER, self.details.retry_after_seconds.into());
        }
        response
    }
}
