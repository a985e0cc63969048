//! `agents.x-k8s.io` and `extensions.agents.x-k8s.io`: Sandbox, SandboxTemplate, SandboxWarmPool, SandboxClaim.
//!
//! v1beta1 is the stored shape. v1alpha1 is served too and behaves as it natively did; the conversion keeps its intent in an annotation.
//!
pub mod keys;
pub mod names;
pub mod types;

pub use types::{Sandbox, SandboxClaim, SandboxTemplate, SandboxWarmPool};
