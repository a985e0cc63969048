//! The objects we make, and the patches we write.
//!
//! - [`bind`]: the patch that gives a warm Sandbox to a claim. [`cold`]: a Sandbox started for a claim.

pub mod bind;
pub mod cold;
