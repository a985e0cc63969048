//! The SandboxTemplate in which a set writes down what its sandboxes are.

use super::owned_by;
use crate::kruise::keys;
use crate::kruise::names::{API_VERSION, Kind};
use crate::kruise::revision::{self, SetRevision};
use crate::kruise::types::SandboxSet;
use crate::meta::OwnerReference;
use serde_json::{Value, json};

/// The SandboxTemplate of a set's present revision. It follows the set into the grave and holds nobody up there.
pub fn template(set: &SandboxSet, revision: &SetRevision) -> Value {
    let owner = OwnerReference {
        block_owner_deletion: Some(false),
        ..owned_by(Kind::SandboxSet, &set.metadata)
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": Kind::SandboxTemplate.as_str(),
        "metadata": {
            "name": revision::template_name(&set.metadata.name, &revision.shown),
            "namespace": set.metadata.namespace,
            "labels": {keys::POOL: set.metadata.name, keys::TEMPLATE_HASH: revision.shown},
            "ownerReferences": [owner],
        },
        "spec": set.spec.block,
    })
}
