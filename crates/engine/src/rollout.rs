//! Rollout: how stale warm sandboxes give way to fresh ones.

use serde::{Deserialize, Serialize};

/// Whether a sandbox was made from the template as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Freshness {
    /// Of the current revision.
    Fresh,
    /// Of an older one, or of another template.
    Stale,
}

/// How stale warm sandboxes are replaced. A claimed sandbox is never touched by any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// All stale ones go at once. The pool is empty until new ones are ready.
    Recreate,
    /// Stale ones stay until they are claimed; only what is made newly is fresh.
    OnReplenish,
    /// Stale ones go step by step, never more than the budget allows, and each step waits until the fresh ones are ready.
    RollingUpdate(Budget),
}

impl Strategy {
    /// Whether a claim may get a sandbox of this freshness. A user who asks for old ones to be removed does not want them handed out meanwhile.
    pub fn hands_out(self, freshness: Freshness) -> bool {
        match (self, freshness) {
            (_, Freshness::Fresh) | (Self::OnReplenish, Freshness::Stale) => true,
            (Self::Recreate | Self::RollingUpdate(_), Freshness::Stale) => false,
        }
    }
}

/// How far a rolling update may leave the target, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How many of the target may be missing. Percentages round down.
    pub max_unavailable: Amount,
    /// How many more than the target may exist. Percentages round up.
    pub max_surge: Amount,
}

/// A number, or a part of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many of a hundred.
    Percent(u32),
}

/// A [`Budget`] applied to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The rollout never leaves fewer available than this.
    pub floor: u32,
    /// The rollout never makes more than this.
    pub ceiling: u32,
}
