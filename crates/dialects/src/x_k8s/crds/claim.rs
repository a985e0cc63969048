//! SandboxClaim.

use super::schema::{
    conditions, name_ref, natural, pairs, pod_ips, text, time, volume_claim_templates, word,
};
use super::{Version, age_column, column, definition, ready_column, reason_column};
use crate::x_k8s::names::Kind;
use serde_json::{Value, json};

const ABOUT: &str =
    "A request for one sandbox: a warm one if a pool has it, otherwise one started for it.";

pub(super) fn crd() -> Value {
    definition(Kind::SandboxClaim, "sandboxclaim", ABOUT, v1beta1(), v1alpha1())
}

fn v1beta1() -> Version {
    let mut properties = common();
    properties["warmPoolRef"] = name_ref(
        "The pool to take it from. It has to exist, even for a cold start: the template is found through it.",
    );
    properties["volumeClaimTemplates"] = volume_claim_templates(
        "Volume claims of its own, if the template allows them. The sandbox is then started cold.",
    );
    Version {
        spec: spec("warmPoolRef", properties),
        status: Some(status()),
        subresources: Some(json!({"status": {}})),
        columns: json!([
            ready_column(),
            column("Sandbox", "string", ".status.sandbox.name", "The sandbox it got."),
            reason_column(),
            age_column(),
        ]),
    }
}

fn v1alpha1() -> Version {
    let mut properties = common();
    properties["sandboxTemplateRef"] = name_ref("The template of the sandbox.");
    properties["warmpool"] = json!({
        "type": "string",
        "default": "default",
        "description": "From which pool: default takes from any pool of the template, none always starts cold, anything else is the name of a pool.",
    });
    Version {
        spec: spec("sandboxTemplateRef", properties),
        status: Some(status()),
        subresources: Some(json!({"status": {}})),
        columns: Value::Null,
    }
}

fn spec(required: &str, properties: Value) -> Value {
    json!({"type": "object", "description": "What is asked for.", "required": [required], "properties": properties})
}

fn common() -> Value {
    json!({
        "lifecycle": {
            "type": "object",
            "description": "How long the claim lives.",
            "properties": {
                "shutdownTime": time("When it ends."),
                "ttlSecondsAfterFinished": natural("How many seconds after its sandbox finished it ends."),
                "shutdownPolicy": word(
                    "What happens then. Retain deletes the sandbox and keeps the claim; Delete deletes the claim, and the sandbox follows; DeleteForeground keeps the claim visible until the sandbox is gone.",
                    &["Delete", "DeleteForeground", "Retain"],
                    Some("Retain"),
                ),
            },
        },
        "additionalPodMetadata": {
            "type": "object",
            "description": "Labels and annotations for the pod. Labels have to be under a domain that the installation allows.",
            "properties": {
                "labels": pairs("Labels for the pod."),
                "annotations": pairs("Annotations for the pod."),
            },
        },
        "env": {
            "type": "array",
            "x-kubernetes-list-type": "atomic",
            "description": "Environment variables, if the template allows them. The sandbox is then started cold.",
            "items": {
                "type": "object",
                "required": ["name", "value"],
                "properties": {
                    "name": text("The variable."),
                    "value": text("Its value."),
                    "containerName": text("The container that gets it; the first one if absent."),
                },
            },
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "What was given.",
        "properties": {
            "conditions": conditions("Ready, as the sandbox reports it or why there is none, and Finished."),
            "sandbox": {
                "type": "object",
                "description": "The sandbox of this claim.",
                "properties": {"name": text("Its name."), "podIPs": pod_ips()},
            },
        },
    })
}
