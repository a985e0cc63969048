//! SandboxClaim.

use super::Runtime;
use crate::condition::Condition;
use crate::meta::{Meta, Pairs, null_is_default};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A SandboxClaim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxClaim {
    /// Its metadata.
    pub metadata: Meta,
    /// What it asks for.
    pub spec: SandboxClaimSpec,
    /// What it was last told.
    #[serde(deserialize_with = "null_is_default")]
    pub status: SandboxClaimStatus,
}

/// What a SandboxClaim asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxClaimSpec {
    /// The SandboxSet it takes from, which is also the template of what is started for it.
    pub template_name: String,
    /// How many.
    pub replicas: u32,
    /// When the sandboxes end.
    pub shutdown_time: Option<Timestamp>,
    /// When they are paused.
    pub pause_time: Option<Timestamp>,
    /// How long it tries.
    #[serde(deserialize_with = "null_is_default")]
    pub claim_timeout: String,
    /// How long it stays when it is over; for ever if negative.
    #[serde(deserialize_with = "null_is_default")]
    pub ttl_after_completed: String,
    /// How long one sandbox may take to get ready for it.
    #[serde(deserialize_with = "null_is_default")]
    pub wait_ready_timeout: String,
    /// Labels for the sandboxes and their pods.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: Pairs,
    /// Annotations for the sandboxes and their pods.
    #[serde(deserialize_with = "null_is_default")]
    pub annotations: Pairs,
    /// Variables for what runs in the sandboxes; told to the runtime inside.
    #[serde(deserialize_with = "null_is_default")]
    pub env_vars: Pairs,
    /// What is changed about the first container.
    pub inplace_update: Option<InplaceUpdate>,
    /// Volumes for the runtime inside to mount.
    #[serde(deserialize_with = "null_is_default")]
    pub dynamic_volumes_mount: Vec<Value>,
    /// Programs to put beside the containers.
    #[serde(deserialize_with = "null_is_default")]
    pub runtimes: Vec<Runtime>,
    /// Whether a sandbox that can't be delivered is kept to be looked at.
    #[serde(deserialize_with = "null_is_default")]
    pub reserve_failed_sandbox: bool,
    /// Whether sandboxes are started when the set has none to give.
    pub create_on_no_stock: Option<bool>,
    /// Whether the runtime inside is left alone.
    #[serde(deserialize_with = "null_is_default")]
    pub skip_init_runtime: bool,
}

impl Default for SandboxClaimSpec {
    /// As the schema has it.
    fn default() -> Self {
        Self {
            template_name: String::new(),
            replicas: 1,
            shutdown_time: None,
            pause_time: None,
            claim_timeout: String::new(),
            ttl_after_completed: String::new(),
            wait_ready_timeout: String::new(),
            labels: Pairs::new(),
            annotations: Pairs::new(),
            env_vars: Pairs::new(),
            inplace_update: None,
            dynamic_volumes_mount: Vec::new(),
            runtimes: Vec::new(),
            reserve_failed_sandbox: false,
            create_on_no_stock: None,
            skip_init_runtime: false,
        }
    }
}

/// What a claim changes about the first container of what it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InplaceUpdate {
    /// Its image; unchanged if empty.
    #[serde(deserialize_with = "null_is_default")]
    pub image: String,
    /// What it may use.
    #[serde(deserialize_with = "null_is_default")]
    pub resources: InplaceResources,
}

/// What the first container may use: only quantities that it has already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InplaceResources {
    /// What is set aside for it.
    #[serde(deserialize_with = "null_is_default")]
    pub requests: std::collections::BTreeMap<String, Value>,
    /// What it may not exceed.
    #[serde(deserialize_with = "null_is_default")]
    pub limits: std::collections::BTreeMap<String, Value>,
}

/// The status of a SandboxClaim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxClaimStatus {
    /// The generation it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Claiming` or `Completed`; nothing before the first report.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// One sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How many it has.
    pub claimed_replicas: u32,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_start_time: Option<Timestamp>,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Timestamp>,
    /// Its conditions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    /// The names of the sandboxes that were delivered, also of those that are gone since. Ours.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub sandboxes: Vec<String>,
}
