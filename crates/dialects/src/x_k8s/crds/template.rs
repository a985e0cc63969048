//! SandboxTemplate.

use super::schema::{blueprint, network_policy, word};
use super::{Version, definition};
use crate::x_k8s::names::Kind;
use serde_json::{Value, json};

const ABOUT: &str = "What sandboxes run. Pools and claims name it; a change reaches pools by their update strategy.";
const VOLUMES: &str = "Volume claims made with each sandbox.";
const INJECTION: [&str; 3] = ["Allowed", "Overrides", "Disallowed"];

pub(super) fn crd() -> Value {
    let mut with_volumes = common();
    with_volumes.insert(
        "volumeClaimTemplatesPolicy".to_owned(),
        word(
            "Whether claims may add (Allowed) or also replace (Overrides) volume claims.",
            &INJECTION,
            Some("Disallowed"),
        ),
    );
    definition(
        Kind::SandboxTemplate,
        "sandboxtemplate",
        ABOUT,
        version(with_volumes),
        version(common()),
    )
}

fn version(properties: serde_json::Map<String, Value>) -> Version {
    Version {
        spec: json!({
            "type": "object",
            "description": "What sandboxes of this template are.",
            "required": ["podTemplate"],
            "properties": properties,
        }),
        status: None,
        subresources: None,
        columns: Value::Null,
    }
}

fn common() -> serde_json::Map<String, Value> {
    let mut properties = blueprint(VOLUMES);
    properties.insert("networkPolicy".to_owned(), network_policy());
    properties.insert(
        "networkPolicyManagement".to_owned(),
        word(
            "Whether a NetworkPolicy is kept for the sandboxes of this template.",
            &["Managed", "Unmanaged"],
            Some("Managed"),
        ),
    );
    properties.insert(
        "envVarsInjectionPolicy".to_owned(),
        word(
            "Whether claims may add (Allowed) or also replace (Overrides) environment variables.",
            &INJECTION,
            Some("Disallowed"),
        ),
    );
    properties
}
