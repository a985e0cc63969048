//! Services and network policies, as stored objects. No address is handed out: nothing here routes to one, so a service
//! that asks for none is headless and a service that names one keeps it.

use serde_json::{Value, json};

use super::{Hooks, default_to};
use crate::schema::FieldError;

pub(super) const HOOKS: Hooks = Hooks {
    on_create: |service| service["status"] = json!({"loadBalancer": {}}),
    default,
    validate,
    fields: &["spec.clusterIP", "spec.type"],
    ..Hooks::NONE
};

pub(super) const NETWORK_POLICY: Hooks = Hooks { default: default_policy, ..Hooks::NONE };

fn default(service: &mut Value) {
    let spec = &mut service["spec"];
    if spec.is_null() {
        *spec = json!({});
    }
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    if spec["type"] == "ExternalName" {
        return;
    }
    default_to(spec, "internalTrafficPolicy", "Cluster");
    default_to(spec, "clusterIP", "None");
    let address = spec["clusterIP"].clone();
    default_to(spec, "clusterIPs", json!([address]));
    default_to(spec, "ipFamilies", json!(["IPv4"]));
    default_to(spec, "ipFamilyPolicy", "SingleStack");
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default_to(port, "protocol", "TCP");
        let number = port["port"].clone();
        default_to(port, "targetPort", number);
    }
}

fn validate(service: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &service["spec"];
    let mut errors = Vec::new();
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !kinds.iter().any(|kind| spec["type"] == *kind) {
        errors.push(FieldError::not_supported("spec.type", spec["type"].clone(), kinds));
    }
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, port) in ports.iter().enumerate() {
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            let path = format!("spec.ports[{index}].port");
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(path, number.into(), detail));
        }
        let name = port["name"].as_str().unwrap_or_default();
        if ports.len() > 1 && name.is_empty() {
            errors.push(FieldError::required(format!("spec.ports[{index}].name"), ""));
        }
        if !name.is_empty() && ports[..index].iter().any(|other| other["name"] == name) {
            errors.push(FieldError::duplicate(format!("spec.ports[{index}].name"), name.into()));
        }
    }
    let is_external = spec["type"] == "ExternalName";
    if !is_external && ports.is_empty() && spec["clusterIP"] != "None" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    if let Some(old) = old {
        let was = &old["spec"]["clusterIP"];
        if !is_external && was.is_string() && *was != spec["clusterIP"] {
            let path = "spec.clusterIPs[0]";
            let value = json!([spec["clusterIP"]]);
            errors.push(FieldError::invalid(path, value, "may not change once set"));
        }
    }
    errors
}

fn default_policy(policy: &mut Value) {
    let spec = &mut policy["spec"];
    if spec.is_null() {
        *spec = json!({});
    }
    default_to(spec, "podSelector", json!({}));
    if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
        let has_egress = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
        let types = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec["policyTypes"] = types;
    }
    for direction in ["ingress", "egress"] {
        // Not by index: that would put a null where nothing was said.
        for rule in spec.get_mut(direction).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                default_to(port, "protocol", "TCP");
            }
        }
    }
}
