//! One request, taken apart, and the answers it can get.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::negotiate::{self, BodyFormat, Form};
use super::options::FieldValidation;
use super::path::{QueryPairs, ResourcePath};
use super::show;
use super::tables::Tables;
use crate::auth::Identity;
use crate::kinds::Served;
use crate::object::Object;
use crate::protobuf::{self, ProtobufError};
use crate::schema::decode::{self, Decoded};
use crate::server::Api;
use crate::status::ApiError;

/// The largest body that is read. What the real server allows: etcd's limit with room for encoding; below it, Secrets of
/// Helm releases (1 MiB) do not fit.
pub(crate) const BODY_LIMIT: usize = 3 << 20;

/// How long a body may take to arrive. The largest one does in it at half a megabit a second; who needs longer holds a connection that
/// others may want.
const BODY_PATIENCE: Duration = Duration::from_secs(60);

/// How much of the text of a warning is sent; headers of a proxy's default size hold a dozen of these.
const WARNING_BYTES: usize = 512;

/// A request for a resource.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    pub(crate) served: Served,
    pub(crate) method: Method,
    pub(crate) path: ResourcePath,
    pub(crate) query: QueryPairs,
    pub(crate) headers: HeaderMap,
    pub(crate) identity: Identity,
}

impl Call<'_> {
    /// The form the client wants its answer in.
    pub(crate) fn form(&self) -> Result<Form, ApiError> {
        negotiate::form(&self.headers)
    }

    /// Decodes a body that holds an object.
    pub(crate) fn decode(&self, body: &Bytes) -> Result<Decoded, ApiError> {
        decode_object(&self.headers, body)
    }

    /// Answers with one object.
    pub(crate) fn object(
        &self,
        code: StatusCode,
        object: &Object,
        warnings: &[String],
    ) -> Result<Response, ApiError> {
        let bytes = match self.form()? {
            Form::Object => self.api.show(&self.served, object)?,
            Form::Metadata => show::metadata_only(object),
            Form::Table => self.tables()?.one(self.api, &self.served, object)?,
        };
        let mut response = json(code, bytes);
        self.warn(&mut response, warnings);
        Ok(response)
    }

    /// Makes the tables of this request.
    pub(crate) fn tables(&self) -> Result<Tables, ApiError> {
        Tables::new(&self.served, self.query.get("includeObject"))
    }

    /// Adds warnings: those of this request, and the one of a deprecated version.
    pub(crate) fn warn(&self, response: &mut Response, warnings: &[String]) {
        let deprecation = self.served.version().deprecation.as_ref();
        for warning in deprecation.into_iter().chain(warnings) {
            add_warning(response, warning);
        }
    }
}

/// Reads a body up to the limit.
pub(crate) async fn collect(body: Body) -> Result<Bytes, ApiError> {
    let collected = Limited::new(body, BODY_LIMIT).collect();
    let Ok(collected) = tokio::time::timeout(BODY_PATIENCE, collected).await else {
        let seconds = BODY_PATIENCE.as_secs();
        let why = format!("the request's body did not arrive within {seconds} seconds");
        return Err(ApiError::bad_request(why));
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::too_large(BODY_LIMIT))
        }
        Err(error) => Err(ApiError::bad_request(format!("read the request's body: {error}"))),
    }
}

/// Decodes a body by its Content-Type.
pub(crate) fn decode_object(headers: &HeaderMap, body: &Bytes) -> Result<Decoded, ApiError> {
    let unreadable = |error: String| {
        ApiError::bad_request(format!("the object provided is unrecognized: {error}"))
    };
    let decoded = match negotiate::body_format(headers)? {
        BodyFormat::Json => decode::json(body).map_err(|error| unreadable(error.to_string()))?,
        BodyFormat::Yaml => decode::yaml(body).map_err(|error| unreadable(error.to_string()))?,
        BodyFormat::Protobuf => {
            let value = protobuf::decode(body).map_err(|error| match error {
                ProtobufError::UnknownKind { .. } => {
                    ApiError::unsupported_media_type(&["application/json", "application/yaml"])
                }
                error => unreadable(error.to_string()),
            })?;
            Decoded { value, duplicates: Vec::new() }
        }
    };
    if !decoded.value.is_object() {
        return Err(unreadable("an object is a JSON object".into()));
    }
    Ok(decoded)
}

/// The verdict on fields nobody knows and keys that stand twice.
pub(crate) fn strictness(
    validation: FieldValidation,
    unknown: &[String],
    duplicates: &[String],
) -> Result<Vec<String>, ApiError> {
    let remarks = || -> Vec<String> {
        let unknown = unknown.iter().map(|path| format!("unknown field {path:?}"));
        unknown.chain(duplicates.iter().map(|path| format!("duplicate field {path:?}"))).collect()
    };
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(remarks()),
        FieldValidation::Strict if unknown.is_empty() && duplicates.is_empty() => Ok(Vec::new()),
        FieldValidation::Strict => {
            Err(ApiError::bad_request(format!("strict decoding error: {}", remarks().join(", "))))
        }
    }
}

/// A JSON answer.
pub(crate) fn json(code: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// A JSON answer from a value.
pub(crate) fn json_value(code: StatusCode, value: &Value) -> Response {
    json(code, value.to_string())
}

fn add_warning(response: &mut Response, text: &str) {
    let mut quoted = String::with_capacity(text.len() + 16);
    quoted.push_str("299 - \"");
    for character in text.chars().filter(|c| !c.is_control()) {
        if quoted.len() > WARNING_BYTES {
            break;
        }
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    if let Ok(value) = HeaderValue::from_str(&quoted) {
        response.headers_mut().append(header::WARNING, value);
    }
}
