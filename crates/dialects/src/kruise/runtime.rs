//! The runtime inside: a program in the sandbox that is told, over HTTP, for whom it runs.
//!
//! A template names it by the port it listens on. Everything that needs one (variables of a claim, tokens) is said to be undeliverable where there is none, instead
//! of being dropped.

use super::keys;
use super::types::PodTemplate;
use crate::meta::Pairs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The port that runtimes of the family listen on.
pub const PORT: u16 = 49983;

/// The condition of a sandbox that says whether its runtime was told.
pub const CONDITION: &str = "RuntimeInitialized";

/// Where the runtime of a sandbox listens, at the sandbox's own address; `None` if its template names none.
///
/// A whole address in an annotation is believed as far as the port goes: a template that could send the controllers, and somebody's token, to any address it likes
/// would be a way around every wall of the cluster.
pub fn port(annotations: &Pairs, pod: Option<&PodTemplate>) -> Option<u16> {
    let in_template = pod.map(|pod| &pod.metadata.annotations);
    let said = [Some(annotations), in_template]
        .into_iter()
        .flatten()
        .find_map(|pairs| pairs.get(keys::RUNTIME_URL))
        .and_then(|url| port_of(url));
    said.or_else(|| pod.is_some_and(|pod| listens(&pod.spec)).then_some(PORT))
}

/// The port of a plain address such as `http://10.0.0.7:49983`. The runtime's certificates are not known here, so there is none for others.
fn port_of(url: &str) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => port.parse().ok().filter(|port| *port > 0),
        _ => None,
    }
}

fn listens(pod_spec: &Value) -> bool {
    ["containers", "initContainers"]
        .iter()
        .filter_map(|list| pod_spec[list].as_array())
        .flatten()
        .filter_map(|container| container["ports"].as_array())
        .flatten()
        .any(|port| port["containerPort"] == PORT)
}

/// What a claim notes about the runtime of a sandbox, with the write that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// What the runtime is told.
    pub request: InitRequest,
    /// Where it listens, for whoever has the sandbox; not known before there is a pod.
    pub url: Option<String>,
}

/// What a runtime is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InitRequest {
    /// The variables of everything it starts.
    pub env_vars: Pairs,
    /// What its callers have to show from now on.
    pub access_token: String,
}

impl InitRequest {
    /// As it was noted on a sandbox when it was claimed.
    pub fn noted(annotations: &Pairs) -> Option<Self> {
        serde_json::from_str(annotations.get(keys::INIT_RUNTIME_REQUEST)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_runtime_is_named_by_an_annotation_or_by_its_port() {
        let pod = |ports: Value| PodTemplate {
            spec: json!({"containers": [{"name": "m", "ports": ports}]}),
            ..PodTemplate::default()
        };
        let url = |url: &str| Pairs::from([(keys::RUNTIME_URL.to_owned(), url.to_owned())]);
        assert_eq!(port(&Pairs::new(), None), None);
        assert_eq!(port(&Pairs::new(), Some(&pod(json!([{"containerPort": 80}])))), None);
        assert_eq!(port(&Pairs::new(), Some(&pod(json!([{"containerPort": 49983}])))), Some(PORT));
        assert_eq!(port(&url("http://10.0.0.1:8080"), None), Some(8080));
        assert_eq!(
            port(&url("http://evil.example:8080/x"), None),
            Some(8080),
            "of it only the port"
        );
        for wrong in ["https://a:1", "http://a", "http://:1", "http://a:0", "http://a:99999", "a:1"]
        {
            assert_eq!(port(&url(wrong), None), None, "{wrong}");
        }
        let mut template = pod(json!([]));
        template.metadata.annotations = url("http://127.0.0.1:1234");
        assert_eq!(port(&Pairs::new(), Some(&template)), Some(1234));
    }
}
