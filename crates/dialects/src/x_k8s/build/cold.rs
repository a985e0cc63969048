//! A Sandbox started for a claim.

use super::{owned_by, secure};
use crate::x_k8s::claim_content::ContentError;
use crate::x_k8s::names::Kind;
use crate::x_k8s::options::Options;
use crate::x_k8s::{SandboxClaim, SandboxTemplate, env, keys, metadata, volumes};
use serde_json::{Map, Value, json};

/// The Sandbox of the claim's own name.
///
/// # Errors
/// If the claim asks for something that the template does not allow. Asking for the claim's content first says the same.
pub fn cold(
    claim: &SandboxClaim,
    template: &SandboxTemplate,
    options: &Options,
) -> Result<Value, ContentError> {
    let blueprint = &template.spec.blueprint;
    let mut pod_meta = metadata::for_claim(claim, template)?;
    let template_hash = keys::hash(&template.metadata.name);
    pod_meta.labels.insert(keys::TEMPLATE_REF_HASH.to_owned(), template_hash.clone());
    pod_meta.labels.insert(keys::CLAIM_UID.to_owned(), claim.metadata.uid.clone());

    let mut pod_spec = secure::pod_spec(template, options);
    env::inject(
        &mut pod_spec,
        &claim.spec.env,
        template.spec.env_vars_injection_policy.unwrap_or_default(),
    )?;
    let volumes = volumes::merge(
        blueprint.volume_claim_templates.as_deref(),
        &claim.spec.volume_claim_templates,
        template.spec.volume_claim_templates_policy.unwrap_or_default(),
    )?;

    let mut spec = Map::new();
    spec.insert("podTemplate".to_owned(), json!({"metadata": pod_meta, "spec": pod_spec}));
    if !volumes.is_empty() {
        spec.insert("volumeClaimTemplates".to_owned(), json!(volumes));
    }
    if let Some(service) = blueprint.service {
        spec.insert("service".to_owned(), Value::Bool(service));
    }
    let mut labels = json!({
        keys::CLAIM_UID: claim.metadata.uid,
        keys::LAUNCH_TYPE: "cold",
        keys::TEMPLATE_REF_HASH: template_hash,
    });
    if let Some(client) = claim.metadata.labels.get(keys::CREATED_BY) {
        labels[keys::CREATED_BY] = json!(client);
    }
    let mut annotations =
        json!({keys::TEMPLATE_REF: template.metadata.name, keys::POD_NAME: claim.metadata.name});
    if let Some(trace) = claim.metadata.annotations.get(keys::TRACE_CONTEXT) {
        annotations[keys::TRACE_CONTEXT] = json!(trace);
    }
    Ok(json!({
        "apiVersion": Kind::Sandbox.api_version(),
        "kind": Kind::Sandbox.as_str(),
        "metadata": {
            "name": claim.metadata.name,
            "namespace": claim.metadata.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owned_by(Kind::SandboxClaim, &claim.metadata)],
        },
        "spec": spec,
    }))
}
