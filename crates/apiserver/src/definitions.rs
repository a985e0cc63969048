//! The loop of the definitions: it accepts the names of a custom kind, serves it, establishes it, and empties it when its definition is deleted. Everything it
//! decides is in the definition's status.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::rfc3339_seconds;
use crate::finalizers::DEFINITION_CLEANUP;
use crate::kinds::definitions::{condition, is_established, kind_of, resource};
use crate::kinds::{Known, Served};
use crate::object::Object;
use crate::rest::{
    DeleteOptions, Effectiveness, FieldValidation, Part, WriteOptions, delete_object, modify,
};
use crate::schema::decode::Decoded;
use crate::server::Api;
use crate::status::ApiError;
use crate::store::Query;

/// Follows the definitions until the server stops.
pub(crate) async fn run(api: Api, mut known: Known) {
    loop {
        let (listing, mut watch) = api.store.list_and_watch(&Query::all(&resource()));
        for definition in &listing.items {
            settle(&api, definition, &mut known).await;
        }
        known.register(&api);
        loop {
            let changes = tokio::select! {
                biased;
                () = api.stopping.cancelled() => return,
                changes = watch.next() => changes,
            };
            match changes {
                Ok(changes) if changes.is_empty() => return,
                Ok(changes) => {
                    for change in changes {
                        if let Some(current) = api.store.get(&change.key) {
                            settle(&api, &current, &mut known).await;
                        }
                    }
                    known.register(&api);
                }
                Err(_) => break,
            }
        }
    }
}

/// Brings one definition a step further: accepts its names, establishes it, or empties it.
async fn settle(api: &Api, object: &Object, known: &mut Known) {
    let outcome = if object.meta().is_deleting() {
        clear(api, object).await
    } else {
        establish(api, object, known).await
    };
    match outcome {
        Ok(()) => {}
        // Deleted under our hands: nothing left to do.
        Err(error) if error.reason == "NotFound" => {}
        Err(error) => {
            tracing::warn!(definition = %object.meta().name, %error, "a definition could not be brought further");
        }
    }
}

async fn establish(api: &Api, object: &Object, known: &mut Known) -> Result<(), ApiError> {
    let conflict = names_taken(api, object);
    if conflict.is_none() {
        known.admit(api, object);
    }
    let now = rfc3339_seconds(api.clock.now());
    change(api, object, &mut |definition| {
        let names = definition["spec"]["names"].clone();
        match &conflict {
            None => {
                set_condition(
                    definition,
                    "NamesAccepted",
                    "True",
                    "NoConflicts",
                    "no conflicts found",
                    &now,
                );
                definition["status"]["acceptedNames"] = names;
                let message = "the initial names have been accepted";
                set_condition(
                    definition,
                    "Established",
                    "True",
                    "InitialNamesAccepted",
                    message,
                    &now,
                );
            }
            Some(message) => {
                set_condition(definition, "NamesAccepted", "False", "NameConflict", message, &now);
                if !is_established(definition) {
                    let message = "not all names are accepted";
                    set_condition(definition, "Established", "False", "NotAccepted", message, &now);
                }
            }
        }
    })
    .await
}

/// Another definition of the same group that has one of the names already.
fn names_taken(api: &Api, object: &Object) -> Option<String> {
    let value = object.value();
    let own = |value: &Value| -> Vec<String> {
        let names = &value["spec"]["names"];
        let short = names["shortNames"].as_array().into_iter().flatten();
        let all = [&names["plural"], &names["singular"]].into_iter().chain(short);
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mine = own(&value);
    for other in api.store.list(&Query::all(&resource())).items {
        let same = other.meta().uid == object.meta().uid;
        let other = other.value();
        if same || other["spec"]["group"] != value["spec"]["group"] || !is_established(&other) {
            continue;
        }
        if let Some(name) = own(&other).iter().find(|name| mine.contains(name)) {
            return Some(format!("{name:?} is already in use"));
        }
        if other["spec"]["names"]["kind"] == value["spec"]["names"]["kind"] {
            return Some(format!("{} is already in use", value["spec"]["names"]["kind"]));
        }
    }
    None
}

/// Deletes the objects of a definition that is going, and lets it go once they have gone.
async fn clear(api: &Api, object: &Object) -> Result<(), ApiError> {
    if !object.meta().finalizers.iter().any(|finalizer| finalizer == DEFINITION_CLEANUP) {
        return Ok(());
    }
    let definition = object.value();
    let Some(served) = kind_of(&definition).and_then(|kind| Served::stored(&Arc::new(kind))) else {
        return Ok(());
    };
    let now = rfc3339_seconds(api.clock.now());
    change(api, object, &mut |definition| {
        let message = "CustomResource deletion is in progress";
        set_condition(
            definition,
            "Terminating",
            "True",
            "InstanceDeletionInProgress",
            message,
            &now,
        );
    })
    .await?;
    let query = Query::all(served.resource());
    let (listing, mut watch) = api.store.list_and_watch(&query);
    for instance in listing.items {
        let key = served.key(&instance.meta().namespace, &instance.meta().name);
        match delete_object(api, &served, &key, &DeleteOptions::default()).await {
            Ok(_) => {}
            Err(error) if error.reason == "NotFound" => {}
            Err(error) => return Err(error),
        }
    }
    // Objects with finalizers leave when those let go. Others must not wait for that, so the rest is a task of its own.
    if api.store.list(&query).items.is_empty() {
        return release(api, object).await;
    }
    let (api, object, resource) = (api.clone(), object.clone(), served.resource().clone());
    api.clone().spawn(async move {
        while !api.store.list(&Query::all(&resource)).items.is_empty() {
            tokio::select! {
                biased;
                () = api.stopping.cancelled() => return,
                changes = watch.next() => match changes {
                    Ok(changes) if changes.is_empty() => return,
                    Ok(_) => {}
                    Err(_) => watch = api.store.list_and_watch(&Query::all(&resource)).1,
                }
            }
        }
        if let Err(error) = release(&api, &object).await
            && error.reason != "NotFound" {
                tracing::warn!(definition = %object.meta().name, %error, "an emptied definition could not be released");
            }
    });
    Ok(())
}

async fn release(api: &Api, object: &Object) -> Result<(), ApiError> {
    change(api, object, &mut |definition| {
        if let Some(finalizers) = definition["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != DEFINITION_CLEANUP);
        }
    })
    .await
}

/// Changes a definition as the server itself.
async fn change(
    api: &Api,
    object: &Object,
    edit: &mut (dyn FnMut(&mut Value) + Send),
) -> Result<(), ApiError> {
    let kinds = api.kinds.now();
    let kind = kinds.resource("apiextensions.k8s.io", "customresourcedefinitions");
    let served = kind.and_then(Served::stored).ok_or_else(ApiError::unknown_resource)?;
    drop(kinds);
    let key = served.key("", &object.meta().name);
    let uid = object.meta().uid.clone();
    let options =
        WriteOptions { effectiveness: Effectiveness::Real, validation: FieldValidation::Ignore };
    let mut step = |current: &Value| {
        if current["metadata"]["uid"] != uid.as_str() {
            return Err(ApiError::not_found(&served.named(&key.name)));
        }
        let mut value = current.clone();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        edit(&mut value);
        Ok(Decoded { value, duplicates: Vec::new() })
    };
    modify(api, &served, &key, Part::Whole, &options, &mut step).await.map(|_| ())
}

/// Sets a condition; its time moves only when its status does.
fn set_condition(
    definition: &mut Value,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: &str,
) {
    let since = condition(definition, kind)
        .filter(|known| known["status"] == status)
        .and_then(|known| known["lastTransitionTime"].as_str())
        .unwrap_or(now);
    let condition = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    });
    if !definition["status"]["conditions"].is_array() {
        definition["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = definition["status"]["conditions"].as_array_mut() {
        match conditions.iter_mut().find(|known| known["type"] == kind) {
            Some(known) => *known = condition,
            None => conditions.push(condition),
        }
    }
}
