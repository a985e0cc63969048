//! The volume claims of a Sandbox, and how its pod mounts them.

use super::owned_by;
use crate::kruise::keys;
use crate::kruise::names::Kind;
use crate::kruise::types::{Sandbox, VolumeClaimTemplate};
use serde_json::{Value, json};

/// The name of a volume claim.
pub fn name(template: &str, sandbox: &str) -> String {
    format!("{template}-{sandbox}")
}

/// The PersistentVolumeClaim to make. It outlives the pod, and goes with the Sandbox.
pub fn volume_claim(sandbox: &Sandbox, template: &VolumeClaimTemplate) -> Value {
    let mut labels = template.metadata.labels.clone();
    labels.insert(keys::CREATED_BY.to_owned(), keys::CREATED_BY_SANDBOX.to_owned());
    labels.insert(keys::SANDBOX_NAME.to_owned(), label_value(&sandbox.metadata.name));
    let mut spec = template.spec.clone();
    if let Some(members) = spec.as_object_mut() {
        // What a template that names no mode always meant in this family.
        members.entry("accessModes").or_insert_with(|| json!(["ReadWriteOnce"]));
    }
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
        "spec": spec,
    })
}

/// As much of a name as fits into a label: it is there to be watched for, whose the volume is its owner reference says.
fn label_value(name: &str) -> String {
    let short: String = name.chars().take(63).collect();
    short.trim_end_matches(['-', '.', '_']).to_owned()
}

/// A pod spec with the volume claims as volumes. One of the same name takes the place of a volume that the spec brings.
pub(super) fn mount_all(
    mut spec: Value,
    templates: &[VolumeClaimTemplate],
    sandbox: &str,
) -> Value {
    let Some(members) = spec.as_object_mut().filter(|_| !templates.is_empty()) else { return spec };
    let volumes = members.entry("volumes").or_insert_with(|| json!([]));
    if !volumes.is_array() {
        *volumes = json!([]);
    }
    if let Some(volumes) = volumes.as_array_mut() {
        for template in templates {
            let own = &template.metadata.name;
            volumes.retain(|volume| volume["name"].as_str() != Some(own));
            let claim = name(own, sandbox);
            volumes.push(json!({"name": own, "persistentVolumeClaim": {"claimName": claim}}));
        }
    }
    spec
}
