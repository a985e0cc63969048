//! What a pod may be told about itself: fields and resources, as variables or files.

use std::net::IpAddr;

use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{
    quantity::{milli, whole},
    schedule,
};

/// Addresses that are known once a pod is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The pod's own.
    pub(crate) pod: Vec<IpAddr>,
    /// The machine's.
    pub(crate) host: Option<IpAddr>,
}

/// The value of a field path; nothing if the path is not one of those a pod may be told.
pub(crate) fn field(pod: &Pod, path: &str, ips: &Addresses) -> Option<String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref()?;
    if let Some((base, key)) = path.strip_suffix("']").and_then(|p| p.split_once("['")) {
        let map = match base {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return None,
        };
        return Some(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default());
    }
    let text = |value: &Option<String>| Some(value.clone().unwrap_or_default());
    // A pod on the machine's network has the machine's address.
    let shared = spec.host_network == Some(true);
    let own = if shared { ips.host.as_slice() } else { &ips.pod };
    let join = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => Some(lines(meta.labels.iter().flatten())),
        "metadata.annotations" => Some(lines(meta.annotations.iter().flatten())),
        "spec.nodeName" => text(&spec.node_name),
        "spec.serviceAccountName" => {
            Some(spec.service_account_name.clone().unwrap_or_else(|| "default".into()))
        }
        "status.hostIP" | "status.hostIPs" => Some(join(ips.host.as_slice())),
        "status.podIP" => Some(join(own.get(..1).unwrap_or_default())),
        "status.podIPs" => Some(join(own)),
        _ => None,
    }
}

/// One `key="value"` a line, as files of labels and annotations have it.
fn lines<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    pairs.map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

/// A limit or request divided by `divisor`, rounded up. An absent limit is what the machine has.
pub(crate) fn resource(
    container: &Container,
    name: &str,
    divisor: Option<&Quantity>,
) -> Option<String> {
    let divisor = divisor.map(|q| q.0.as_str()).filter(|q| !q.is_empty() && *q != "0");
    let limits = schedule::limits(container);
    let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    let machine = crate::agent::machine_capacity();
    let (value, divisor) = match name {
        "limits.cpu" | "requests.cpu" => {
            let value = if name == "limits.cpu" {
                limits.cpu_millis.unwrap_or(machine.cpu_millis)
            } else {
                limits.cpu_request_millis.unwrap_or(0)
            };
            (value, divisor.map_or(Some(1000), milli)?)
        }
        "limits.memory" | "requests.memory" => {
            let request = requests.and_then(|r| r.get("memory")).and_then(|q| whole(&q.0));
            let value = if name == "limits.memory" {
                limits.memory_bytes.unwrap_or(machine.memory_bytes)
            } else {
                request.or(limits.memory_bytes).unwrap_or(0)
            };
            (value, divisor.map_or(Some(1), whole)?)
        }
        _ => return None,
    };
    Some(value.div_ceil(divisor.max(1)).to_string())
}
