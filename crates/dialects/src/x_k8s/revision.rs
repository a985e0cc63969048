//! Revision: what a template means, so that only a change of meaning rolls a pool.
//!
//! A revision is the template's identity and a hash of everything that a running sandbox can't change any more: the pod spec with our secure defaults, the
//! volumes, and whether there is a service. Labels and annotations are not part of it. It is computed from the objects themselves on both sides; hash labels on
//! them were written by whoever made them, over bytes of their own, and are not believed.

use super::build::secure;
use super::keys;
use super::options::Options;
use super::types::{Blueprint, PodTemplate, Sandbox, SandboxTemplate, VolumeClaimTemplate};
use crate::canonical::digest;
use engine::Revision;
use serde_json::{Value, json};

/// The revision that a template's new sandboxes get.
pub fn of_template(template: &SandboxTemplate, options: &Options) -> Revision {
    let blueprint = &template.spec.blueprint;
    let spec = secure::pod_spec(template, options);
    combine(&keys::hash(&template.metadata.name), &meaning(&spec, blueprint))
}

/// The revision that a sandbox was made with. A sandbox without the label of its template is of no template, so it is stale everywhere.
pub fn of_sandbox(sandbox: &Sandbox) -> Revision {
    let template = sandbox.metadata.labels.get(keys::TEMPLATE_REF_HASH).map_or("", String::as_str);
    let blueprint = &sandbox.spec.blueprint;
    combine(template, &meaning(&blueprint.pod_template.spec, blueprint))
}

fn combine(template: &str, meaning: &str) -> Revision {
    Revision::new(format!("{template}-{meaning}"))
}

/// A hash of what a blueprint with this pod spec means.
fn meaning(pod_spec: &Value, blueprint: &Blueprint) -> String {
    let volumes: Vec<Value> =
        blueprint.volume_claim_templates.iter().flatten().map(volume).collect();
    digest(&json!({"pod": pod_spec, "volumes": volumes, "service": blueprint.service}))
}

fn volume(template: &VolumeClaimTemplate) -> Value {
    json!({"name": template.metadata.name, "spec": template.spec})
}

/// The value of the blueprint's hash label on a warm sandbox.
pub fn blueprint_label(template: &SandboxTemplate, options: &Options) -> String {
    keys::hash(of_template(template, options).as_str())
}

/// The value of the deprecated hash label, which speaks of the pod template alone.
pub fn pod_template_label(template: &PodTemplate) -> String {
    keys::hash(&digest(&json!({"metadata": template.metadata, "spec": template.spec})))
}
