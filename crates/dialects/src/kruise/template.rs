//! SandboxTemplate: what it means, and whose it is.

use super::names::{GROUP, Kind};
use super::revision::Meaning;
use super::types::{SandboxSet, SandboxTemplate};
use crate::meta::OwnerReference;
use engine::Uid;
use engine::pool::history::{Past, Use};

impl SandboxTemplate {
    /// The life of the set that wrote it down; nothing if a person did.
    pub fn set(&self) -> Option<Uid> {
        let owner = self.metadata.controller()?;
        owner.is(GROUP, Kind::SandboxSet.as_str()).then(|| Uid::new(&owner.uid))
    }

    /// Whether this set wrote it down.
    pub fn is_of(&self, set: &SandboxSet) -> bool {
        self.metadata.controller().is_some_and(|owner: &OwnerReference| {
            owner.is(GROUP, Kind::SandboxSet.as_str()) && owner.uid == set.metadata.uid
        })
    }

    /// What its sandboxes are.
    pub fn meaning(&self) -> Option<Meaning> {
        Meaning::of_block(&self.spec, None)
    }

    /// As a part of its set's history.
    pub fn past(&self, use_: Use) -> Past {
        Past {
            key: self.metadata.key(),
            precondition: self.metadata.precondition(),
            created: self.metadata.created(),
            use_,
        }
    }
}
