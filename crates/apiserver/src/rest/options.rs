//! The options of a request, and what is wrong with them.

use serde_json::Value;

use super::path::QueryPairs;
use crate::object::Revision;
use crate::status::{ApiError, Cause};

/// Whether a write reaches the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effectiveness {
    Real,
    /// `dryRun=All`: everything but storing.
    DryRun,
}

/// What happens to fields nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    pub(crate) effectiveness: Effectiveness,
    pub(crate) validation: FieldValidation,
}

impl WriteOptions {
    /// Reads the query; `kind` is how errors call the options (`CreateOptions` ...).
    pub(crate) fn parse(query: &QueryPairs, kind: &str) -> Result<Self, ApiError> {
        let validation = match query.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                return Err(not_supported(
                    kind,
                    "fieldValidation",
                    other,
                    &["Ignore", "Warn", "Strict"],
                ));
            }
        };
        if query.get("force").is_some() {
            return Err(ApiError::invalid_options(
                kind,
                Cause {
                    reason: "FieldValueForbidden",
                    message: "Forbidden: may not be specified for non-apply patch".into(),
                    field: "force".into(),
                },
            ));
        }
        let effectiveness = effectiveness(&query.all("dryRun"), kind)?;
        Ok(Self { effectiveness, validation })
    }
}

fn effectiveness(values: &[String], kind: &str) -> Result<Effectiveness, ApiError> {
    let mut result = Effectiveness::Real;
    for value in values.iter().filter(|value| !value.is_empty()) {
        if value != "All" {
            return Err(not_supported(kind, "dryRun", value, &["All"]));
        }
        result = Effectiveness::DryRun;
    }
    Ok(result)
}

fn not_supported(kind: &str, field: &str, value: &str, supported: &[&str]) -> ApiError {
    let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
    let message =
        format!("Unsupported value: {value:?}: supported values: {}", supported.join(", "));
    let reason = "FieldValueNotSupported";
    ApiError::invalid_options(kind, Cause { reason, message, field: field.into() })
}

/// What happens to the dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// The object goes, the collector removes dependents after it.
    Background,
    /// Dependents go first.
    Foreground,
    /// Dependents stay.
    Orphan,
}

/// Options of delete and deletecollection, from the body and the query.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) dry_run: bool,
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

impl DeleteOptions {
    pub(crate) fn parse(query: &QueryPairs, body: Option<&Value>) -> Result<Self, ApiError> {
        const KIND: &str = "DeleteOptions";
        let empty = Value::Null;
        let body = body.unwrap_or(&empty);
        let in_body = |name: &str| body.get(name).filter(|value| !value.is_null());
        let number = |name: &str| -> Result<Option<i64>, ApiError> {
            match (in_body(name), query.get(name)) {
                (Some(value), _) => value.as_i64().map(Some).ok_or_else(|| {
                    ApiError::bad_request(format!("DeleteOptions.{name} is not a number: {value}"))
                }),
                (None, Some(text)) => text
                    .parse()
                    .map(Some)
                    .map_err(|_| ApiError::bad_request(format!("{name} is not a number: {text}"))),
                (None, None) => Ok(None),
            }
        };
        let text = |name: &str| {
            in_body(name).and_then(Value::as_str).or_else(|| query.get(name)).map(str::to_owned)
        };
        let mut dry_run = query.all("dryRun");
        if let Some(values) = in_body("dryRun").and_then(Value::as_array) {
            dry_run.extend(values.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        let dry_run = effectiveness(&dry_run, KIND)? == Effectiveness::DryRun;
        let orphan = in_body("orphanDependents")
            .and_then(Value::as_bool)
            .or_else(|| query.get("orphanDependents").map(|value| value == "true" || value == "1"));
        let policy = text("propagationPolicy");
        if orphan.is_some() && policy.is_some() {
            return Err(ApiError::invalid_options(
                KIND,
                Cause {
                    reason: "FieldValueInvalid",
                    message: format!(
                        "Invalid value: {:?}: orphanDependents and deletionPropagation cannot be both set",
                        policy.unwrap_or_default()
                    ),
                    field: "propagationPolicy".into(),
                },
            ));
        }
        let propagation = match (policy.as_deref(), orphan) {
            (None, None) => None,
            (None, Some(true)) | (Some("Orphan"), _) => Some(Propagation::Orphan),
            (None, Some(false)) | (Some("Background"), _) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some(other), _) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                return Err(not_supported(KIND, "propagationPolicy", other, &supported));
            }
        };
        let grace_period_seconds = number("gracePeriodSeconds")?;
        if let Some(grace) = grace_period_seconds.filter(|grace| *grace < 0) {
            return Err(ApiError::invalid_options(
                KIND,
                Cause {
                    reason: "FieldValueInvalid",
                    message: format!("Invalid value: {grace}: must be greater than or equal to 0"),
                    field: "gracePeriodSeconds".into(),
                },
            ));
        }
        let precondition = |name: &str| {
            body.get("preconditions").and_then(|all| all.get(name)).and_then(Value::as_str)
        };
        Ok(Self {
            dry_run,
            grace_period_seconds,
            propagation,
            uid: precondition("uid").map(str::to_owned),
            resource_version: precondition("resourceVersion").map(str::to_owned),
        })
    }
}

/// Which state a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadAt {
    /// The newest.
    Newest,
    /// Any, and all of it: the limit does not apply.
    Any,
    /// Not older than this.
    NotOlderThan(Revision),
    /// Exactly this.
    Exact(Revision),
    /// Where a continue token points.
    Continue(Token),
}

/// The place in a chunked list where the next chunk begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The revision of the first chunk; zero for a token that goes on inconsistently.
    pub(crate) revision: Revision,
    /// Namespace and name of the last object shown.
    pub(crate) after: (String, String),
}

impl Token {
    pub(crate) fn render(&self) -> String {
        use base64::Engine as _;
        let (namespace, name) = &self.after;
        let text = serde_json::json!({
            "v": "meta.k8s.io/v1", "rv": self.revision.0, "start": format!("{namespace}/{name}\u{0}"),
        });
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text.to_string())
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        use base64::Engine as _;
        let read = || -> Option<Self> {
            let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
            let value: Value = serde_json::from_slice(&bytes).ok()?;
            if value["v"] != "meta.k8s.io/v1" {
                return None;
            }
            let start = value["start"].as_str()?.strip_suffix('\u{0}')?;
            let (namespace, name) = start.split_once('/')?;
            // The real server writes -1 for "whatever is newest".
            let revision = Revision(value["rv"].as_i64()?.max(0).unsigned_abs());
            Some(Self { revision, after: (namespace.to_owned(), name.to_owned()) })
        };
        read().ok_or_else(|| {
            ApiError::bad_request("continue key is not valid: it was not made by this server")
        })
    }
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    pub(crate) labels: String,
    pub(crate) fields: String,
    pub(crate) limit: Option<usize>,
    pub(crate) at: ReadAt,
    pub(crate) watch: bool,
    /// For watches: the revision given, if any.
    pub(crate) revision: Option<Revision>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial: bool,
    pub(crate) timeout_seconds: Option<u64>,
}

impl ListOptions {
    pub(crate) fn parse(query: &QueryPairs, watch: bool) -> Result<Self, ApiError> {
        let revision = match query.get("resourceVersion") {
            Some(text) => Some(parse_revision(text)?),
            None => None,
        };
        let matching = query.get("resourceVersionMatch");
        let token = query.get("continue");
        let limit = match query.get("limit") {
            Some(text) => {
                let limit: i64 = text
                    .parse()
                    .map_err(|_| ApiError::bad_request(format!("limit is not a number: {text}")))?;
                usize::try_from(limit).ok().filter(|limit| *limit > 0)
            }
            None => None,
        };
        let send_initial =
            query.get("sendInitialEvents").map(|value| value == "true" || value == "1");
        let at = if watch {
            check_watch(matching, send_initial)?;
            ReadAt::Newest
        } else {
            if send_initial.is_some() {
                return Err(forbidden(
                    "sendInitialEvents",
                    "sendInitialEvents is forbidden for list",
                ));
            }
            read_at(revision, matching, token, limit.is_some())?
        };
        let timeout_seconds = match query.get("timeoutSeconds") {
            Some(text) => Some(text.parse().map_err(|_| {
                ApiError::bad_request(format!("timeoutSeconds is not a number: {text}"))
            })?),
            None => None,
        };
        Ok(Self {
            labels: query.get("labelSelector").unwrap_or_default().to_owned(),
            fields: query.get("fieldSelector").unwrap_or_default().to_owned(),
            limit,
            at,
            watch,
            revision,
            bookmarks: query.flag("allowWatchBookmarks"),
            send_initial: send_initial.unwrap_or(false),
            timeout_seconds: timeout_seconds.filter(|seconds| *seconds > 0),
        })
    }
}

fn check_watch(matching: Option<&str>, send_initial: Option<bool>) -> Result<(), ApiError> {
    match (send_initial, matching) {
        (None, Some(_)) => Err(forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        (Some(_), None) => Err(forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        (Some(_), Some(other)) if other != "NotOlderThan" => {
            Err(not_supported("ListOptions", "resourceVersionMatch", other, &["NotOlderThan"]))
        }
        _ => Ok(()),
    }
}

fn read_at(
    revision: Option<Revision>,
    matching: Option<&str>,
    token: Option<&str>,
    limited: bool,
) -> Result<ReadAt, ApiError> {
    if let Some(token) = token {
        if matching.is_some() {
            return Err(forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if revision.is_some_and(|revision| revision > Revision(0)) {
            return Err(ApiError::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        return Token::parse(token).map(ReadAt::Continue);
    }
    match (revision, matching) {
        (None, None) => Ok(ReadAt::Newest),
        (None, Some(_)) => Err(forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )),
        (Some(Revision(0)), Some("Exact")) => Err(forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )),
        (Some(Revision(0)), None | Some("NotOlderThan")) => Ok(ReadAt::Any),
        (Some(revision), None) if limited => Ok(ReadAt::Exact(revision)),
        (Some(revision), None | Some("NotOlderThan")) => Ok(ReadAt::NotOlderThan(revision)),
        (Some(revision), Some("Exact")) => Ok(ReadAt::Exact(revision)),
        (Some(_), Some(other)) => Err(not_supported(
            "ListOptions",
            "resourceVersionMatch",
            other,
            &["Exact", "NotOlderThan", ""],
        )),
    }
}

fn forbidden(field: &str, why: &str) -> ApiError {
    let message = format!("Forbidden: {why}");
    let reason = "FieldValueForbidden";
    ApiError::invalid_options("ListOptions", Cause { reason, message, field: field.into() })
}

/// Reads a resourceVersion.
pub(crate) fn parse_revision(text: &str) -> Result<Revision, ApiError> {
    text.parse().map(Revision).map_err(|_| {
        ApiError::bad_request(format!(
            "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}
