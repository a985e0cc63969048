//! DELETE of one object, and what it means for those that something still holds.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::call::{self, Call};
use super::options::{DeleteOptions, Propagation, parse_revision};
use super::update::{counts_generations, nothing_holds};
use crate::clock::rfc3339_seconds;
use crate::finalizers::{DEFINITION_CLEANUP, FOREGROUND, ORPHAN};
use crate::kinds::Served;
use crate::object::{Draft, Key, Object};
use crate::server::Api;
use crate::status::ApiError;
use crate::store::{Operation, WriteError};

/// Namespaces that the cluster can't be without.
const LASTING_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// As in [`super::update`]: a lost race means that another write succeeded.
const ATTEMPTS: usize = 32;

/// What a delete did.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone. Holds its last state.
    Gone(Object),
    /// The object waits for its finalizers or its grace.
    Marked(Object),
}

pub(crate) async fn delete(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let options = options(call, body)?;
    call.form()?;
    let key = call.served.key(&call.path.namespace, &call.path.name);
    match delete_object(call.api, &call.served, &key, &options).await? {
        Deleted::Gone(object) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": details(call, &object),
            });
            let mut response = call::json_value(StatusCode::OK, &status);
            call.warn(&mut response, &[]);
            Ok(response)
        }
        Deleted::Marked(object) => call.object(StatusCode::OK, &object, &[]),
    }
}

fn details(call: &Call<'_>, object: &Object) -> Value {
    let mut details = json!({
        "name": object.meta().name, "kind": call.served.kind.plural, "uid": object.meta().uid,
    });
    if !call.served.kind.group.is_empty() {
        details["group"] = call.served.kind.group.as_str().into();
    }
    details
}

/// Options from the body, if there is one, and the query.
pub(crate) fn options(call: &Call<'_>, body: &Bytes) -> Result<DeleteOptions, ApiError> {
    let decoded = if body.is_empty() { None } else { Some(call.decode(body)?.value) };
    DeleteOptions::parse(&call.query, decoded.as_ref())
}

/// Deletes as a client's DELETE would. The collector and the namespace loop delete through here as well.
pub(crate) async fn delete_object(
    api: &Api,
    served: &Served,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted, ApiError> {
    if key.resource.group.is_empty()
        && &*key.resource.plural == "namespaces"
        && LASTING_NAMESPACES.contains(&key.name.as_str())
    {
        let why = "this namespace may not be deleted";
        return Err(ApiError::forbidden(&served.named(&key.name), why));
    }
    for _ in 0..ATTEMPTS {
        let Some(current) = api.store.get(key) else {
            return Err(ApiError::not_found(&served.named(&key.name)));
        };
        check_preconditions(served, &current, options)?;
        let marked = mark(api, served, &current, options);
        let expected = current.revision();
        let (operation, leaves) = if nothing_holds(&marked) {
            (Operation::Delete { key: key.clone(), expected }, true)
        } else {
            let draft = Draft::new(&marked).map_err(ApiError::internal)?;
            (Operation::Update { key: key.clone(), expected, draft }, false)
        };
        if options.dry_run {
            return Ok(match operation {
                Operation::Update { draft, .. } => Deleted::Marked(draft.seal(expected)),
                _ => Deleted::Gone(current),
            });
        }
        match api.store.write(operation).await {
            Ok(object) if leaves => return Ok(Deleted::Gone(object)),
            Ok(object) => return Ok(Deleted::Marked(object)),
            // What the client knew is in the preconditions, and those are checked again.
            Err(WriteError::Stale { .. }) => {}
            Err(error) => return Err(super::write_error(served, &key.name, &error)),
        }
    }
    Err(ApiError::stale(&served.named(&key.name)))
}

fn check_preconditions(
    served: &Served,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let name = &current.meta().name;
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != current.meta().uid) {
        return Err(ApiError::precondition(&served.named(name), "UID", uid, &current.meta().uid));
    }
    if let Some(text) = &options.resource_version
        && parse_revision(text)? != current.revision()
    {
        let found = current.revision().to_string();
        let what = "ResourceVersion";
        return Err(ApiError::precondition(&served.named(name), what, text, &found));
    }
    Ok(())
}

/// The stored object as it is once its deletion has been asked for.
fn mark(api: &Api, served: &Served, current: &Object, options: &DeleteOptions) -> Value {
    let mut value = current.value();
    hold(&mut value, served, options.propagation);
    let grace = grace(served, &value, options);
    let was_marked = !value["metadata"]["deletionTimestamp"].is_null();
    let granted = value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    if was_marked && grace >= granted {
        return value;
    }
    // A grace may be shortened, and counts from when it was first given.
    let began = match value["metadata"]["deletionTimestamp"].as_str().map(str::parse) {
        Some(Ok(ends)) => {
            let ends: jiff::Timestamp = ends;
            ends - SignedDuration::from_secs(granted)
        }
        _ => api.clock.now(),
    };
    let ends = began.checked_add(SignedDuration::from_secs(grace)).unwrap_or(began);
    value["metadata"]["deletionTimestamp"] = rfc3339_seconds(ends).into();
    value["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    if !was_marked && counts_generations(served) {
        let generation = value["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
        value["metadata"]["generation"] = generation.into();
    }
    if value["kind"] == "Namespace" {
        value["status"]["phase"] = "Terminating".into();
    }
    value
}

/// Sets the finalizers that the propagation policy stands for.
fn hold(value: &mut Value, served: &Served, propagation: Option<Propagation>) {
    let mut finalizers: Vec<Value> =
        value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if let Some(propagation) = propagation {
        finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => finalizers.push(FOREGROUND.into()),
            Propagation::Orphan => finalizers.push(ORPHAN.into()),
        }
    }
    let is_definition = served.kind.kind == "CustomResourceDefinition";
    let is_marked = !value["metadata"]["deletionTimestamp"].is_null();
    if is_definition && !is_marked && !finalizers.iter().any(|known| known == DEFINITION_CLEANUP) {
        finalizers.push(DEFINITION_CLEANUP.into());
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".into(), finalizers.into());
        }
    }
}

/// Only pods leave gracefully, and only those that a node runs.
fn grace(served: &Served, value: &Value, options: &DeleteOptions) -> i64 {
    if served.kind.kind != "Pod" || !served.kind.group.is_empty() {
        return 0;
    }
    let runs = !value["spec"]["nodeName"].as_str().unwrap_or_default().is_empty()
        && !matches!(value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !runs {
        return 0;
    }
    let own = value["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    options.grace_period_seconds.unwrap_or(own).max(0)
}
