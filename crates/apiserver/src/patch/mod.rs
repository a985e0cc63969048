//! Patches: an object and a description of a change give another object. Pure; the caller reads, checks and writes.
//!
//! Three kinds differ in what they know. [`merge`] knows nothing of the kind, [`json`] addresses places, [`strategic`]
//! knows which lists are keyed and exists for Kubernetes' own kinds only.

pub mod json;
pub mod merge;
pub mod strategic;
