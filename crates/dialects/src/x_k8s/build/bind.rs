//! The patches that give a warm Sandbox to a claim, and the ones that follow.

use super::owned_by;
use crate::meta::Pairs;
use crate::x_k8s::claim_content::ContentError;
use crate::x_k8s::names::Kind;
use crate::x_k8s::types::TemplateMeta;
use crate::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, keys, metadata};
use engine::Precondition;
use serde_json::{Map, Value, json};

/// The one write that commits a warm claim, as a merge patch on the Sandbox.
///
/// It carries uid and resourceVersion, so that it is refused if anybody wrote in between: two claims can't both win, and a pool that deletes and a claim that takes
/// can't both win either.
///
/// # Errors
/// If the claim's metadata contradicts the template's.
pub fn bind(
    sandbox: &Sandbox,
    precondition: &Precondition,
    claim: &SandboxClaim,
    template: &SandboxTemplate,
) -> Result<Value, ContentError> {
    let mut pod_meta = metadata::for_claim(claim, template)?;
    let template_hash = keys::hash(&template.metadata.name);
    pod_meta.labels.insert(keys::TEMPLATE_REF_HASH.to_owned(), template_hash);
    pod_meta.labels.insert(keys::CLAIM_UID.to_owned(), claim.metadata.uid.clone());

    let mut annotations = Map::new();
    annotations.insert(keys::POD_NAME.to_owned(), json!(pod_name(sandbox)));
    if let Some(trace) = claim.metadata.annotations.get(keys::TRACE_CONTEXT) {
        annotations.insert(keys::TRACE_CONTEXT.to_owned(), json!(trace));
    }
    Ok(json!({
        "metadata": {
            "uid": precondition.uid,
            "resourceVersion": precondition.version.to_string(),
            "labels": {
                keys::POOL: null,
                keys::TEMPLATE_HASH: null,
                keys::POD_TEMPLATE_HASH: null,
                keys::LAUNCH_TYPE: "warm",
                keys::CLAIM_UID: claim.metadata.uid,
                keys::CREATED_BY: claim.metadata.labels.get(keys::CREATED_BY),
            },
            "annotations": annotations,
            "ownerReferences": [owned_by(Kind::SandboxClaim, &claim.metadata)],
        },
        "spec": {"podTemplate": {"metadata": replace_meta(&sandbox.spec.blueprint.pod_template.metadata, &pod_meta)}},
    }))
}

/// The patch that brings the pod metadata of a bound Sandbox back to what template and claim say; `None` if it is so already.
///
/// # Errors
/// If the claim's metadata contradicts the template's.
pub fn refresh(
    sandbox: &Sandbox,
    claim: &SandboxClaim,
    template: &SandboxTemplate,
) -> Result<Option<Value>, ContentError> {
    let mut wanted = metadata::for_claim(claim, template)?;
    wanted.labels.insert(keys::TEMPLATE_REF_HASH.to_owned(), keys::hash(&template.metadata.name));
    wanted.labels.insert(keys::CLAIM_UID.to_owned(), claim.metadata.uid.clone());
    let has = &sandbox.spec.blueprint.pod_template.metadata;
    if *has == wanted {
        return Ok(None);
    }
    Ok(Some(json!({
        "metadata": {"uid": sandbox.metadata.uid},
        "spec": {"podTemplate": {"metadata": replace_meta(has, &wanted)}},
    })))
}

/// The lazy patch on the claim, after it is ready: what it got, and when we first saw it and it was first ready. `None` if all is there.
pub fn annotate(
    claim: &SandboxClaim,
    sandbox: &Sandbox,
    observed: jiff::Timestamp,
    ready: jiff::Timestamp,
) -> Option<Value> {
    let has = &claim.metadata.annotations;
    let mut annotations = Map::new();
    let name = Some(&sandbox.metadata.name);
    let template = sandbox.metadata.annotations.get(keys::TEMPLATE_REF);
    for (key, value) in [(keys::SANDBOX_NAME, name), (keys::TEMPLATE_REF, template)] {
        if let Some(value) = value.filter(|value| has.get(key) != Some(value)) {
            annotations.insert(key.to_owned(), json!(value));
        }
    }
    if !has.contains_key(keys::CONTROLLER_FIRST_OBSERVED_AT) {
        annotations.insert(keys::CONTROLLER_FIRST_OBSERVED_AT.to_owned(), json!(nanos(observed)));
    }
    if !has.contains_key(keys::CLAIM_FIRST_READY_AT) {
        annotations.insert(keys::CLAIM_FIRST_READY_AT.to_owned(), json!(nanos(ready)));
    }
    (!annotations.is_empty())
        .then(|| json!({"metadata": {"uid": claim.metadata.uid, "annotations": annotations}}))
}

/// The name of the pod behind a Sandbox: its own, unless an older controller gave it another one's.
pub fn pod_name(sandbox: &Sandbox) -> &str {
    sandbox
        .metadata
        .annotations
        .get(keys::POD_NAME)
        .filter(|name| !name.is_empty())
        .unwrap_or(&sandbox.metadata.name)
}

fn nanos(time: jiff::Timestamp) -> String {
    format!("{time:.9}")
}

/// As a merge patch: what is wanted, and a null for each key that is not wanted any more.
fn replace_meta(has: &TemplateMeta, wanted: &TemplateMeta) -> Value {
    json!({"labels": replace(&has.labels, &wanted.labels), "annotations": replace(&has.annotations, &wanted.annotations)})
}

/// A merge patch from one map to another.
pub(super) fn replace(has: &Pairs, wanted: &Pairs) -> Map<String, Value> {
    let gone =
        has.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let new = wanted.iter().map(|(key, value)| (key.clone(), Value::String(value.clone())));
    gone.chain(new).collect()
}
