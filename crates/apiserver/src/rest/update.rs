//! Changing an object that exists: the one path that PUT, PATCH, status, scale and finalize share.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::call::Call;
use super::create::create_decoded;
use super::options::{Effectiveness, WriteOptions, parse_revision};
use super::prepare::{self, Checks};
use crate::kinds::builtin::pod;
use crate::kinds::{Generation, PutMissing, PutUnversioned, Served, Status};
use crate::object::{Key, Object};
use crate::schema::FieldError;
use crate::schema::decode::Decoded;
use crate::server::Api;
use crate::status::ApiError;
use crate::store::{Operation, Transaction, WriteError};

/// How often a write without a revision of its own is computed again after losing a race. Each attempt loses only to a
/// write that succeeded, so a few are enough unless something is very wrong.
const ATTEMPTS: usize = 32;

/// Which part of an object a request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but a status that is a subresource.
    Main,
    /// The status (and, in built-in kinds, labels and annotations).
    Status,
    /// Of a namespace, `spec.finalizers` alone.
    Finalize,
    /// Of a pod, what its containers ask for and may use.
    Resize,
    /// Everything: for subresources that have done their own checks, such as binding.
    Whole,
}

/// Computes the new object from the current one, both in the served version.
pub(crate) type Step<'a> = dyn FnMut(&Value) -> Result<Decoded, ApiError> + Send + 'a;

/// PUT.
pub(crate) async fn replace(
    call: &Call<'_>,
    body: &Bytes,
    part: Part,
) -> Result<Response, ApiError> {
    let options = WriteOptions::parse(&call.query, "UpdateOptions")?;
    call.form()?;
    let mut decoded = call.decode(body)?;
    prepare::check_type(&call.served, &mut decoded.value)?;
    let key = call.served.key(&call.path.namespace, &call.path.name);
    let rules = &call.served.kind.rules;
    let versioned = revision_of(&decoded.value).is_some();
    if call.api.store.get(&key).is_none() && part == Part::Main && !versioned {
        if rules.put_missing == PutMissing::Create {
            let (namespace, name) = (&call.path.namespace, &call.path.name);
            let (object, warnings) =
                create_decoded(call.api, &call.served, namespace, name, decoded, &options).await?;
            return call.object(StatusCode::CREATED, &object, &warnings);
        }
        return Err(ApiError::not_found(&call.served.named(&call.path.name)));
    }
    if !versioned && rules.put_unversioned == PutUnversioned::Refuse {
        let error = FieldError::invalid(
            "metadata.resourceVersion",
            0.into(),
            "must be specified for an update",
        );
        let causes = prepare::causes(&[error]);
        return Err(ApiError::invalid(&call.served.invalid(&call.path.name), causes));
    }
    let mut step = |_: &Value| {
        Ok(Decoded { value: decoded.value.clone(), duplicates: decoded.duplicates.clone() })
    };
    let (object, warnings) =
        modify(call.api, &call.served, &key, part, &options, &mut step).await?;
    call.object(StatusCode::OK, &object, &warnings)
}

/// Reads, computes, checks and writes, again after a lost race unless the new object names the revision it was made from.
pub(crate) async fn modify(
    api: &Api,
    served: &Served,
    key: &Key,
    part: Part,
    options: &WriteOptions,
    step: &mut Step<'_>,
) -> Result<(Object, Vec<String>), ApiError> {
    for _ in 0..ATTEMPTS {
        let Some(current) = api.store.get(key) else {
            return Err(ApiError::not_found(&served.named(&key.name)));
        };
        let change = compute(api, served, key, part, options, &current, step)?;
        if options.effectiveness == Effectiveness::DryRun {
            return Ok((change.draft.seal(current.revision()), change.warnings));
        }
        let expected = current.revision();
        let operation = if change.leaves {
            Operation::Delete { key: key.clone(), expected }
        } else {
            Operation::Update { key: key.clone(), expected, draft: change.draft.clone() }
        };
        let transaction = Transaction { requires: Vec::new(), operations: vec![operation] };
        match api.store.commit(transaction).await {
            Ok(mut objects) => {
                let written =
                    objects.pop().ok_or_else(|| ApiError::internal("nothing was written"))?;
                // What leaves is answered as it would have been, under the revision of its deletion.
                let answer =
                    if change.leaves { change.draft.seal(written.revision()) } else { written };
                return Ok((answer, change.warnings));
            }
            Err(WriteError::Stale { .. }) if !change.conditional => {}
            Err(error) => return Err(super::write_error(served, &key.name, &error)),
        }
    }
    Err(ApiError::stale(&served.named(&key.name)))
}

struct Computed {
    draft: crate::object::Draft,
    warnings: Vec<String>,
    /// Whether the client named the revision, so that losing a race is for it to hear.
    conditional: bool,
    /// Whether nothing holds the object any more and deletion was asked for.
    leaves: bool,
}

fn compute(
    api: &Api,
    served: &Served,
    key: &Key,
    part: Part,
    options: &WriteOptions,
    current: &Object,
    step: &mut Step<'_>,
) -> Result<Computed, ApiError> {
    let old = api.value_in(served, current)?;
    let mut decoded = step(&old)?;
    check_identity(served, key, current, &mut decoded.value)?;
    let conditional = revision_of(&decoded.value).is_some();
    if let Some(text) = revision_of(&decoded.value)
        && parse_revision(text)? != current.revision()
    {
        return Err(ApiError::stale(&served.named(&key.name)));
    }
    let warnings = prepare::settle(served, &mut decoded, options.validation)?;
    let mut new = decoded.value;
    prepare::keep_server_owned(&mut new, &old);
    limit_to(part, served, &mut new, &old);
    (served.kind.rules.hooks.on_update)(&mut new, &old);
    prepare::default(served, &mut new);
    // What a user asked for. That a pod was given a node is not a change of what is wanted.
    let counts = matches!(part, Part::Main | Part::Resize);
    if counts && prepare::content_changed(served, &new, &old) {
        let generation = old["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
        new["metadata"]["generation"] = generation.into();
    }
    let checks = match part {
        Part::Whole => Checks::Schema,
        Part::Resize => Checks::Resize,
        Part::Main | Part::Status | Part::Finalize => Checks::All,
    };
    prepare::validate(served, &new, Some(&old), checks)?;
    let leaves = nothing_holds(&new);
    let draft = api.to_storage(served, new)?;
    Ok(Computed { draft, warnings, conditional, leaves })
}

/// Holds name, namespace, type and uid of the new object to those of the one there is.
fn check_identity(
    served: &Served,
    key: &Key,
    current: &Object,
    new: &mut Value,
) -> Result<(), ApiError> {
    prepare::check_type(served, new)?;
    if new["metadata"].is_null() {
        new["metadata"] = serde_json::json!({});
    }
    let name = prepare::name_of(new);
    if name != key.name {
        if name.is_empty() {
            new["metadata"]["name"] = key.name.as_str().into();
        } else {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                key.name
            )));
        }
    }
    let namespace = new["metadata"]["namespace"].as_str().unwrap_or_default();
    if namespace != key.namespace {
        if !namespace.is_empty() {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        new["metadata"]["namespace"] = key.namespace.as_str().into();
    }
    let uid = new["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && uid != current.meta().uid {
        let found = &current.meta().uid;
        return Err(ApiError::precondition(&served.named(&key.name), "UID", uid, found));
    }
    Ok(())
}

/// Takes from the new object only what the request may change.
fn limit_to(part: Part, served: &Served, new: &mut Value, old: &Value) {
    match part {
        Part::Whole => {}
        Part::Main if served.version().subresources.status == Status::Subresource => {
            copy_member(new, old, "status");
        }
        Part::Main => {}
        Part::Status => {
            let mut limited = old.clone();
            copy_member(&mut limited, new, "status");
            if !served.kind.is_custom() {
                for member in ["labels", "annotations", "finalizers"] {
                    copy_member(&mut limited["metadata"], &new["metadata"], member);
                }
            }
            *new = limited;
        }
        Part::Resize => pod::limit_to_resize(new, old),
        Part::Finalize => {
            let mut limited = old.clone();
            copy_member(&mut limited["spec"], &new["spec"], "finalizers");
            *new = limited;
        }
    }
}

fn copy_member(to: &mut Value, from: &Value, member: &str) {
    match from.get(member) {
        Some(value) => to[member] = value.clone(),
        None => {
            if let Some(members) = to.as_object_mut() {
                members.remove(member);
            }
        }
    }
}

/// Whether deletion was asked for and nobody holds the object any more: no finalizer, no grace, and for a namespace no
/// finalizer in its spec.
pub(crate) fn nothing_holds(value: &Value) -> bool {
    let metadata = &value["metadata"];
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let is_empty_inside = value["kind"] != "Namespace" || none(&value["spec"]["finalizers"]);
    !metadata["deletionTimestamp"].is_null()
        && none(&metadata["finalizers"])
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && is_empty_inside
}

/// The resourceVersion inside an object, if it says one. `"0"` and the empty text say none.
fn revision_of(value: &Value) -> Option<&str> {
    value["metadata"]["resourceVersion"].as_str().filter(|text| !text.is_empty() && *text != "0")
}

/// Whether the kind counts generations at all.
pub(crate) fn counts_generations(served: &Served) -> bool {
    served.kind.rules.generation != Generation::None
}
