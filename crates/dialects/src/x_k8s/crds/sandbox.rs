//! Sandbox.

use super::schema::{blueprint, conditions, pod_ips, text, time, word};
use super::{Version, age_column, definition, ready_column, reason_column};
use crate::x_k8s::names::Kind;
use serde_json::{Value, json};

const ABOUT: &str = "A sandbox: one pod with a stable name, its service and its volumes.";
const VOLUMES: &str =
    "Volume claims made with the sandbox and kept as long as it. Can't be changed later.";

pub(super) fn crd() -> Value {
    definition(Kind::Sandbox, "sandbox", ABOUT, v1beta1(), v1alpha1())
}

fn v1beta1() -> Version {
    let mut properties = common();
    properties.insert(
        "operatingMode".to_owned(),
        word(
            "Whether the sandbox runs. Suspended removes the pod and keeps everything else.",
            &["Running", "Suspended"],
            Some("Running"),
        ),
    );
    Version {
        spec: json!({
            "type": "object",
            "description": "What the sandbox should be.",
            "required": ["podTemplate"],
            "properties": properties,
            "x-kubernetes-validations": [{
                "rule": "has(oldSelf.volumeClaimTemplates) == has(self.volumeClaimTemplates) && (!has(self.volumeClaimTemplates) || self.volumeClaimTemplates == oldSelf.volumeClaimTemplates)",
                "message": "volumeClaimTemplates is immutable",
            }],
        }),
        status: Some(json!({
            "type": "object",
            "description": "What the sandbox is.",
            "properties": {
                "conditions": conditions("Ready, Suspended, PodScheduled and Finished."),
                "service": text("The name of its service."),
                "serviceFQDN": text("The name of its service in DNS."),
                "selector": text("The label selector that finds its pod."),
                "podIPs": pod_ips(),
                "nodeName": text("The node its pod runs on."),
            },
        })),
        subresources: Some(json!({"status": {}})),
        columns: json!([ready_column(), reason_column(), age_column()]),
    }
}

fn v1alpha1() -> Version {
    let mut properties = common();
    properties.insert(
        "replicas".to_owned(),
        json!({
            "type": "integer",
            "format": "int32",
            "minimum": 0,
            "maximum": 1,
            "default": 1,
            "description": "Whether the sandbox runs (1) or is suspended (0).",
        }),
    );
    Version {
        spec: json!({
            "type": "object",
            "description": "What the sandbox should be.",
            "required": ["podTemplate"],
            "properties": properties,
        }),
        status: Some(json!({
            "type": "object",
            "description": "What the sandbox is.",
            "properties": {
                "conditions": conditions("Ready, Suspended, PodScheduled and Finished."),
                "service": text("The name of its service."),
                "serviceFQDN": text("The name of its service in DNS."),
                "selector": text("The label selector that finds its pod."),
                "podIPs": pod_ips(),
                "replicas": super::schema::natural("Whether it has a pod."),
            },
        })),
        subresources: Some(json!({
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        })),
        columns: Value::Null,
    }
}

fn common() -> serde_json::Map<String, Value> {
    let mut properties = blueprint(VOLUMES);
    properties.insert("shutdownTime".to_owned(), time("When the sandbox ends."));
    properties.insert(
        "shutdownPolicy".to_owned(),
        word(
            "What happens to the Sandbox object then. Its pod and service are deleted in both cases.",
            &["Delete", "Retain"],
            Some("Retain"),
        ),
    );
    properties
}
