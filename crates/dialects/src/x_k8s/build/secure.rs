//! Secure defaults: what a template gets where it says nothing. What it says explicitly always wins, and a Sandbox written by hand is left as it is.

use crate::x_k8s::options::{Dns, Options};
use crate::x_k8s::types::{NetworkPolicyManagement, SandboxTemplate};
use serde_json::{Value, json};

/// The pod spec of a template with the defaults put in.
pub fn pod_spec(template: &SandboxTemplate, options: &Options) -> Value {
    let mut spec = template.spec.blueprint.pod_template.spec.clone();
    let Some(members) = spec.as_object_mut() else { return spec };
    // Code of strangers runs here; a token of the cluster must not lie beside it unasked.
    if members.get("automountServiceAccountToken").is_none_or(Value::is_null) {
        members.insert("automountServiceAccountToken".to_owned(), Value::Bool(false));
    }
    let guarded = template.management() == NetworkPolicyManagement::Managed
        && template.spec.network_policy.is_none();
    let silent = members
        .get("dnsPolicy")
        .is_none_or(|policy| policy.as_str().unwrap_or_default().is_empty());
    if let Dns::Servers(servers) = &options.dns
        && guarded
        && silent
    {
        members.insert("dnsPolicy".to_owned(), json!("None"));
        let config = members.entry("dnsConfig").or_insert_with(|| json!({}));
        if let Some(config) = config.as_object_mut()
            && config
                .get("nameservers")
                .is_none_or(|list| list.as_array().is_none_or(Vec::is_empty))
        {
            config.insert("nameservers".to_owned(), json!(servers));
        }
    }
    spec
}
