//! The objects that the tests speak of.

#![allow(dead_code)] // each test file uses its part

use sandbank_dialects::x_k8s::build::member;
use sandbank_dialects::x_k8s::{Options, Sandbox, SandboxClaim, SandboxTemplate, SandboxWarmPool};
use serde_json::{Value, json};

pub fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("of this kind")
}

pub fn template() -> SandboxTemplate {
    read(json!({
        "metadata": {"name": "t", "namespace": "ns", "uid": "uid-t"},
        "spec": {
            "podTemplate": {
                "metadata": {"labels": {"app": "x", "agents.x-k8s.io/sandbox-name-hash": "stolen"}, "annotations": {"note": "n"}},
                "spec": {"containers": [{"name": "main", "image": "host", "ports": [{"containerPort": 8888, "protocol": "TCP"}]}]},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
            "service": true,
        },
    }))
}

pub fn pool() -> SandboxWarmPool {
    read(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "uid-p", "generation": 2},
        "spec": {"replicas": 3, "sandboxTemplateRef": {"name": "t"}},
    }))
}

pub fn alice() -> SandboxClaim {
    read(json!({
        "metadata": {"name": "alice", "namespace": "ns", "uid": "uid-alice", "generation": 4,
                     "labels": {"agents.x-k8s.io/created-by": "python-client"}},
        "spec": {"warmPoolRef": {"name": "p"}, "additionalPodMetadata": {"labels": {"sandbox.users.io/team": "red"}}},
    }))
}

/// A stored object: what we send, with what a server adds.
pub fn stored(mut object: Value, version: u64) -> Value {
    object["metadata"]["uid"] =
        json!(format!("uid-{}", object["metadata"]["name"].as_str().expect("named")));
    object["metadata"]["resourceVersion"] = json!(version.to_string());
    object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    object
}

pub fn warm() -> Sandbox {
    read(stored(member::member(&pool(), &template(), "p-abcde", &Options::default()), 5))
}

/// RFC 7396, enough of it to see what a patch does.
pub fn patched(mut object: Value, patch: &Value) -> Value {
    let Some(members) = patch.as_object() else { return patch.clone() };
    if !object.is_object() {
        object = json!({});
    }
    for (key, value) in members {
        if value.is_null() {
            object.as_object_mut().expect("just made one").remove(key);
        } else {
            object[key] = patched(object[key].take(), value);
        }
    }
    object
}
