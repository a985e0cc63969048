//! A warm Sandbox of a set.

use super::owned_by;
use crate::kruise::keys;
use crate::kruise::names::{API_VERSION, Kind};
use crate::kruise::revision::{self, SetRevision};
use crate::kruise::types::{SandboxSet, SandboxTemplate, TemplateBlock};
use crate::meta::Pairs;
use serde_json::{Map, Value, json};

/// The Sandbox that `set` keeps under `name`. All that it will ever carry while it is warm is written at once, so that no second write has to add it.
///
/// Its pod carries the labels that say whose it is as well ([`keys::ON_PODS`]); they are taken from here when the pod is made, since a template that is only referred to
/// has no place for them.
pub fn member(
    set: &SandboxSet,
    referenced: Option<&SandboxTemplate>,
    revision: &SetRevision,
    name: &str,
) -> Value {
    let block = spec(&set.spec.block);
    let own = set.spec.block.pod(referenced).map(|pod| &pod.metadata);
    let mut labels = own.map(|meta| allowed(&meta.labels)).unwrap_or_default();
    let template = set.template_name().unwrap_or(&set.metadata.name);
    for (key, value) in [
        (keys::POOL, set.metadata.name.as_str()),
        (keys::TEMPLATE, template),
        (keys::CLAIMED, keys::FALSE),
        (keys::TEMPLATE_HASH, &revision.shown),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let mut annotations = own.map(|meta| allowed(&meta.annotations)).unwrap_or_default();
    annotations.insert(keys::HASH_IMMUTABLE_PART.to_owned(), revision::immutable_part(&block));
    if block.template_ref.is_some() {
        annotations.insert(keys::TEMPLATE_DIGEST.to_owned(), revision.meaning.to_string());
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": Kind::Sandbox.as_str(),
        "metadata": {
            "name": name,
            "namespace": set.metadata.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owned_by(Kind::SandboxSet, &set.metadata)],
        },
        "spec": block,
    })
}

/// What a sandbox of the set is made from: what the set says, without the keys by which the controllers speak to each other, and without a token of the cluster that
/// nobody asked for, since code of strangers runs beside it.
fn spec(block: &TemplateBlock) -> TemplateBlock {
    let mut block = block.clone();
    if let Some(template) = &mut block.template {
        template.metadata.labels = allowed(&template.metadata.labels);
        template.metadata.annotations = allowed(&template.metadata.annotations);
        if let Value::Object(spec) = &mut template.spec {
            without_token(spec);
        }
    }
    block
}

/// What a template may hand on to a sandbox.
fn allowed(pairs: &Pairs) -> Pairs {
    pairs
        .iter()
        .filter(|(key, _)| !keys::is_internal(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Says that no token is mounted, where nothing is said.
pub fn without_token(pod_spec: &mut Map<String, Value>) {
    let said = pod_spec.get("automountServiceAccountToken").is_some_and(|said| !said.is_null());
    if !said {
        pod_spec.insert("automountServiceAccountToken".to_owned(), Value::Bool(false));
    }
}
