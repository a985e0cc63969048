//! The definitions of the family, to install in a cluster.
//!
//! No webhook stands behind them: defaults are in the schemas, rules are in CEL, and what neither can tell the controllers say in a condition. What we add to
//! the family is additive.

mod claim;
mod sandbox;
mod set;
mod template;
mod template_block;

use super::names::{GROUP, Kind, VERSION};
use serde_json::{Value, json};

/// All of them, in the order in which they are best read.
pub fn crds() -> Vec<Value> {
    vec![set::crd(), sandbox::crd(), claim::crd(), template::crd()]
}

/// What a kind is made of.
struct Parts {
    /// One sentence.
    about: &'static str,
    /// The schema of `spec`.
    spec: Value,
    /// The schema of `status`, for kinds that have one.
    status: Option<Value>,
    /// The `scale` subresource, for kinds that have one.
    scale: Option<Value>,
    /// Columns beyond the name.
    columns: Value,
}

fn definition(kind: Kind, parts: Parts) -> Value {
    let mut properties = json!({
        "apiVersion": {"type": "string", "description": "The group and version of this object."},
        "kind": {"type": "string", "description": "The kind of this object."},
        "metadata": {"type": "object"},
        "spec": parts.spec,
    });
    let mut subresources = json!({});
    if let Some(status) = parts.status {
        properties["status"] = status;
        subresources["status"] = json!({});
    }
    if let Some(scale) = parts.scale {
        subresources["scale"] = scale;
    }
    let mut version = json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": {
            "type": "object",
            "description": parts.about,
            "required": ["spec"],
            "properties": properties,
        }},
        "additionalPrinterColumns": parts.columns,
    });
    if subresources.as_object().is_some_and(|subresources| !subresources.is_empty()) {
        version["subresources"] = subresources;
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", kind.plural())},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.as_str(),
                "listKind": format!("{}List", kind.as_str()),
                "plural": kind.plural(),
                "singular": kind.singular(),
                "shortNames": [kind.short()],
            },
            "versions": [version],
        },
    })
}
