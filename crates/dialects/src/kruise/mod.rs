//! `agents.kruise.io/v1alpha1`: SandboxSet, Sandbox, SandboxClaim, SandboxTemplate.
//!
//! ```text
//! SandboxClaim --names--> SandboxSet --keeps warm--> Sandbox --runs--> Pod of the same name
//!                             |  names, or is materialised as
//!                             v
//!                       SandboxTemplate
//! ```
//!
//! A sandbox belongs to its set by the controlling owner reference. A claim takes it with one conditional write that drops the reference and notes the claim in
//! labels and annotations, so other programs that speak this protocol may claim from the same sets beside us.
//!
//! - [`names`], [`keys`]: the group and its kinds; labels and annotations.
//! - [`types`]: the kinds, slim.
//! - [`set`], [`template`]: sets and templates, between object and engine. [`unserved`]: what they may ask for and do not get.
//! - [`revision`]: what a template means, and the short strings it is shown as. [`meaning`]: the content that counts.
//! - [`duration`], [`resources`]: durations and amounts as clients write them.
//! - [`sandbox`]: whom one belongs to and how it stands, what it asks for, and what is said of it.
//! - [`claim`], [`claim_content`], [`claim_status`]: claims, between object and engine. [`runtime`]: what runs inside and is told for whom.
//! - [`build`]: the objects we make and the patches we write. [`crds`]: the definitions to install.

pub mod build;
pub mod claim;
pub mod claim_content;
pub mod claim_status;
pub mod crds;
pub mod duration;
pub mod keys;
pub mod meaning;
pub mod names;
pub mod resources;
pub mod revision;
pub mod runtime;
pub mod sandbox;
pub mod set;
pub mod template;
pub mod types;
pub mod unserved;

pub use names::Kind;
pub use types::{Sandbox, SandboxClaim, SandboxSet, SandboxTemplate, TemplateBlock};
