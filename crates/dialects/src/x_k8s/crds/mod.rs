//! The definitions of the four kinds, to install in a cluster.
//!
//! Written here as data, each kind in a file of its own; the embedded core schemas (pod spec, volume claim spec, network rules) come from one data file, so that
//! pruning, defaults and list keys are those of Kubernetes. What we add to the family (`rollingUpdate`, conditions of pools) is additive and in both versions.

mod claim;
mod pool;
mod sandbox;
mod schema;
mod template;

use super::names::{Kind, V1ALPHA1, V1BETA1};
use crate::schema::{age_column, column};
use serde_json::{Value, json};

/// All four, in the order in which they are best read.
pub fn crds() -> Vec<Value> {
    vec![sandbox::crd(), template::crd(), pool::crd(), claim::crd()]
}

/// One served version.
struct Version {
    /// The properties of `spec`.
    spec: Value,
    /// The schema of `status`, for kinds that have one.
    status: Option<Value>,
    /// The `subresources` stanza.
    subresources: Option<Value>,
    /// Columns beyond the name.
    columns: Value,
}

/// A definition with both versions. v1beta1 comes first: it is what clients that do not choose get.
fn definition(kind: Kind, short: &str, about: &str, v1beta1: Version, v1alpha1: Version) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", kind.plural(), kind.group())},
        "spec": {
            "group": kind.group(),
            "scope": "Namespaced",
            "names": {
                "kind": kind.as_str(),
                "listKind": format!("{}List", kind.as_str()),
                "plural": kind.plural(),
                "singular": kind.singular(),
                "shortNames": [short],
            },
            // The embedded server converts in process. Elsewhere this service has to answer, and until it does requests for v1alpha1 fail, which is better than
            // the other strategy: it would only rename the version and show fields that mean nothing.
            "conversion": {
                "strategy": "Webhook",
                "webhook": {
                    "conversionReviewVersions": ["v1", "v1beta1"],
                    "clientConfig": {"service": {
                        "namespace": "agent-sandbox-system",
                        "name": "agent-sandbox-webhook-service",
                        "path": "/convert",
                    }},
                },
            },
            "versions": [version(kind, V1BETA1, about, v1beta1), version(kind, V1ALPHA1, about, v1alpha1)],
        },
    })
}

fn version(kind: Kind, name: &str, about: &str, parts: Version) -> Value {
    let mut properties = json!({
        "apiVersion": {"type": "string", "description": "The group and version of this object."},
        "kind": {"type": "string", "description": "The kind of this object."},
        "metadata": {"type": "object"},
        "spec": parts.spec,
    });
    if let Some(status) = parts.status {
        properties["status"] = status;
    }
    let mut version = json!({
        "name": name,
        "served": true,
        "storage": name == V1BETA1,
        "schema": {"openAPIV3Schema": {
            "type": "object",
            "description": about,
            "required": ["spec"],
            "properties": properties,
        }},
    });
    if let Some(subresources) = parts.subresources {
        version["subresources"] = subresources;
    }
    if !parts.columns.is_null() {
        version["additionalPrinterColumns"] = parts.columns;
    }
    if name == V1ALPHA1 {
        let group = kind.group();
        let kind = kind.as_str();
        version["deprecated"] = json!(true);
        version["deprecationWarning"] = json!(format!(
            "{group}/v1alpha1 {kind} is deprecated; use {group}/v1beta1 {kind} instead"
        ));
    }
    version
}

/// The status of the Ready condition and its reason, as most kinds show them.
fn ready_column() -> Value {
    column(
        "Ready",
        "string",
        ".status.conditions[?(@.type==\"Ready\")].status",
        "Whether it is ready.",
    )
}

fn reason_column() -> Value {
    column(
        "Reason",
        "string",
        ".status.conditions[?(@.type==\"Ready\")].reason",
        "Why it is or is not ready.",
    )
}
