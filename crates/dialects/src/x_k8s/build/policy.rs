//! The NetworkPolicy that all sandboxes of a template share.

use super::owned_by;
use crate::meta::Meta;
use crate::x_k8s::names::Kind;
use crate::x_k8s::options::Options;
use crate::x_k8s::template::policy_name;
use crate::x_k8s::{SandboxTemplate, keys};
use engine::sandbox::{ChildView, Drift, Ownership};
use serde_json::{Value, json};

/// Private, link-local and carrier ranges that a sandbox has no business in: the cluster's own addresses and the cloud's metadata service are among them.
const PRIVATE_V4: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];
const PRIVATE_V6: [&str; 2] = ["fc00::/7", "fe80::/10"];

/// The NetworkPolicy to make.
pub fn policy(template: &SandboxTemplate, options: &Options) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": policy_name(&template.metadata.name),
            "namespace": template.metadata.namespace,
            "ownerReferences": [owned_by(Kind::SandboxTemplate, &template.metadata)],
        },
        "spec": spec(template, options),
    })
}

fn spec(template: &SandboxTemplate, options: &Options) -> Value {
    let (ingress, egress) = match &template.spec.network_policy {
        Some(rules) => (
            json!(rules.ingress.clone().unwrap_or_default()),
            json!(rules.egress.clone().unwrap_or_default()),
        ),
        None => (
            json!([{"from": [{
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": options.router.namespace}},
                "podSelector": {"matchLabels": options.router.labels},
            }]}]),
            json!([{"to": [
                {"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE_V4}},
                {"ipBlock": {"cidr": "::/0", "except": PRIVATE_V6}},
            ]}]),
        ),
    };
    let mut spec = json!({
        "podSelector": {"matchLabels": {keys::TEMPLATE_REF_HASH: keys::hash(&template.metadata.name)}},
        "policyTypes": ["Ingress", "Egress"],
    });
    // An empty list and no list both allow nothing; writing none keeps the comparison with what a server stores simple.
    for (side, rules) in [("ingress", ingress), ("egress", egress)] {
        if rules.as_array().is_some_and(|rules| !rules.is_empty()) {
            spec[side] = rules;
        }
    }
    spec
}

/// An existing NetworkPolicy as the engine sees it. One that the template does not own is nobody's to touch.
pub fn view(template: &SandboxTemplate, meta: &Meta, spec: &Value, options: &Options) -> ChildView {
    let ours = meta.controller().is_some_and(|owner| owner.uid == template.metadata.uid);
    ChildView {
        precondition: meta.precondition(),
        ownership: if ours { Ownership::Ours } else { Ownership::Foreign },
        leaving: meta.is_leaving(),
        drift: if repair(template, meta, spec, options).is_some() {
            Drift::Differs
        } else {
            Drift::None
        },
    }
}

/// The patch that puts a NetworkPolicy right; `None` if it is.
pub fn repair(
    template: &SandboxTemplate,
    meta: &Meta,
    has: &Value,
    options: &Options,
) -> Option<Value> {
    let wanted = self::spec(template, options);
    let mut patch = json!({});
    for part in ["podSelector", "policyTypes", "ingress", "egress"] {
        let empty = has[part].as_array().is_some_and(Vec::is_empty);
        let same = if empty {
            wanted[part].is_null()
        } else {
            without_defaults(&has[part]) == without_defaults(&wanted[part])
        };
        if !same {
            patch[part] = wanted[part].clone();
        }
    }
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return None;
    }
    // `podSelector` is a map, which a merge patch would merge; drop what does not belong there.
    if let Some(labels) = has["podSelector"]["matchLabels"].as_object() {
        for key in labels.keys().filter(|key| *key != keys::TEMPLATE_REF_HASH) {
            patch["podSelector"]["matchLabels"][key] = Value::Null;
        }
    }
    if !has["podSelector"]["matchExpressions"].is_null() {
        patch["podSelector"]["matchExpressions"] = Value::Null;
    }
    Some(
        json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "spec": patch}),
    )
}

/// The rules without the `protocol: TCP` that servers put into ports.
fn without_defaults(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(without_defaults).collect()),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .filter(|(key, value)| !(*key == "protocol" && value.as_str() == Some("TCP")))
                .map(|(key, value)| (key.clone(), without_defaults(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}
