//! Namespaces: a phase, and a finalizer that stands for their content.

use serde_json::{Value, json};

use super::Hooks;

pub(super) const HOOKS: Hooks =
    Hooks { on_create, default, fields: &["status.phase"], ..Hooks::NONE };

fn on_create(namespace: &mut Value) {
    namespace["spec"] = json!({"finalizers": ["kubernetes"]});
    namespace["status"] = json!({"phase": "Active"});
}

/// The label by which selectors find a namespace; whoever removes it gets it back.
fn default(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    if name.as_str().is_some_and(|name| !name.is_empty()) {
        namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    }
}
