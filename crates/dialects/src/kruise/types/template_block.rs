//! What a sandbox runs: the fields that SandboxSet, Sandbox and SandboxTemplate share.

use super::SandboxTemplate;
use crate::meta::{Pairs, null_is_default};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a sandbox runs, spelled out or by reference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateBlock {
    /// The pod. Exclusive with `template_ref`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplate>,
    /// A SandboxTemplate of the same namespace that says what the pod is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// Volume claims made with each sandbox.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub volume_claim_templates: Vec<VolumeClaimTemplate>,
    /// What survives a pause: of `ip`, `memory`, `filesystem`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub persistent_contents: Vec<String>,
    /// Programs to put beside the containers.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub runtimes: Vec<Runtime>,
    /// How it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_strategy: Option<PauseStrategy>,
}

impl TemplateBlock {
    /// The pod, its own or that of the template it refers to.
    pub fn pod<'a>(&'a self, referenced: Option<&'a SandboxTemplate>) -> Option<&'a PodTemplate> {
        match &self.template_ref {
            Some(_) => referenced?.spec.template.as_ref(),
            None => self.template.as_ref(),
        }
    }

    /// The volume claims: its own, or else those of the template it refers to.
    pub fn volumes<'a>(
        &'a self,
        referenced: Option<&'a SandboxTemplate>,
    ) -> &'a [VolumeClaimTemplate] {
        match (&self.template_ref, referenced) {
            (Some(_), Some(template)) if self.volume_claim_templates.is_empty() => {
                &template.spec.volume_claim_templates
            }
            _ => &self.volume_claim_templates,
        }
    }
}

/// A pod to make.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Labels and annotations for it.
    #[serde(skip_serializing_if = "TemplateMeta::is_empty", deserialize_with = "null_is_default")]
    pub metadata: TemplateMeta,
    /// A core/v1 PodSpec.
    pub spec: Value,
}

/// The metadata of what is made from a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// What else it says.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl TemplateMeta {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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
    /// What else it says, such as the empty status that typed clients write.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The name of a SandboxTemplate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TemplateRef {
    /// The name; the only field that is looked at.
    pub name: String,
    /// The kind, as clients write it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Group and version, as clients write them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
}

/// A program to put beside the containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runtime {
    /// Its name.
    pub name: String,
}

/// How a sandbox is paused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PauseStrategy {
    /// Which way.
    #[serde(rename = "type")]
    pub kind: PauseType,
    /// How to hibernate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hibernate_strategy: Option<Value>,
}

/// The ways to pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PauseType {
    /// The pod goes; what is not in a volume is lost.
    #[default]
    Stop,
    /// The pod is kept as a snapshot. Accepted, and done as [`PauseType::Stop`].
    Hibernate,
}
