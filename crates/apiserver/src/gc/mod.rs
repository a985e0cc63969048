//! The collector: what happens to objects when their owners go.
//!
//! ```text
//!   every change of the store ──> graph (pure: who owns whom) ──> actions ──> the API's own delete and conditional writes
//! ```
//!
//! An object is deleted once each of its owners, by uid, is gone; while one is left, only the references to the others go.
//! An owner deleted in the foreground waits for the dependents that block it, an orphaning one until all have forgotten it.
//! Nothing is polled: a change leads to its consequences within one pass, and each pass costs what changed.

mod graph;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::{StreamExt, stream};
use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    kinds::Served,
    loops::{self, Ended, Retries},
    object::{Draft, Key},
    rest::{DeleteOptions, Deleted, Propagation, delete_object, nothing_holds},
    server::Api,
    status::ApiError,
    store::{Change, Effect, Operation, WriteError},
};
use graph::{Action, Graph, Subject, Uid};

/// Actions planned at once. Half of the history kept for each resource, so that the collector's own writes never push
/// it out of what it has not read yet.
const BATCH: usize = 8192;

/// Actions under way at once: what one commit of the store takes.
const IN_FLIGHT: usize = 256;

/// Collects until the server stops.
pub(crate) async fn run(api: Api) {
    loops::run(api, "the collector", collect).await;
}

async fn collect(api: &Api) -> Ended {
    let (objects, mut feed) = api.store.everything();
    let mut graph = Graph::default();
    for (key, object) in objects {
        graph.written(&key, &object);
    }
    let mut replaced = api.kinds.replacements();
    let mut retries = Retries::new();
    loop {
        match feed.ready() {
            Ok(changes) => changes.iter().for_each(|change| take_in(&mut graph, change)),
            Err(_) => return Ended::FellBehind,
        }
        if replaced.has_changed().unwrap_or(false) {
            replaced.mark_unchanged();
            graph.kinds_changed();
        }
        let kinds = Arc::clone(&api.kinds.now());
        let is_served = |api_version: &str, kind: &str| {
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            kinds.kind(group, kind).is_some()
        };
        let actions = graph.plan(BATCH, &is_served);
        if actions.is_empty() {
            tokio::select! {
                biased;
                open = feed.wait() => if !open { return Ended::StoreClosed },
                _ = replaced.changed() => graph.kinds_changed(),
                () = retries.wait() => {
                    retries.due(Instant::now()).into_iter().for_each(|uid| graph.retry(uid));
                }
            }
            continue;
        }
        let mut outcomes = stream::iter(actions)
            .map(|(subject, action)| perform(api, subject, action))
            .buffer_unordered(IN_FLIGHT);
        while let Some((uid, outcome)) = outcomes.next().await {
            match outcome {
                Outcome::Done => retries.worked(&uid),
                Outcome::Failed => retries.failed(uid, Instant::now()),
            }
        }
    }
}

fn take_in(graph: &mut Graph, change: &Change) {
    match change.effect {
        Effect::Written => graph.written(&change.key, &change.new),
        Effect::Removed => graph.removed(&change.new),
    }
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// For want of space, or because the object may not go: some namespaces never do.
    Failed,
}

/// Does one thing. A lost race is no failure: the change that won brings the object back to attention.
async fn perform(api: &Api, subject: Subject, action: Action) -> (Uid, Outcome) {
    let outcome = match &action {
        Action::Delete { foreground } => delete(api, &subject, *foreground).await,
        Action::Disown(uids) => edit(api, &subject, |value| disown(value, uids)).await,
        Action::Unblock => edit(api, &subject, unblock).await,
        Action::Release(finalizer) => edit(api, &subject, |value| release(value, finalizer)).await,
    };
    match outcome {
        Ok(()) => {
            tracing::debug!(object = %subject.key, ?action, "collected");
            (subject.uid, Outcome::Done)
        }
        Err(error) if matches!(error.code, StatusCode::NOT_FOUND | StatusCode::CONFLICT) => {
            (subject.uid, Outcome::Done)
        }
        Err(error) => {
            tracing::warn!(object = %subject.key, ?action, %error, "can't collect; trying again later");
            (subject.uid, Outcome::Failed)
        }
    }
}

async fn delete(api: &Api, subject: &Subject, foreground: bool) -> Result<(), ApiError> {
    let Some(served) = served(api, &subject.key) else { return Ok(()) };
    let Some(current) = api.store.get(&subject.key) else { return Ok(()) };
    let asked_for = |name: &str| current.meta().finalizers.iter().any(|known| known == name);
    // What the object's own maker asked for stands.
    let propagation = if foreground {
        Propagation::Foreground
    } else if asked_for(crate::finalizers::ORPHAN) {
        Propagation::Orphan
    } else if asked_for(crate::finalizers::FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let options = DeleteOptions {
        propagation: Some(propagation),
        resource_version: Some(subject.revision.to_string()),
        ..DeleteOptions::default()
    };
    match delete_object(api, &served, &subject.key, &options).await? {
        Deleted::Gone(_) | Deleted::Marked(_) => Ok(()),
    }
}

/// Changes an object's metadata in the state that was looked at. An object that nothing holds any more leaves.
async fn edit(
    api: &Api,
    subject: &Subject,
    change: impl FnOnce(&mut Value),
) -> Result<(), ApiError> {
    let key = subject.key.clone();
    let expected = subject.revision;
    let current = api.store.get(&key).filter(|current| current.revision() == expected);
    let Some(current) = current else { return Ok(()) };
    let mut value = current.value();
    change(&mut value);
    let operation = if nothing_holds(&value) {
        Operation::Delete { key, expected }
    } else {
        let draft = Draft::new(&value).map_err(ApiError::internal)?;
        Operation::Update { key, expected, draft }
    };
    match api.store.write(operation).await {
        Ok(_) | Err(WriteError::Stale { .. } | WriteError::Missing(_) | WriteError::Closed) => {
            Ok(())
        }
        Err(error) => Err(ApiError::internal(error)),
    }
}

fn served(api: &Api, key: &Key) -> Option<Served> {
    let kinds = api.kinds.now();
    kinds.resource(&key.resource.group, &key.resource.plural).and_then(Served::stored)
}

fn disown(value: &mut Value, uids: &[String]) {
    retain(value, "ownerReferences", |reference| {
        !uids.iter().any(|uid| reference["uid"] == uid.as_str())
    });
}

fn release(value: &mut Value, finalizer: &str) {
    retain(value, "finalizers", |known| known != finalizer);
}

fn unblock(value: &mut Value) {
    let references = value["metadata"]["ownerReferences"].as_array_mut();
    for reference in references.into_iter().flatten() {
        reference["blockOwnerDeletion"] = false.into();
    }
}

/// Keeps some elements of a list in the metadata; an empty list is left out, as the API has it.
fn retain(value: &mut Value, member: &str, keep: impl Fn(&Value) -> bool) {
    let Some(metadata) = value["metadata"].as_object_mut() else { return };
    if let Some(list) = metadata.get_mut(member).and_then(Value::as_array_mut) {
        list.retain(keep);
        if list.is_empty() {
            metadata.remove(member);
        }
    }
}
