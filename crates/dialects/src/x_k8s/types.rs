//! The four kinds as they are stored, v1beta1, as far as we look at them. Pod specs, volume claim specs and network rules stay JSON.

pub use crate::amount::IntOrPercent;
use crate::condition::Condition;
use crate::meta::{Meta, Pairs, null_is_default};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A Sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
    pub blueprint: Blueprint,
    /// When it ends.
    pub shutdown_time: Option<Timestamp>,
    /// What happens to the object then.
    pub shutdown_policy: Option<ShutdownPolicy>,
    /// Whether it should run.
    pub operating_mode: Option<OperatingMode>,
}

/// What runs in a sandbox; part of Sandbox and of SandboxTemplate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Blueprint {
    /// The pod.
    pub pod_template: PodTemplate,
    /// Its volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<VolumeClaimTemplate>>,
    /// Whether it has a headless service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<bool>,
}

/// A pod to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Labels and annotations for it.
    #[serde(deserialize_with = "null_is_default")]
    pub metadata: TemplateMeta,
    /// A core/v1 PodSpec.
    pub spec: Value,
}

/// A volume claim to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeClaimTemplate {
    /// Name, labels and annotations for it.
    #[serde(deserialize_with = "null_is_default")]
    pub metadata: TemplateMeta,
    /// A core/v1 PersistentVolumeClaimSpec.
    pub spec: Value,
}

/// The metadata that templates may set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    /// The name; volume claims only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Labels.
    #[serde(skip_serializing_if = "Pairs::is_empty", deserialize_with = "null_is_default")]
    pub labels: Pairs,
    /// Annotations.
    #[serde(skip_serializing_if = "Pairs::is_empty", deserialize_with = "null_is_default")]
    pub annotations: Pairs,
}

/// What happens to an expired object. A Sandbox knows the first two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownPolicy {
    /// It is deleted.
    Delete,
    /// It stays.
    #[default]
    Retain,
    /// It is deleted and stays visible until all it owns is gone.
    DeleteForeground,
}

/// Whether a Sandbox should run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatingMode {
    /// It should.
    #[default]
    Running,
    /// Its pod should be gone.
    Suspended,
}

/// The status of a Sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxStatus {
    /// The name under which its service is found in DNS.
    #[serde(rename = "serviceFQDN", skip_serializing_if = "String::is_empty")]
    pub service_fqdn: String,
    /// Its service's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Its conditions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    /// The selector that finds its pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// Its pod's addresses.
    #[serde(
        rename = "podIPs",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub pod_ips: Vec<String>,
    /// Its pod's node.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node_name: String,
}

/// A SandboxTemplate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxTemplate {
    /// Its metadata.
    pub metadata: Meta,
    /// What it describes.
    pub spec: SandboxTemplateSpec,
}

/// What a SandboxTemplate describes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxTemplateSpec {
    /// What runs.
    #[serde(flatten)]
    pub blueprint: Blueprint,
    /// Rules of its own instead of the secure default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkRules>,
    /// Who takes care of the network policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy_management: Option<NetworkPolicyManagement>,
    /// Whether claims may set variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_vars_injection_policy: Option<InjectionPolicy>,
    /// Whether claims may add or replace volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates_policy: Option<InjectionPolicy>,
}

/// Rules of a network policy, in its own JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkRules {
    /// Who may come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<Value>>,
    /// Where one may go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<Value>>,
}

/// Who takes care of a template's network policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkPolicyManagement {
    /// We do.
    #[default]
    Managed,
    /// Somebody else.
    Unmanaged,
}

/// What claims may change about a list of a template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InjectionPolicy {
    /// Nothing.
    #[default]
    Disallowed,
    /// They may add.
    Allowed,
    /// They may add and replace.
    Overrides,
}

/// A SandboxWarmPool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxWarmPool {
    /// Its metadata.
    pub metadata: Meta,
    /// What it asks for.
    pub spec: SandboxWarmPoolSpec,
    /// What it was last said to be.
    #[serde(deserialize_with = "null_is_default")]
    pub status: SandboxWarmPoolStatus,
}

/// What a SandboxWarmPool asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxWarmPoolSpec {
    /// How many to keep warm; one if unsaid.
    pub replicas: Option<u32>,
    /// Of which template.
    pub sandbox_template_ref: NameRef,
    /// How stale ones are replaced.
    pub update_strategy: Option<UpdateStrategy>,
}

/// The name of another object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NameRef {
    /// The name.
    pub name: String,
}

/// How stale warm sandboxes are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// Which strategy.
    #[serde(rename = "type")]
    pub kind: Option<UpdateStrategyType>,
    /// The budget of `RollingUpdate`. Ours; no other implementation knows it.
    pub rolling_update: Option<RollingUpdate>,
}

/// The strategies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStrategyType {
    /// All stale ones go at once.
    Recreate,
    /// Stale ones stay until claimed.
    #[default]
    OnReplenish,
    /// Stale ones go step by step.
    RollingUpdate,
}

/// The budget of a rolling update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// How many may be missing.
    pub max_unavailable: Option<IntOrPercent>,
    /// How many more may exist.
    pub max_surge: Option<IntOrPercent>,
}

/// The status of a SandboxWarmPool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxWarmPoolStatus {
    /// How many are warm and not leaving.
    pub replicas: u32,
    /// How many of them are ready.
    pub ready_replicas: u32,
    /// How many of them are of the current revision. Ours.
    pub updated_replicas: u32,
    /// The selector that finds them and their pods.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The generation it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Available` and `Progressing`. Ours.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}

/// A SandboxClaim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxClaimSpec {
    /// From which pool.
    pub warm_pool_ref: NameRef,
    /// How long it lives.
    pub lifecycle: Option<Lifecycle>,
    /// Labels and annotations for its pod.
    pub additional_pod_metadata: Option<TemplateMeta>,
    /// Variables for its containers.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<EnvVar>,
    /// Volumes of its own.
    #[serde(deserialize_with = "null_is_default")]
    pub volume_claim_templates: Vec<VolumeClaimTemplate>,
}

/// How long a claim lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// When it ends.
    pub shutdown_time: Option<Timestamp>,
    /// How many seconds after its sandbox finished it ends.
    pub ttl_seconds_after_finished: Option<i32>,
    /// What happens then.
    pub shutdown_policy: Option<ShutdownPolicy>,
}

/// A variable that a claim sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// In which container; the first if unsaid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub container_name: String,
}

/// The status of a SandboxClaim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxClaimStatus {
    /// Its conditions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    /// Its sandbox.
    #[serde(deserialize_with = "null_is_default")]
    pub sandbox: ClaimedSandbox,
}

/// The sandbox of a claim, as its status names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimedSandbox {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its addresses.
    #[serde(
        rename = "podIPs",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub pod_ips: Vec<String>,
}
