//! POST to a collection.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::call::Call;
use super::options::{Effectiveness, WriteOptions};
use super::prepare::{self, Checks};
use crate::clock::rfc3339_seconds;
use crate::kinds::{Generation, Served, Source, Status, definitions};
use crate::object::{Key, Object, ResourceId};
use crate::schema::decode::Decoded;
use crate::server::Api;
use crate::status::{ApiError, Named};
use crate::store::{Operation, Require, Transaction, WriteError};

/// A generated name is this much of the base and five letters: together what a DNS label may hold.
const GENERATED_BASE: usize = 58;

/// How often a generated name that is taken is replaced by another before the client hears of it.
const GENERATE_ATTEMPTS: usize = 8;

pub(crate) async fn create(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let options = WriteOptions::parse(&call.query, "CreateOptions")?;
    call.form()?;
    let decoded = call.decode(body)?;
    let (object, warnings) =
        create_decoded(call.api, &call.served, &call.path.namespace, "", decoded, &options).await?;
    call.object(StatusCode::CREATED, &object, &warnings)
}

/// Creates an object as if a client had posted it. `name` is the name in the URL, where there is one.
pub(crate) async fn create_decoded(
    api: &Api,
    served: &Served,
    namespace: &str,
    name: &str,
    mut decoded: Decoded,
    options: &WriteOptions,
) -> Result<(Object, Vec<String>), ApiError> {
    prepare::check_type(served, &mut decoded.value)?;
    let warnings = prepare::settle(served, &mut decoded, options.validation)?;
    let mut value = decoded.value;
    place(served, &mut value, namespace, name)?;
    if value["metadata"]["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
        return Err(ApiError::revision_on_create());
    }
    begin(api, served, &mut value);

    let generate = value["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
    let is_generated = prepare::name_of(&value).is_empty() && !generate.is_empty();
    let attempts = if is_generated { GENERATE_ATTEMPTS } else { 1 };
    let mut outcome = Err(ApiError::internal("no name was tried"));
    for _ in 0..attempts {
        if is_generated {
            value["metadata"]["name"] = generated(api, &generate).into();
        }
        outcome = store(api, served, value.clone(), options).await;
        match &outcome {
            Err(error) if is_generated && error.reason == "AlreadyExists" => {}
            _ => break,
        }
    }
    outcome.map(|object| (object, warnings))
}

fn generated(api: &Api, base: &str) -> String {
    let end = (0..=GENERATED_BASE.min(base.len())).rev().find(|at| base.is_char_boundary(*at));
    format!("{}{}", &base[..end.unwrap_or(0)], api.ids.suffix())
}

/// Holds the namespace and name of the body to those of the URL.
fn place(served: &Served, value: &mut Value, namespace: &str, name: &str) -> Result<(), ApiError> {
    let found = value["metadata"]["namespace"].as_str().unwrap_or_default();
    if served.is_namespaced() {
        if found.is_empty() {
            value["metadata"]["namespace"] = namespace.into();
        } else if found != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    }
    let found = prepare::name_of(value);
    if !name.is_empty() && found != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({found}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

/// Makes a client's object one of the server's: what only the server sets, and what it fills in.
fn begin(api: &Api, served: &Served, value: &mut Value) {
    prepare::drop_server_owned(value);
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
        metadata.insert("uid".into(), api.ids.uid().into());
        let now = rfc3339_seconds(api.clock.now());
        metadata.insert("creationTimestamp".into(), now.into());
        if served.kind.rules.generation != Generation::None {
            metadata.insert("generation".into(), 1.into());
        }
    }
    if served.version().subresources.status == Status::Subresource
        && let Some(members) = value.as_object_mut()
    {
        members.remove("status");
    }
    (served.kind.rules.hooks.on_create)(value);
    prepare::default(served, value);
}

async fn store(
    api: &Api,
    served: &Served,
    value: Value,
    options: &WriteOptions,
) -> Result<Object, ApiError> {
    prepare::validate(served, &value, None, Checks::All)?;
    let name = prepare::name_of(&value).to_owned();
    let draft = api.to_storage(served, value)?;
    let namespace = draft.meta().namespace.clone();
    let key = served.key(&namespace, &name);
    let mut requires = Vec::new();
    if served.is_namespaced() {
        requires.push(Require::Alive(namespace_key(&namespace)));
    }
    // Or an object could slip in behind the last look at what a definition that goes still has, and outlive its kind.
    if let Source::Custom { definition, .. } = &served.kind.source {
        requires.push(Require::Alive(definition_key(definition)));
    }
    if options.effectiveness == Effectiveness::DryRun {
        for require in &requires {
            if let Require::Alive(wanted) = require
                && api.store.get(wanted).is_none_or(|object| object.meta().is_deleting())
            {
                return Err(refusal(api, served, &name, WriteError::NotAlive(wanted.clone())));
            }
        }
        return match api.store.get(&key) {
            Some(_) => Err(refusal(api, served, &name, WriteError::Exists(key))),
            None => Ok(draft.seal(api.store.revision())),
        };
    }
    let operations = vec![Operation::Create { key, draft }];
    match api.store.commit(Transaction { requires, operations }).await {
        Ok(mut objects) => objects.pop().ok_or_else(|| ApiError::internal("nothing was written")),
        Err(error) => Err(refusal(api, served, &name, error)),
    }
}

/// The key of a namespace's own object.
pub(crate) fn namespace_key(namespace: &str) -> Key {
    Key::new(ResourceId::new("", "namespaces"), "", namespace)
}

fn definition_key(definition: &str) -> Key {
    Key::new(definitions::resource(), "", definition)
}

fn refusal(api: &Api, served: &Served, name: &str, error: WriteError) -> ApiError {
    match &error {
        WriteError::NotAlive(key) if key.resource == definitions::resource() => {
            ApiError::definition_terminating()
        }
        WriteError::NotAlive(key) if api.store.get(key).is_some() => {
            ApiError::namespace_terminating(&served.named(name), &key.name)
        }
        WriteError::NotAlive(key) => {
            ApiError::not_found(&Named { group: "", resource: "namespaces", name: &key.name })
        }
        WriteError::Exists(key) => match api.store.get(key) {
            Some(object) if object.meta().is_deleting() => {
                ApiError::already_exists_deleting(&served.named(name))
            }
            _ => ApiError::already_exists(&served.named(name)),
        },
        _ => super::write_error(served, name, &error),
    }
}
