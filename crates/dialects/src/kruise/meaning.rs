//! Meaning: the content of a template that sandboxes can differ by.
//!
//! The same template is written differently by a person, by a typed client, which adds empty fields, and by a webhook, which fills in the defaults of Kubernetes.
//! None of that makes a sandbox stale: what a pod would be given anyway is left out before two contents are compared. So are the keys by which the controllers of
//! the family speak to each other, which others copy into templates.

use super::keys;
use super::types::{PauseStrategy, PauseType, SandboxTemplate, TemplateBlock, VolumeClaimTemplate};
use crate::meta::Pairs;
use serde_json::{Map, Value, json};

/// What a block means, with the template that it refers to; `None` if there is no pod in either.
pub fn of_block(block: &TemplateBlock, referenced: Option<&SandboxTemplate>) -> Option<Value> {
    let pod = block.pod(referenced)?;
    let volumes: Vec<Value> = block.volumes(referenced).iter().map(volume).collect();
    let runtimes: Vec<&str> = block.runtimes.iter().map(|runtime| &*runtime.name).collect();
    Some(json!({
        "ref": block.template_ref.as_ref().map(|template| &template.name),
        "labels": visible(&pod.metadata.labels),
        "annotations": visible(&pod.metadata.annotations),
        "spec": plain_pod(&pod.spec),
        "volumes": volumes,
        "persistentContents": block.persistent_contents,
        "runtimes": runtimes,
        "pause": block.pause_strategy.as_ref().and_then(pause),
    }))
}

/// Keys that are not the controllers' own.
pub fn visible(pairs: &Pairs) -> Pairs {
    pairs
        .iter()
        .filter(|(key, _)| !key.starts_with(keys::PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Stopping is what happens without a word.
fn pause(strategy: &PauseStrategy) -> Option<Value> {
    (strategy.kind != PauseType::Stop).then(|| json!(strategy))
}

fn volume(template: &VolumeClaimTemplate) -> Value {
    json!({
        "name": template.metadata.name,
        "labels": template.metadata.labels,
        "annotations": template.metadata.annotations,
        "spec": plain(&template.spec),
    })
}

/// A pod spec without what it would be given anyway.
fn plain_pod(spec: &Value) -> Value {
    let mut spec = plain(spec);
    if let Value::Object(members) = &mut spec {
        // Only of the pod itself: a container that says Always is a sidecar, and one that says 30 means something.
        for (key, default) in [
            ("restartPolicy", json!("Always")),
            ("terminationGracePeriodSeconds", json!(30)),
            // Ours and the family's: code of strangers gets no token of the cluster unasked.
            ("automountServiceAccountToken", json!(false)),
        ] {
            if members.get(key) == Some(&default) {
                members.remove(key);
            }
        }
        // The old name of the same field.
        if members.get("serviceAccount") == members.get("serviceAccountName") {
            members.remove("serviceAccount");
        }
    }
    spec
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, value)| !is_default(key, value, members));
            Value::Object(kept.map(|(key, value)| (key.clone(), plain(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// Whether a member says what its absence says, wherever in a pod or volume claim it stands.
fn is_default(key: &str, value: &Value, beside: &Map<String, Value>) -> bool {
    match (key, value) {
        (_, Value::Null) => true,
        ("resources" | "securityContext" | "status", Value::Object(members)) => members.is_empty(),
        ("imagePullPolicy", Value::String(policy)) => {
            beside.get("image").and_then(Value::as_str).is_some_and(|image| policy == pull(image))
        }
        (_, Value::String(text)) => matches!(
            (key, text.as_str()),
            ("dnsPolicy", "ClusterFirst")
                | ("schedulerName", "default-scheduler")
                | ("terminationMessagePath", "/dev/termination-log")
                | ("terminationMessagePolicy", "File")
                | ("protocol", "TCP")
                | ("scheme", "HTTP")
                | ("volumeMode", "Filesystem")
        ),
        (_, Value::Number(number)) => matches!(
            (key, number.as_i64()),
            ("timeoutSeconds" | "successThreshold", Some(1))
                | ("periodSeconds", Some(10))
                | ("failureThreshold", Some(3))
                | ("defaultMode", Some(0o644))
        ),
        ("enableServiceLinks", Value::Bool(enabled)) => *enabled,
        _ => false,
    }
}

/// The pull policy that an image gets which says none: images whose tag moves are pulled each time.
fn pull(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::digest;

    fn block(value: Value) -> TemplateBlock {
        serde_json::from_value(value).unwrap()
    }

    /// What a person writes, and what a typed client behind a defaulting webhook makes of it.
    #[test]
    fn defaults_and_empty_fields_mean_nothing() {
        let written = json!({
            "template": {
                "metadata": {"annotations": {"foo": "bar"}},
                "spec": {
                    "containers": [{"name": "nginx", "image": "nginx:alpine", "ports": [{"containerPort": 80}],
                                    "readinessProbe": {"httpGet": {"path": "/", "port": 80}}}],
                    "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}}],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        });
        let defaulted = json!({
            "template": {
                "metadata": {"creationTimestamp": null, "annotations": {"foo": "bar"},
                             "labels": {keys::POOL: "demo", keys::CLAIMED: "false"}},
                "spec": {
                    "containers": [{"name": "nginx", "image": "nginx:alpine", "imagePullPolicy": "IfNotPresent", "resources": {},
                                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                                    "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1,
                                                       "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}}],
                    "volumes": [{"name": "v", "configMap": {"name": "c", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}],
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                    "schedulerName": "default-scheduler", "securityContext": {}, "automountServiceAccountToken": false,
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data", "creationTimestamp": null},
                                      "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "resources": {}},
                                      "status": {}}],
            "pauseStrategy": {"type": "Stop"},
        });
        let meaning = |value: &Value| digest(&of_block(&block(value.clone()), None).unwrap());
        assert_eq!(meaning(&written), meaning(&defaulted));

        for (pointer, value) in [
            ("/template/spec/containers/0/image", json!("nginx:1.27")),
            ("/template/spec/restartPolicy", json!("Never")),
            ("/template/spec/containers/0/imagePullPolicy", json!("Always")),
            ("/template/spec/automountServiceAccountToken", json!(true)),
            ("/template/metadata/annotations/foo", json!("baz")),
            ("/volumeClaimTemplates/0/spec/accessModes", json!(["ReadWriteMany"])),
            ("/pauseStrategy/type", json!("Hibernate")),
        ] {
            let mut changed = defaulted.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert_ne!(meaning(&changed), meaning(&written), "{pointer}");
        }
    }

    #[test]
    fn a_sidecar_is_not_an_ordinary_container() {
        let with = |policy: Value| {
            json!({"template": {"spec": {"initContainers": [{"name": "s", "image": "s:1", "restartPolicy": policy}],
                                         "containers": [{"name": "m", "image": "m:1"}]}}})
        };
        let meaning = |value: Value| digest(&of_block(&block(value), None).unwrap());
        assert_ne!(meaning(with(json!("Always"))), meaning(with(Value::Null)));
    }

    #[test]
    fn pull_policies_follow_tags() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:alpine", "IfNotPresent"),
            ("registry:5000/nginx", "Always"),
            ("nginx@sha256:00", "IfNotPresent"),
        ] {
            assert_eq!(pull(image), policy, "{image}");
        }
    }
}
