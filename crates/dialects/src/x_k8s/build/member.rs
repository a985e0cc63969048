//! A warm Sandbox of a pool.

use super::{owned_by, secure};
use crate::x_k8s::names::Kind;
use crate::x_k8s::options::Options;
use crate::x_k8s::{SandboxTemplate, SandboxWarmPool, keys, revision};
use serde_json::{Map, Value, json};

/// The Sandbox that `pool` keeps under `name`. Its pod's name is written with it, so that no second write has to say it.
pub fn member(
    pool: &SandboxWarmPool,
    template: &SandboxTemplate,
    name: &str,
    options: &Options,
) -> Value {
    let pool_hash = keys::hash(&pool.metadata.name);
    let template_hash = keys::hash(&template.metadata.name);
    let blueprint_hash = revision::blueprint_label(template, options);
    let pod_template_hash = revision::pod_template_label(&template.spec.blueprint.pod_template);
    let blueprint = &template.spec.blueprint;

    let mut pod_meta = blueprint.pod_template.metadata.clone();
    for (key, value) in [
        (keys::POOL, &pool_hash),
        (keys::TEMPLATE_REF_HASH, &template_hash),
        (keys::TEMPLATE_HASH, &blueprint_hash),
        (keys::POD_TEMPLATE_HASH, &pod_template_hash),
    ] {
        pod_meta.labels.insert(key.to_owned(), value.clone());
    }
    if options.evictable {
        pod_meta
            .annotations
            .entry(keys::SAFE_TO_EVICT.to_owned())
            .or_insert_with(|| "true".to_owned());
    }

    let mut spec = Map::new();
    spec.insert(
        "podTemplate".to_owned(),
        json!({"metadata": pod_meta, "spec": secure::pod_spec(template, options)}),
    );
    if let Some(volumes) = &blueprint.volume_claim_templates {
        spec.insert("volumeClaimTemplates".to_owned(), json!(volumes));
    }
    if let Some(service) = blueprint.service {
        spec.insert("service".to_owned(), Value::Bool(service));
    }
    json!({
        "apiVersion": Kind::Sandbox.api_version(),
        "kind": Kind::Sandbox.as_str(),
        "metadata": {
            "name": name,
            "namespace": pool.metadata.namespace,
            "labels": {
                keys::POOL: pool_hash,
                keys::TEMPLATE_REF_HASH: template_hash,
                keys::LAUNCH_TYPE: "warm",
                keys::TEMPLATE_HASH: blueprint_hash,
                keys::POD_TEMPLATE_HASH: pod_template_hash,
                keys::CREATED_BY: "controller",
            },
            "annotations": {
                keys::TEMPLATE_REF: template.metadata.name,
                keys::POD_NAME: name,
            },
            "ownerReferences": [owned_by(Kind::SandboxWarmPool, &pool.metadata)],
        },
        "spec": spec,
    })
}

/// The patch that makes a pool the owner of an orphan.
pub fn adopt(pool: &SandboxWarmPool, precondition: &engine::Precondition) -> Value {
    json!({"metadata": {
        "uid": precondition.uid,
        "resourceVersion": precondition.version.to_string(),
        "ownerReferences": [owned_by(Kind::SandboxWarmPool, &pool.metadata)],
        "labels": {keys::LAUNCH_TYPE: "warm"},
    }})
}
