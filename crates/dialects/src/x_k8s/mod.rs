//! `agents.x-k8s.io` and `extensions.agents.x-k8s.io`: Sandbox, SandboxTemplate, SandboxWarmPool, SandboxClaim.
//!
//! v1beta1 is the stored shape. v1alpha1 is served too and behaves as it natively did; [`convert`] keeps its intent in an annotation.
//!
//! - [`names`], [`keys`]: groups, kinds, plurals; labels and annotations. [`options`]: what an installation may choose.
//! - [`types`]: the four kinds, slim.
//! - [`sandbox`], [`pool`], [`claim`], [`template`]: per kind, from object to engine view and from plan to status.
//! - [`revision`]: what a template means.
//! - [`build`]: the objects we make and the patches we write.
//! - [`claim_content`], [`env`], [`volumes`], [`metadata`]: what claims may change about a template.
//! - [`convert`]: between the versions. [`crds`]: the definitions to install.

pub mod build;
pub mod claim;
pub mod claim_content;
pub mod convert;
pub mod crds;
pub mod env;
pub mod keys;
pub mod metadata;
pub mod names;
pub mod options;
pub mod pool;
pub mod revision;
pub mod sandbox;
pub mod template;
pub mod types;
pub mod volumes;

pub use names::Kind;
pub use options::Options;
pub use types::{Sandbox, SandboxClaim, SandboxTemplate, SandboxWarmPool};
