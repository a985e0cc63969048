//! The headless Service of a Sandbox.

use super::owned_by;
use super::pod::ownership;
use crate::meta::Meta;
use crate::x_k8s::names::Kind;
use crate::x_k8s::{Sandbox, keys};
use engine::sandbox::{ChildView, Drift};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The Service to make.
pub fn service(sandbox: &Sandbox) -> Value {
    let selector = json!({keys::NAME_HASH: keys::hash(&sandbox.metadata.name)});
    let mut spec = json!({"clusterIP": "None", "selector": selector});
    let ports = ports(&sandbox.spec.blueprint.pod_template.spec);
    if !ports.is_empty() {
        spec["ports"] = json!(ports);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": sandbox.metadata.name,
            "namespace": sandbox.metadata.namespace,
            "labels": selector,
            "ownerReferences": [owned_by(Kind::Sandbox, &sandbox.metadata)],
        },
        "spec": spec,
    })
}

/// An existing Service as the engine sees it. One with an address of its own is not ours to take: it would not be the Service we describe.
pub fn view(sandbox: &Sandbox, meta: &Meta, spec: &Value) -> ChildView {
    use engine::sandbox::Ownership;
    let headless = spec["clusterIP"].as_str() == Some("None");
    let ownership = match ownership(sandbox, meta) {
        Ownership::Adoptable if !headless => Ownership::Unowned,
        other => other,
    };
    ChildView {
        precondition: meta.precondition(),
        ownership,
        leaving: meta.is_leaving(),
        drift: if repair(sandbox, meta, spec).is_some() { Drift::Differs } else { Drift::None },
    }
}

/// The patch that puts a Service right; `None` if it is. Ports are only looked at where the Sandbox asks for a Service: one that it merely found keeps its own.
pub fn repair(sandbox: &Sandbox, meta: &Meta, spec: &Value) -> Option<Value> {
    let hash = keys::hash(&sandbox.metadata.name);
    let selector = json!({keys::NAME_HASH: hash});
    let mut patch = json!({});
    if meta.labels.get(keys::NAME_HASH) != Some(&hash) {
        patch["metadata"]["labels"] = selector.clone();
    }
    if spec["selector"] != selector {
        let mut wanted = selector;
        for key in spec["selector"].as_object().into_iter().flatten().map(|(key, _)| key) {
            if key != keys::NAME_HASH {
                wanted[key] = Value::Null;
            }
        }
        patch["spec"]["selector"] = wanted;
    }
    let wanted = ports(&sandbox.spec.blueprint.pod_template.spec);
    if sandbox.spec.blueprint.service == Some(true) && !same_ports(&wanted, &spec["ports"]) {
        patch["spec"]["ports"] = json!(wanted);
    }
    if patch.as_object().is_some_and(serde_json::Map::is_empty) {
        return None;
    }
    patch["metadata"]["uid"] = json!(meta.uid);
    Some(patch)
}

/// Compares by what we set; servers add `targetPort` and the like.
fn same_ports(wanted: &[Value], has: &Value) -> bool {
    let has = has.as_array().map_or(&[][..], Vec::as_slice);
    wanted.len() == has.len()
        && wanted.iter().zip(has).all(|(wanted, has)| {
            wanted["name"] == has["name"]
                && wanted["port"] == has["port"]
                && wanted["protocol"].as_str() == Some(has["protocol"].as_str().unwrap_or("TCP"))
        })
}

/// One Service port for each port and protocol of the containers that keep running, in order of port and protocol. The first name given to it wins; a nameless one
/// gets a name, since a Service with several ports needs names.
fn ports(pod_spec: &Value) -> Vec<Value> {
    let containers = pod_spec["containers"].as_array().into_iter().flatten();
    let sidecars = pod_spec["initContainers"].as_array().into_iter().flatten();
    let sidecars =
        sidecars.filter(|container| container["restartPolicy"].as_str() == Some("Always"));
    let mut named: BTreeMap<(u64, String), Option<String>> = BTreeMap::new();
    for port in containers
        .chain(sidecars)
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
    {
        let Some(number) = port["containerPort"].as_u64() else { continue };
        let protocol =
            port["protocol"].as_str().filter(|text| !text.is_empty()).unwrap_or("TCP").to_owned();
        let name = port["name"].as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let entry = named.entry((number, protocol)).or_default();
        if entry.is_none() {
            *entry = name;
        }
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let explicit: BTreeSet<String> = named.values().flatten().cloned().collect();
    named
        .into_iter()
        .map(|((number, protocol), name)| {
            let plain = name.unwrap_or_else(|| format!("p-{number}-{}", protocol.to_lowercase()));
            let mut unique = plain.clone();
            let mut count = 1;
            while taken.contains(&unique) || (unique != plain && explicit.contains(&unique)) {
                count += 1;
                unique = format!("{plain}-{count}");
            }
            taken.insert(unique.clone());
            json!({"name": unique, "port": number, "targetPort": number, "protocol": protocol})
        })
        .collect()
}
