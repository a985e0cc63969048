//! Sandbox.

use super::TemplateBlock;
use crate::condition::Condition;
use crate::meta::{Meta, Pairs, null_is_default};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A Sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    /// Its metadata.
    pub metadata: Meta,
    /// What it should be.
    pub spec: SandboxSpec,
    /// What it was last said to be.
    #[serde(deserialize_with = "null_is_default")]
    pub status: SandboxStatus,
}

/// What a Sandbox should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxSpec {
    /// What runs.
    #[serde(flatten)]
    pub block: TemplateBlock,
    /// Whether it should be paused.
    #[serde(deserialize_with = "null_is_default")]
    pub paused: bool,
    /// When it is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<Timestamp>,
    /// When it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_time: Option<Timestamp>,
    /// What runs around an upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// How a change of the template reaches the pod; in the running pod if unsaid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_policy: Option<UpgradePolicy>,
}

/// What runs around an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// In the old pod, first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_upgrade: Option<UpgradeHook>,
    /// In the new pod, last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_upgrade: Option<UpgradeHook>,
}

/// A command to run in the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeHook {
    /// What to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecAction>,
    /// How many seconds it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
}

/// A program and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecAction {
    /// The program, then its arguments.
    #[serde(deserialize_with = "null_is_default")]
    pub command: Vec<String>,
}

/// How a change of the template reaches the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpgradePolicy {
    /// The way.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The status of a Sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxStatus {
    /// The generation it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The phase.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// A sentence beside it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its conditions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    /// Its pod.
    #[serde(deserialize_with = "null_is_default")]
    pub pod_info: PodInfo,
    /// Its pod's node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// Its pod's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox_ip: String,
    /// The revision of its template.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub update_revision: String,
}

/// The pod of a Sandbox, as its status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodInfo {
    /// Its annotations.
    #[serde(skip_serializing_if = "Pairs::is_empty", deserialize_with = "null_is_default")]
    pub annotations: Pairs,
    /// Its labels.
    #[serde(skip_serializing_if = "Pairs::is_empty", deserialize_with = "null_is_default")]
    pub labels: Pairs,
    /// Its node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
    /// Its address.
    #[serde(rename = "podIP", skip_serializing_if = "String::is_empty")]
    pub pod_ip: String,
    /// Its life.
    #[serde(rename = "podUID", skip_serializing_if = "String::is_empty")]
    pub pod_uid: String,
}
