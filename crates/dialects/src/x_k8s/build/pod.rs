//! The Pod of a Sandbox: the object, the view of one that exists, and the patches between.

use super::{bind, owned_by, volume};
use crate::meta::{Meta, Pairs};
use crate::pod::Pod;
use crate::x_k8s::names::{EXTENSIONS, Kind};
use crate::x_k8s::{Sandbox, keys};
use engine::Precondition;
use engine::sandbox::{Drift, Ownership, PodView};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The Pod to make. It has the Sandbox's name.
pub fn pod(sandbox: &Sandbox) -> Value {
    let wanted = Wanted::of(sandbox);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": sandbox.metadata.name,
            "namespace": sandbox.metadata.namespace,
            "labels": wanted.labels,
            "annotations": wanted.annotations,
            "ownerReferences": [owned_by(Kind::Sandbox, &sandbox.metadata)],
        },
        "spec": volume::mount_all(sandbox),
    })
}

/// An existing pod as the engine sees it.
pub fn view(sandbox: &Sandbox, pod: &Pod) -> PodView {
    PodView {
        key: pod.metadata.key(),
        precondition: pod.metadata.precondition(),
        ownership: ownership(sandbox, &pod.metadata),
        leaving: pod.metadata.is_leaving(),
        phase: pod.phase(),
        ready: pod.is_ready(),
        ips: pod.ips(),
        node: pod.node(),
        scheduled: pod.scheduled(),
        metadata: match changes(sandbox, &pod.metadata) {
            Some(_) => Drift::Differs,
            None => Drift::None,
        },
    }
}

/// Who owns an object that could be a Sandbox's child. An unowned one may be taken over if its user says so or if it carries our tracking label already.
pub fn ownership(sandbox: &Sandbox, child: &Meta) -> Ownership {
    match child.controller() {
        Some(owner) if owner.uid == sandbox.metadata.uid => Ownership::Ours,
        Some(_) => Ownership::Foreign,
        None => {
            let permitted = child.labels.get(keys::ADOPTABLE).is_some_and(|value| value == "true");
            let tracked =
                child.labels.get(keys::NAME_HASH) == Some(&keys::hash(&sandbox.metadata.name));
            if permitted || tracked { Ownership::Adoptable } else { Ownership::Unowned }
        }
    }
}

/// The patch that puts a pod's labels and annotations right; `None` if they are. The spec of a pod is never touched.
pub fn sync(sandbox: &Sandbox, pod: &Meta) -> Option<Value> {
    let mut patch = changes(sandbox, pod)?;
    patch["metadata"]["uid"] = json!(pod.uid);
    Some(patch)
}

/// The patch that makes a Sandbox the owner of an unowned child, and puts a tracking label on it.
pub fn adopt(sandbox: &Sandbox, precondition: &Precondition) -> Value {
    json!({"metadata": {
        "uid": precondition.uid,
        "resourceVersion": precondition.version.to_string(),
        "labels": {keys::NAME_HASH: keys::hash(&sandbox.metadata.name)},
        "ownerReferences": [owned_by(Kind::Sandbox, &sandbox.metadata)],
    }})
}

/// What a pod's metadata should be.
struct Wanted {
    labels: Pairs,
    annotations: Pairs,
}

impl Wanted {
    fn of(sandbox: &Sandbox) -> Self {
        let template = &sandbox.spec.blueprint.pod_template.metadata;
        let mut labels: Pairs = pairs(&template.labels, |key| !keys::is_reserved(key));
        let mut annotations: Pairs = pairs(&template.annotations, |key| {
            !keys::is_reserved(key) && key != keys::TRACE_CONTEXT
        });
        // The lists name what came from the template, so that it can be told later from what others put on the pod.
        for (list, from) in [
            (keys::PROPAGATED_LABELS, list(&labels)),
            (keys::PROPAGATED_ANNOTATIONS, list(&annotations)),
        ] {
            if !from.is_empty() {
                annotations.insert(list.to_owned(), from);
            }
        }
        labels.insert(keys::NAME_HASH.to_owned(), keys::hash(&sandbox.metadata.name));
        let controller = sandbox.metadata.controller();
        let of_pool = controller.is_some_and(|owner| owner.is(EXTENSIONS, "SandboxWarmPool"));
        let of_claim = controller.is_some_and(|owner| owner.is(EXTENSIONS, "SandboxClaim"));
        let own = &sandbox.metadata.labels;
        if let Some(value) = own.get(keys::POOL).filter(|_| of_pool) {
            labels.insert(keys::POOL.to_owned(), value.clone());
        }
        if let Some(value) = own.get(keys::TEMPLATE_REF_HASH).filter(|_| of_pool || of_claim) {
            labels.insert(keys::TEMPLATE_REF_HASH.to_owned(), value.clone());
        }
        // So that a network policy or a lookup can tell one claim's pod from the others.
        if let Some(value) = own.get(keys::CLAIM_UID).filter(|_| of_claim) {
            labels.insert(keys::CLAIM_UID.to_owned(), value.clone());
        }
        if let Some(value) = own.get(keys::CREATED_BY) {
            labels
                .insert(keys::CREATED_BY.to_owned(), keys::normalise_created_by(value).to_owned());
        }
        Self { labels, annotations }
    }
}

/// A merge patch for what differs.
fn changes(sandbox: &Sandbox, pod: &Meta) -> Option<Value> {
    let wanted = Wanted::of(sandbox);
    let ours = [keys::POOL, keys::TEMPLATE_REF_HASH, keys::CLAIM_UID, keys::CREATED_BY];
    let labels =
        differences(&pod.labels, &wanted.labels, &propagated(pod, keys::PROPAGATED_LABELS), &ours);
    let lists = [keys::PROPAGATED_LABELS, keys::PROPAGATED_ANNOTATIONS];
    let annotations = differences(
        &pod.annotations,
        &wanted.annotations,
        &propagated(pod, keys::PROPAGATED_ANNOTATIONS),
        &lists,
    );
    if labels.is_empty() && annotations.is_empty() {
        return None;
    }
    let mut metadata = json!({});
    if !labels.is_empty() {
        metadata["labels"] = json!(labels);
    }
    if !annotations.is_empty() {
        metadata["annotations"] = json!(annotations);
    }
    Some(json!({"metadata": metadata}))
}

/// What to set, and what to remove: keys that we once put there and that are not wanted any more. What others put there stays.
fn differences(
    has: &Pairs,
    wanted: &Pairs,
    propagated: &BTreeSet<String>,
    ours: &[&str],
) -> serde_json::Map<String, Value> {
    let removable: Pairs = pairs(has, |key| propagated.contains(key) || ours.contains(&key));
    bind::replace(&removable, wanted)
        .into_iter()
        .filter(|(key, value)| has.get(key).map(String::as_str) != value.as_str())
        .collect()
}

fn propagated(pod: &Meta, list: &str) -> BTreeSet<String> {
    let text = pod.annotations.get(list).map_or("", String::as_str);
    // A reserved key in the list was put there by somebody else, to make us remove it.
    text.split(',')
        .filter(|key| !key.is_empty() && !keys::is_reserved(key))
        .map(str::to_owned)
        .collect()
}

fn pairs(from: &Pairs, keep: impl Fn(&str) -> bool) -> Pairs {
    from.iter()
        .filter(|(key, _)| keep(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn list(pairs: &Pairs) -> String {
    pairs.keys().map(String::as_str).collect::<Vec<_>>().join(",")
}
