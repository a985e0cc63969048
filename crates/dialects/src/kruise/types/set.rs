//! SandboxSet.

use super::TemplateBlock;
pub use crate::amount::IntOrPercent;
use crate::condition::Condition;
use crate::meta::{Meta, null_is_default};
use serde::{Deserialize, Serialize};

/// A SandboxSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxSet {
    /// Its metadata.
    pub metadata: Meta,
    /// What it asks for.
    pub spec: SandboxSetSpec,
    /// What it was last said to be.
    #[serde(deserialize_with = "null_is_default")]
    pub status: SandboxSetStatus,
}

/// What a SandboxSet asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxSetSpec {
    /// How many unclaimed sandboxes to keep.
    pub replicas: u32,
    /// What they run.
    #[serde(flatten)]
    pub block: TemplateBlock,
    /// How the set grows.
    pub scale_strategy: Option<ScaleStrategy>,
    /// How it follows a change of its template.
    pub update_strategy: Option<UpdateStrategy>,
}

/// How a set grows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScaleStrategy {
    /// How many may be on their way to ready at once; no limit if unsaid.
    pub max_unavailable: Option<IntOrPercent>,
}

/// How a set follows a change of its template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// How many may be missing meanwhile.
    pub max_unavailable: Option<IntOrPercent>,
    /// How many more may exist meanwhile. Ours; no other implementation knows it.
    pub max_surge: Option<IntOrPercent>,
}

/// The status of a SandboxSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxSetStatus {
    /// The generation it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many unclaimed sandboxes there are.
    pub replicas: u32,
    /// How many of them can be claimed.
    pub available_replicas: u32,
    /// The revision that new sandboxes get, as shown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub update_revision: String,
    /// The name of the SandboxTemplate that has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_revision: String,
    /// How many of the unclaimed ones have it.
    pub updated_replicas: u32,
    /// How many of those can be claimed.
    pub updated_available_replicas: u32,
    /// The selector that finds them and their pods.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// What `update_revision` stands for. Ours: it lets the string live on when it was another program that chose it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template_digest: String,
    /// Its conditions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}
