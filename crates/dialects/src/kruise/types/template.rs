//! SandboxTemplate.

use super::TemplateBlock;
use crate::meta::Meta;
use serde::{Deserialize, Serialize};

/// A SandboxTemplate: written by people, or by a set to remember what its sandboxes were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxTemplate {
    /// Its metadata.
    pub metadata: Meta,
    /// What it describes. It never refers to another template.
    pub spec: TemplateBlock,
}
