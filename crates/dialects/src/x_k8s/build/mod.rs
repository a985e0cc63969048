//! The objects we make, and the patches we write.
//!
//! - [`member`]: a warm Sandbox of a pool. [`cold`]: a Sandbox started for a claim. [`bind`]: the patch that gives a warm one to a claim.
//! - [`pod`], [`service`], [`volume`]: what a Sandbox is made of.
//! - [`policy`]: the NetworkPolicy of a template. [`secure`]: the defaults that templates get.

pub mod bind;
pub mod cold;
pub mod member;
pub mod pod;
pub mod policy;
pub mod secure;
pub mod service;
pub mod volume;

use super::names::Kind;
use crate::meta::{Meta, OwnerReference};

/// A reference that makes this object the controller of another.
pub fn owned_by(kind: Kind, owner: &Meta) -> OwnerReference {
    OwnerReference::controlling(kind.api_version(), kind.as_str(), &owner.name, &owner.uid)
}
