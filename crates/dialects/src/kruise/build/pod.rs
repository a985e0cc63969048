//! The Pod of a Sandbox: the object, whose it is, and its labels and annotations.

use super::{owned_by, volume};
use crate::kruise::names::{GROUP, Kind};
use crate::kruise::types::{PodTemplate, Sandbox, SandboxTemplate};
use crate::kruise::{keys, revision};
use crate::meta::{Meta, Pairs};
use engine::lifecycle::PodOwner;
use serde_json::{Map, Value, json};

/// Annotation of pods, ours: the labels and annotations that came from the template, as JSON lists of keys, so that one that is taken out of the template can be told
/// from what others put on the pod.
const TEMPLATE_KEYS: &str = "sandbank.agents.kruise.io/template-keys";

/// The Pod to make. It has the Sandbox's name. `None` if there is nothing to make it from.
pub fn pod(sandbox: &Sandbox, referenced: Option<&SandboxTemplate>) -> Option<Value> {
    let block = &sandbox.spec.block;
    let template = block.pod(referenced)?;
    let wanted = Wanted::of(sandbox, Some(template));
    let mut annotations = wanted.annotations;
    annotations.insert(keys::HASH_IMMUTABLE_PART.to_owned(), revision::immutable_part(block));
    let name = &sandbox.metadata.name;
    Some(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": sandbox.metadata.namespace,
            "labels": wanted.labels,
            "annotations": annotations,
            "ownerReferences": [owned_by(Kind::Sandbox, &sandbox.metadata)],
        },
        "spec": volume::mount_all(template.spec.clone(), block.volumes(referenced), name),
    }))
}

/// Whose the pod of a sandbox's name is.
pub fn owner(sandbox: &Sandbox, pod: &Meta) -> PodOwner {
    match pod.controller() {
        Some(owner) if owner.uid == sandbox.metadata.uid => PodOwner::Ours,
        Some(owner)
            if owner.is(GROUP, Kind::Sandbox.as_str()) && owner.name == sandbox.metadata.name =>
        {
            PodOwner::Previous
        }
        _ => PodOwner::Stranger,
    }
}

/// What a pod's metadata should be.
struct Wanted {
    labels: Pairs,
    annotations: Pairs,
}

impl Wanted {
    /// `template` is where the pod's own content comes from. Without one, only what the sandbox itself puts on its pod.
    fn of(sandbox: &Sandbox, template: Option<&PodTemplate>) -> Self {
        let own = &sandbox.metadata.labels;
        let mut labels = template.map(|t| t.metadata.labels.clone()).unwrap_or_default();
        let mut annotations = template.map(|t| t.metadata.annotations.clone()).unwrap_or_default();
        if !labels.is_empty() || !annotations.is_empty() {
            annotations.insert(TEMPLATE_KEYS.to_owned(), list(&labels, &annotations));
        }
        // A pod is found by its pool and by who has it, whatever its template says.
        for key in keys::ON_PODS.into_iter().chain([keys::CLAIM_NAME]) {
            if let Some(value) = own.get(key) {
                labels.insert(key.to_owned(), value.clone());
            }
        }
        let claimed = own.get(keys::CLAIMED).is_some_and(|value| value == keys::TRUE);
        if let Some(owner) = sandbox.metadata.annotations.get(keys::OWNER).filter(|_| claimed)
            && is_label_value(owner)
        {
            labels.insert(keys::OWNER.to_owned(), owner.clone());
        }
        labels.insert(keys::CREATED_BY.to_owned(), keys::CREATED_BY_SANDBOX.to_owned());
        labels.insert(keys::POD_TEMPLATE_HASH.to_owned(), sandbox.revision());
        annotations.insert(keys::CREATED_BY.to_owned(), keys::CREATED_BY_SANDBOX.to_owned());
        Self { labels, annotations }
    }
}

/// What to set and to remove (`null`) among a pod's labels and annotations; empty if they are right. What others put there stays.
pub(super) fn changes(sandbox: &Sandbox, pod: &Meta) -> Map<String, Value> {
    let template = sandbox.spec.block.template.as_ref();
    let wanted = Wanted::of(sandbox, template);
    let propagated = pod.annotations.get(TEMPLATE_KEYS).filter(|_| template.is_some());
    let propagated: Value =
        propagated.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut changes = Map::new();
    for (field, has, wanted) in [
        ("labels", &pod.labels, &wanted.labels),
        ("annotations", &pod.annotations, &wanted.annotations),
    ] {
        let mut differences: Map<String, Value> = wanted
            .iter()
            .filter(|(key, value)| has.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let gone = propagated[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        for key in gone.filter(|key| has.contains_key(*key) && !wanted.contains_key(*key)) {
            differences.insert(key.to_owned(), Value::Null);
        }
        if !differences.is_empty() {
            changes.insert(field.to_owned(), Value::Object(differences));
        }
    }
    changes
}

/// The merge patch that puts a pod's labels and annotations right; `None` if they are.
pub fn sync(sandbox: &Sandbox, pod: &Meta) -> Option<Value> {
    let mut metadata = changes(sandbox, pod);
    if metadata.is_empty() {
        return None;
    }
    metadata.insert("uid".to_owned(), json!(pod.uid));
    Some(json!({ "metadata": metadata }))
}

fn list(labels: &Pairs, annotations: &Pairs) -> String {
    let keys = |pairs: &Pairs| pairs.keys().cloned().collect::<Vec<_>>();
    json!({"labels": keys(labels), "annotations": keys(annotations)}).to_string()
}

/// An owner may be any word that a front knows its users by, and not every word can be a label.
fn is_label_value(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(inner)
        && outer(text.chars().next())
        && outer(text.chars().next_back())
}
