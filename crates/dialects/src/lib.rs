//! The API families that sandbank speaks: their types, their CRDs, and pure functions between them and the engine.
//!
//! ```text
//!   object as JSON --(types)--> view --(engine::plan)--> plan --(status, builders)--> JSON to write
//! ```
//!
//! A dialect contains no policy: it reads what an object asks for into the engine's words, and words what the engine decided exactly as clients of the family
//! expect it. Nothing here does I/O, reads a clock or keeps state.
//!
//! - [`meta`], [`condition`], [`pod`]: the parts of Kubernetes objects that every family shares, in slim form. What we do not look at stays JSON and is passed
//!   on untouched.
//! - [`amount`]: numbers and percentages.
//! - [`canonical`]: the meaning of a JSON document as bytes to hash.
//! - [`crds`]: the definitions of all families, to install.
//! - [`x_k8s`]: `agents.x-k8s.io` and `extensions.agents.x-k8s.io`, v1beta1 and v1alpha1.
//! - [`kruise`]: the kinds of `agents.kruise.io/v1alpha1`.

pub mod amount;
pub mod canonical;
pub mod condition;
pub mod crds;
pub mod kruise;
pub mod meta;
pub mod pod;
mod schema;
pub mod x_k8s;
