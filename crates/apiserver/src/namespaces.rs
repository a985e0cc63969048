//! Namespaces from their first object to their last.
//!
//! A few namespaces are always there. Each one is given what pods and charts expect in it: a ServiceAccount `default` and the
//! authority's certificate. One that is being deleted is emptied, pods first, and says in its conditions what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    clock::rfc3339_seconds,
    kinds::{Scope, Served},
    loops::{self, Ended, Retries},
    object::{Draft, Key, Object, ResourceId},
    rest::{
        DeleteOptions, Effectiveness, FieldValidation, Propagation, WriteOptions, create_decoded,
        delete_object, namespace_key, nothing_holds,
    },
    schema::decode::Decoded,
    server::Api,
    status::ApiError,
    store::{Change, Effect, Operation, Query, WriteError},
};

/// There from the start, and made again if somebody manages to remove one.
const ALWAYS: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// The finalizer in a namespace's spec that stands for this loop.
const OURS: &str = "kubernetes";

const SERVICE_ACCOUNT: &str = "default";
const ROOT_CERTIFICATE: &str = "kube-root-ca.crt";

/// Deletions under way at once: what one commit of the store takes.
const IN_FLIGHT: usize = 256;

/// Makes the namespaces that are always there, with what belongs in them. A server is not ready before that.
pub(crate) async fn prepare(api: &Api) -> Result<(), ApiError> {
    for name in ALWAYS {
        ensure(api, &namespace_key(name), namespace(name)).await?;
        furnish(api, name).await?;
    }
    Ok(())
}

/// Looks after namespaces until the server stops.
pub(crate) async fn run(api: Api) {
    loops::run(api, "the namespace loop", look_after).await;
}

async fn look_after(api: &Api) -> Ended {
    let mut feed = api.store.feed();
    let resource = ResourceId::new("", "namespaces");
    let there = api.store.list(&Query::all(&resource)).items;
    let mut leaving = Leaving::default();
    let mut dirty = BTreeSet::new();
    for namespace in &there {
        leaving.note(namespace, Effect::Written);
        dirty.insert(namespace.meta().name.clone());
    }
    let mut retries = Retries::new();
    loop {
        match feed.ready() {
            Ok(changes) => {
                dirty.extend(changes.iter().filter_map(|change| leaving.concerns(change)));
            }
            Err(_) => return Ended::FellBehind,
        }
        let Some(name) = dirty.pop_first() else {
            tokio::select! {
                biased;
                open = feed.wait() => if !open { return Ended::StoreClosed },
                () = retries.wait() => dirty.extend(retries.due(Instant::now())),
            }
            continue;
        };
        let outcome = match api.store.get(&namespace_key(&name)) {
            None if ALWAYS.contains(&name.as_str()) => prepare(api).await,
            None => Ok(()),
            Some(namespace) if namespace.meta().is_deleting() => empty(api, &namespace).await,
            Some(_) => furnish(api, &name).await,
        };
        match outcome {
            Ok(()) => retries.worked(&name),
            Err(error) => {
                tracing::warn!(namespace = name, %error, "can't look after a namespace; trying again later");
                retries.failed(name, Instant::now());
            }
        }
    }
}

/// The namespaces being deleted: what happens inside them matters, in all others hardly anything does.
#[derive(Default)]
struct Leaving(BTreeSet<String>);

impl Leaving {
    fn note(&mut self, namespace: &Object, effect: Effect) {
        let meta = namespace.meta();
        if effect == Effect::Written && meta.is_deleting() {
            self.0.insert(meta.name.clone());
        } else {
            self.0.remove(&meta.name);
        }
    }

    /// The namespace that has to be looked at because of a change.
    fn concerns(&mut self, change: &Change) -> Option<String> {
        let Key { resource, namespace, name } = &change.key;
        if is_namespace(&change.key) {
            self.note(&change.new, change.effect);
            return Some(name.clone());
        }
        let furniture = change.effect == Effect::Removed
            && resource.group.is_empty()
            && matches!(
                (&*resource.plural, name.as_str()),
                ("serviceaccounts", SERVICE_ACCOUNT) | ("configmaps", ROOT_CERTIFICATE)
            );
        (furniture || self.0.contains(namespace)).then(|| namespace.clone())
    }
}

/// Puts into a namespace what belongs in every one.
async fn furnish(api: &Api, namespace: &str) -> Result<(), ApiError> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": namespace},
    });
    ensure(api, &key("serviceaccounts", namespace, SERVICE_ACCOUNT), account).await?;
    let Some(certificate) = &api.root_certificate else { return Ok(()) };
    let certificate = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CERTIFICATE,
            "namespace": namespace,
            "annotations": {
                "kubernetes.io/description":
                    "Holds the certificate authority that the API server's certificate is checked with.",
            },
        },
        "data": {"ca.crt": certificate},
    });
    ensure(api, &key("configmaps", namespace, ROOT_CERTIFICATE), certificate).await
}

/// Creates an object unless it is there. A namespace that goes meanwhile needs nothing any more.
async fn ensure(api: &Api, key: &Key, value: Value) -> Result<(), ApiError> {
    if api.store.get(key).is_some() {
        return Ok(());
    }
    let Some(served) = served(api, &key.resource) else { return Ok(()) };
    let decoded = Decoded { value, duplicates: Vec::new() };
    let options =
        WriteOptions { effectiveness: Effectiveness::Real, validation: FieldValidation::Ignore };
    match create_decoded(api, &served, &key.namespace, &key.name, decoded, &options).await {
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.code,
                StatusCode::CONFLICT | StatusCode::NOT_FOUND | StatusCode::FORBIDDEN
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Deletes what is inside a namespace, pods before all else, and lets go of the namespace once it is empty.
///
/// Each call takes one step; what it changed brings the namespace back for the next.
async fn empty(api: &Api, namespace: &Object) -> Result<(), ApiError> {
    let contents = contents(api, &namespace.meta().name);
    if contents.is_empty() {
        return edit(api, namespace, |value| {
            if let Some(finalizers) = value["spec"]["finalizers"].as_array_mut() {
                finalizers.retain(|finalizer| finalizer != OURS);
            }
        })
        .await;
    }
    // Pods may need their volumes, secrets and accounts until they have ended.
    let first: Vec<_> = match contents.get(&ResourceId::new("", "pods")) {
        Some(pods) => vec![pods],
        None => contents.values().collect(),
    };
    let doomed: Vec<(Served, Object)> = first
        .into_iter()
        .flat_map(|(served, objects)| objects.iter().map(|object| (served.clone(), object.clone())))
        .filter(|(_, object)| !object.meta().is_deleting())
        .collect();
    let is_stuck = doomed.is_empty();
    let failure = stream::iter(doomed)
        .map(|(served, object)| delete(api, served, object))
        .buffer_unordered(IN_FLIGHT)
        .fold(None, |first, outcome| async move { first.or(outcome.err()) })
        .await;
    if is_stuck || failure.is_some() {
        let now = rfc3339_seconds(api.clock.now());
        let report = conditions(&contents, failure.as_ref());
        edit(api, namespace, |value| tell(value, &report, &now)).await?;
    }
    failure.map_or(Ok(()), Err)
}

type Contents = BTreeMap<ResourceId, (Served, Vec<Object>)>;

/// What is inside a namespace, by resource; resources without objects are left out.
fn contents(api: &Api, namespace: &str) -> Contents {
    let kinds = api.kinds.now();
    kinds
        .iter()
        .filter(|kind| kind.scope == Scope::Namespaced)
        .filter_map(|kind| Some((kind.resource().clone(), Served::stored(kind)?)))
        .map(|(resource, served)| {
            let objects = api.store.list(&Query::within(&resource, namespace)).items;
            (resource, (served, objects))
        })
        .filter(|(_, (_, objects))| !objects.is_empty())
        .collect()
}

async fn delete(api: &Api, served: Served, object: Object) -> Result<(), ApiError> {
    let meta = object.meta();
    let key = served.key(&meta.namespace, &meta.name);
    let options = DeleteOptions {
        propagation: Some(Propagation::Background),
        uid: Some(meta.uid.clone()),
        ..DeleteOptions::default()
    };
    match delete_object(api, &served, &key, &options).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code, StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Type, whether it holds, reason, message.
type Condition = (&'static str, bool, &'static str, String);

/// What a namespace that can't go yet says about it.
fn conditions(contents: &Contents, failure: Option<&ApiError>) -> Vec<Condition> {
    let all = |what: &str| what.to_owned();
    let remaining: Vec<String> = contents
        .iter()
        .map(|(resource, (_, objects))| {
            format!(
                "{}.{} has {} resource instances",
                resource.plural,
                resource.group,
                objects.len()
            )
        })
        .collect();
    let mut finalizers: BTreeMap<&str, usize> = BTreeMap::new();
    for object in contents.values().flat_map(|(_, objects)| objects) {
        for finalizer in &object.meta().finalizers {
            *finalizers.entry(finalizer).or_default() += 1;
        }
    }
    let finalizers: Vec<String> = finalizers
        .iter()
        .map(|(name, count)| format!("{name} in {count} resource instances"))
        .collect();
    vec![
        (
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            all("All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            false,
            "ParsedGroupVersions",
            all("All legacy kube types successfully parsed"),
        ),
        match failure {
            Some(error) => (
                "NamespaceDeletionContentFailure",
                true,
                "ContentDeletionFailed",
                format!("Failed to delete all resource types: {error}"),
            ),
            None => (
                "NamespaceDeletionContentFailure",
                false,
                "ContentDeleted",
                all("All content successfully deleted, may be waiting on finalization"),
            ),
        },
        (
            "NamespaceContentRemaining",
            true,
            "SomeResourcesRemain",
            format!("Some resources are remaining: {}", remaining.join(", ")),
        ),
        if finalizers.is_empty() {
            (
                "NamespaceFinalizersRemaining",
                false,
                "ContentHasNoFinalizers",
                all("All content-preserving finalizers finished"),
            )
        } else {
            (
                "NamespaceFinalizersRemaining",
                true,
                "SomeFinalizersRemain",
                format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    finalizers.join(", ")
                ),
            )
        },
    ]
}

/// Writes conditions into a namespace; the time of one changes only with its status.
fn tell(value: &mut Value, report: &[Condition], now: &str) {
    let before = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let after: Vec<Value> = report
        .iter()
        .map(|(kind, holds, reason, message)| {
            let status = if *holds { "True" } else { "False" };
            let since = before
                .iter()
                .find(|known| known["type"] == *kind && known["status"] == status)
                .and_then(|known| known["lastTransitionTime"].as_str())
                .unwrap_or(now);
            json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": since,
            })
        })
        .collect();
    value["status"]["conditions"] = after.into();
}

/// Changes a namespace in the state that was looked at. A lost race brings it back to attention.
async fn edit(
    api: &Api,
    namespace: &Object,
    change: impl FnOnce(&mut Value),
) -> Result<(), ApiError> {
    let key = namespace_key(&namespace.meta().name);
    let expected = namespace.revision();
    let mut value = namespace.value();
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

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn key(plural: &str, namespace: &str, name: &str) -> Key {
    Key::new(ResourceId::new("", plural), namespace, name)
}

fn is_namespace(key: &Key) -> bool {
    key.resource.group.is_empty() && &*key.resource.plural == "namespaces"
}

fn served(api: &Api, resource: &ResourceId) -> Option<Served> {
    api.kinds.now().resource(&resource.group, &resource.plural).and_then(Served::stored)
}

#[cfg(test)]
mod tests;
