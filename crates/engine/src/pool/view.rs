//! The words of a pool: what goes into a plan and what comes out.

use crate::backoff::Backoff;
use crate::ids::{Key, Precondition, Revision, Uid};
use crate::reason::{Condition, Reason};
use crate::rollout::{Amount, Strategy};
use crate::world::Member;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many sandboxes a pool keeps warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// So many unclaimed ones, whatever was claimed.
    Count(u32),
    /// Between `min_idle` and `max_idle` unclaimed ones, and between `min_total` and `max_total` together with the claimed ones.
    Buffer {
        /// Refill when fewer are idle.
        min_idle: u32,
        /// Shrink when more are idle.
        max_idle: u32,
        /// Never fewer in all.
        min_total: u32,
        /// Never more in all.
        max_total: u32,
    },
}

/// The template of a pool as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TemplateState {
    /// There is none of this name. Nothing is made; what exists is kept.
    Missing {
        /// The name the pool asks for.
        name: Key,
    },
    /// It exists, and nothing can be made from it. Nothing is made; what exists is kept.
    Invalid {
        /// Its name.
        name: Key,
        /// What is wrong with it.
        message: String,
    },
    /// It exists.
    Found {
        /// Its name.
        name: Key,
        /// What it means now.
        revision: Revision,
    },
}

/// The numbers that an installation may set, the same for all its pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long a sandbox may take to become ready before it is replaced.
    pub readiness_grace: SignedDuration,
    /// How many sandboxes one plan makes or removes at most, so that one large pool does not fill the writers' queue before others get their turn.
    pub batch: u32,
    /// How long somebody outside may take to take a sandbox that they locked. The whole of it is one write, so minutes are patience for a process that hangs;
    /// without an end, one that crashed would keep the sandbox for ever.
    pub lock_grace: SignedDuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            readiness_grace: SignedDuration::from_mins(5),
            batch: 300,
            lock_grace: SignedDuration::from_mins(2),
        }
    }
}

/// Which of too many sandboxes go first. Those that failed always do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Removal {
    /// Those in trouble, those still starting, the stale; among equals the newest, which has the least behind it.
    #[default]
    NewestFirst,
    /// The stale, whatever they do; then those that never got ready, those that were ready once, the ready; among equals the oldest.
    StaleThenOldest,
}

/// What was written for a pool and is not seen yet. Kept by [`crate::expect::Expectations`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Names of sandboxes whose creation was asked for. Those that are among the members by now do not count twice.
    pub creating: BTreeSet<Key>,
    /// Sandboxes whose deletion was asked for.
    pub deleting: BTreeSet<Uid>,
    /// Sandboxes that a claim is being given. Until that is known to have happened they take room: if it does not, they are the pool's as before.
    #[serde(default)]
    pub handing_out: BTreeSet<Uid>,
    /// Sandboxes that a claim was given.
    pub handed_out: BTreeSet<Uid>,
}

/// A pool and everything that bears on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub key: Key,
    /// Its life.
    pub uid: Uid,
    /// Whether it is being deleted; then only its owner references matter.
    pub leaving: bool,
    /// What it asks for.
    pub target: Target,
    /// The template it makes sandboxes from.
    pub template: TemplateState,
    /// How stale ones are replaced.
    pub strategy: Strategy,
    /// How many may be on their way to ready at once; no limit if absent. A part of the target rounds up, so that only an explicit zero stops the pool.
    #[serde(default)]
    pub startup: Option<Amount>,
    /// Which go first when there are too many.
    #[serde(default)]
    pub removal: Removal,
    /// Every sandbox that carries the pool's label, whoever holds it, in any order.
    pub members: Vec<Member>,
    /// How many sandboxes were claimed from it and still exist. Only a [`Target::Buffer`] counts them.
    pub claimed: u32,
    /// How many sandboxes claims wait for. Only a [`Target::Buffer`] makes more because of them.
    pub waiting: u32,
    /// What was written and is not seen yet.
    pub pending: Pending,
    /// Failures in a row, as the last plan left them.
    pub backoff: Backoff,
    /// Why the cluster did not let a sandbox be made, if that was so the last time and no other attempt has succeeded since.
    #[serde(default)]
    pub refusal: Option<String>,
    /// The installation's numbers.
    pub settings: Settings,
}

/// What should be done about a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPlan {
    /// In this order. Each may be refused by a precondition; then plan again.
    pub actions: Vec<PoolAction>,
    /// What to report.
    pub status: PoolStatus,
    /// When to plan again although nothing happened.
    pub wake_at: Option<Timestamp>,
    /// Why, in the order of thought.
    pub reasons: Vec<Reason>,
    /// The failures in a row to hand to the next plan.
    pub backoff: Backoff,
}

/// One thing to do about a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolAction {
    /// Make sandboxes of this revision.
    Create {
        /// How many.
        count: u32,
        /// Of what. If the template has moved on when it is read for the object, plan again instead.
        revision: Revision,
        /// Why.
        why: Reason,
    },
    /// Remove a warm sandbox, if it is still what it was.
    Delete {
        /// Which.
        key: Key,
        /// What must still be true.
        precondition: Precondition,
        /// Why.
        why: Reason,
    },
    /// Make the pool the owner of an orphan that carries its label and fits.
    Adopt {
        /// Which.
        key: Key,
        /// What must still be true.
        precondition: Precondition,
        /// Why.
        why: Reason,
    },
}

/// How many of what. `warm` is what the pool has; `leaving` comes on top of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Warm and not leaving.
    pub warm: u32,
    /// Ready to be claimed, of any revision.
    pub available: u32,
    /// On their way to ready.
    pub creating: u32,
    /// Ended.
    pub failed: u32,
    /// Being deleted.
    pub leaving: u32,
    /// Being taken by somebody outside; of any stage, and not available.
    #[serde(default)]
    pub locked: u32,
    /// Of the current revision.
    pub updated: u32,
    /// Of the current revision and available.
    pub updated_available: u32,
}

/// What a pool reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// As listed at the versions of the view.
    pub counts: Counts,
    /// How many the pool wants to have warm now.
    pub desired: u32,
    /// The revision new sandboxes get, if the template exists.
    pub revision: Option<Revision>,
    /// `Available` and `Progressing`, in this order, and `ScalingLimited` of pools that have a limit.
    pub conditions: Vec<Condition>,
}
