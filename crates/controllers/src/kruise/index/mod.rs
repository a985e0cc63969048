//! What a change of one of this family's objects means, and whom it wakes: one file per kind.

pub(super) mod claims;
pub(super) mod making;
pub(super) mod pools;
pub(super) mod sandboxes;
mod templates;
