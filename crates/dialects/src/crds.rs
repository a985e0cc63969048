//! The definitions of all families.

use serde_json::Value;

use crate::{kruise, x_k8s};

/// Every CustomResourceDefinition that a server needs to speak all families, family by family.
pub fn crds() -> Vec<Value> {
    x_k8s::crds::crds().into_iter().chain(kruise::crds::crds()).collect()
}
