//! The objects we make, and the patches we write.
//!
//! - [`member`]: a warm Sandbox of a set. [`template`]: where the set writes down what its sandboxes are.
//! - [`bind`]: the patch that gives a warm Sandbox to a claim. [`cold`]: a Sandbox started for a claim.
//! - [`pod`], [`volume`]: what a Sandbox is made of. [`change`]: what of a running pod can follow its Sandbox.

pub mod bind;
pub mod change;
pub mod cold;
pub mod member;
pub mod pod;
pub mod template;
pub mod volume;

use super::names::{API_VERSION, Kind};
use crate::meta::{Meta, OwnerReference};

/// A reference that makes this object the controller of another.
pub fn owned_by(kind: Kind, owner: &Meta) -> OwnerReference {
    OwnerReference::controlling(API_VERSION, kind.as_str(), &owner.name, &owner.uid)
}
