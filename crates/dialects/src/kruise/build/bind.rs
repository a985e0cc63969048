//! The patches that give a warm Sandbox to a claim, and the one that puts a failed one aside.

use crate::kruise::claim_content::changed;
use crate::kruise::keys;
use crate::kruise::runtime::Introduction;
use crate::kruise::types::{Sandbox, SandboxClaim};
use crate::meta::Pairs;
use engine::Precondition;
use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

/// The one write that commits a warm claim, as a merge patch on the Sandbox.
///
/// It carries uid and resourceVersion, so that it is refused if anybody wrote in between: a second claim, the set that scales down, or another program of the family
/// that has put its lock there. `init` is what the runtime inside will be told, noted with the same write so that no crash can lose it.
///
/// # Errors
/// If the claim asks for a change that the sandbox's pod can't take: what is wrong, in a sentence.
pub fn bind(
    sandbox: &Sandbox,
    precondition: &Precondition,
    claim: &SandboxClaim,
    at: Timestamp,
    init: Option<&Introduction>,
) -> Result<Value, String> {
    let marks = Marks::of(claim, at, init);
    let mut spec = marks.times;
    if let Some(template) = &sandbox.spec.block.template {
        let mut pod = Map::new();
        if !marks.pod_labels.is_empty() || !marks.pod_annotations.is_empty() {
            let metadata =
                json!({"labels": marks.pod_labels, "annotations": marks.pod_annotations});
            pod.insert("metadata".to_owned(), metadata);
        }
        if let Some(change) = claim.change() {
            // A merge patch replaces lists as a whole.
            let containers = changed(&template.spec, change)?["containers"].take();
            pod.insert("spec".to_owned(), json!({ "containers": containers }));
        }
        if !pod.is_empty() {
            spec.insert("template".to_owned(), Value::Object(pod));
        }
    }
    Ok(json!({
        "metadata": {
            "uid": precondition.uid,
            "resourceVersion": precondition.version.to_string(),
            "ownerReferences": null,
            "labels": marks.labels,
            "annotations": marks.annotations,
        },
        "spec": spec,
    }))
}

/// The patch that puts a sandbox aside which could not be delivered. Nothing ends it but its user: it is kept to be looked at.
pub fn reserve(precondition: &Precondition) -> Value {
    json!({"metadata": {
        "uid": precondition.uid,
        "resourceVersion": precondition.version.to_string(),
        "labels": {keys::RESERVED_FAILED: keys::TRUE},
    }})
}

/// What a claim leaves on its sandboxes: whose they are, and what its user wants on them.
pub(super) struct Marks {
    pub labels: Pairs,
    pub annotations: Pairs,
    pub pod_labels: Pairs,
    pub pod_annotations: Pairs,
    /// The timers of the sandbox's spec.
    pub times: Map<String, Value>,
}

impl Marks {
    pub fn of(claim: &SandboxClaim, at: Timestamp, init: Option<&Introduction>) -> Self {
        let (spec, uid) = (&claim.spec, &claim.metadata.uid);
        // Ours come last: a user's key of the same name must not pass a sandbox off as somebody else's.
        let mut labels = spec.labels.clone();
        labels.insert(keys::CLAIMED.to_owned(), keys::TRUE.to_owned());
        labels.insert(keys::CLAIM_NAME.to_owned(), claim.metadata.name.clone());

        let mut annotations = spec.annotations.clone();
        // One claim, one word: whoever else speaks the lock protocol sees a stranger's lock, and a claim never competes with itself.
        annotations.insert(keys::LOCK.to_owned(), uid.clone());
        annotations.insert(keys::OWNER.to_owned(), uid.clone());
        annotations.insert(keys::CLAIM_TIMESTAMP.to_owned(), time(at));
        if !spec.labels.is_empty() || !spec.annotations.is_empty() {
            let added = json!({
                "labels": spec.labels.keys().collect::<Vec<_>>(),
                "annotations": spec.annotations.keys().collect::<Vec<_>>(),
            });
            annotations.insert(keys::UPDATED_IN_CLAIM.to_owned(), added.to_string());
        }
        if let Some(init) = init {
            let request = &init.request;
            annotations.insert(keys::INIT_RUNTIME_REQUEST.to_owned(), json!(request).to_string());
            annotations.insert(keys::RUNTIME_ACCESS_TOKEN.to_owned(), request.access_token.clone());
            if let Some(url) = &init.url {
                annotations.insert(keys::RUNTIME_URL.to_owned(), url.clone());
            }
        }

        // Whose the pod is it learns from the sandbox's own metadata. A plain claim leaves the spec as it is: nothing about the sandbox is to be observed anew.
        let pod_labels = spec.labels.clone();
        let pod_annotations = spec
            .annotations
            .iter()
            .filter(|(key, _)| {
                !key.starts_with(keys::PREFIX) && !key.starts_with(keys::FRONT_DOMAIN)
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();

        let mut times = Map::new();
        for (field, when) in [("shutdownTime", spec.shutdown_time), ("pauseTime", spec.pause_time)]
        {
            if let Some(when) = when {
                times.insert(field.to_owned(), json!(when));
            }
        }
        Self { labels, annotations, pod_labels, pod_annotations, times }
    }
}

/// To the microsecond: other programs read it as a common time format, and the limits of a claim are counted from it.
fn time(at: Timestamp) -> String {
    let rounded = at.round(
        jiff::TimestampRound::new().smallest(Unit::Microsecond).mode(jiff::RoundMode::Trunc),
    );
    rounded.unwrap_or(at).to_string()
}
