//! The volume claims of a Sandbox, and how its pod mounts them.

use super::owned_by;
use crate::x_k8s::names::Kind;
use crate::x_k8s::types::VolumeClaimTemplate;
use crate::x_k8s::{Sandbox, keys};
use serde_json::{Value, json};

/// The name of a volume claim.
pub fn name(template: &str, sandbox: &str) -> String {
    format!("{template}-{sandbox}")
}

/// The template of the volume claim of this name.
pub fn template<'a>(sandbox: &'a Sandbox, claim: &str) -> Option<&'a VolumeClaimTemplate> {
    sandbox
        .volumes()
        .iter()
        .find(|template| name(&template.metadata.name, &sandbox.metadata.name) == claim)
}

/// The PersistentVolumeClaim to make. It outlives the pod, and goes with the Sandbox.
pub fn volume_claim(sandbox: &Sandbox, template: &VolumeClaimTemplate) -> Value {
    let mut labels = template.metadata.labels.clone();
    labels.insert(keys::NAME_HASH.to_owned(), keys::hash(&sandbox.metadata.name));
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name(&template.metadata.name, &sandbox.metadata.name),
            "namespace": sandbox.metadata.namespace,
            "labels": labels,
            "annotations": template.metadata.annotations,
            "ownerReferences": [owned_by(Kind::Sandbox, &sandbox.metadata)],
        },
        "spec": template.spec,
    })
}

/// The Sandbox's pod spec with its volume claims as volumes. One of the same name takes the place of a volume that the spec brings.
pub fn mount_all(sandbox: &Sandbox) -> Value {
    let mut spec = sandbox.spec.blueprint.pod_template.spec.clone();
    let templates = sandbox.volumes();
    let Some(members) = spec.as_object_mut().filter(|_| !templates.is_empty()) else { return spec };
    let volumes = members.entry("volumes").or_insert_with(|| json!([]));
    if !volumes.is_array() {
        *volumes = json!([]);
    }
    if let Some(volumes) = volumes.as_array_mut() {
        for template in templates {
            let own = &template.metadata.name;
            volumes.retain(|volume| volume["name"].as_str() != Some(own));
            let claim = name(own, &sandbox.metadata.name);
            volumes.push(json!({"name": own, "persistentVolumeClaim": {"claimName": claim}}));
        }
    }
    spec
}
