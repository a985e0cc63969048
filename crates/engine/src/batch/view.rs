//! The words of a batch: what goes into a plan and what comes out.

use crate::backoff::Backoff;
use crate::claim::Candidate;
use crate::ids::{Key, Precondition, Uid, Version};
use crate::reason::Reason;
use crate::rollout::Strategy;
use crate::world::Trouble;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A claim of n sandboxes and everything that bears on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchView {
    /// Its name.
    pub key: Key,
    /// Its life.
    pub uid: Uid,
    /// The version of this view.
    pub version: Version,
    /// Whether it is being deleted. What it has is its user's and stays.
    pub leaving: bool,
    /// How many it asks for.
    pub want: u32,
    /// Its terms.
    pub terms: Terms,
    /// What was reported of it.
    pub history: History,
    /// Whether what it says about its sandboxes can be done.
    pub content: Content,
    /// Where its sandboxes come from.
    pub source: Source,
    /// The sandboxes that carry its mark, in any order.
    pub held: Vec<Holding>,
    /// Failures in a row, as the last plan left them.
    pub backoff: Backoff,
    /// How many sandboxes one plan takes or starts at most: what is delivered meanwhile is reported between two plans.
    pub wave: u32,
}

/// What a batch may do, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Whether a part of it is of use.
    pub delivery: Delivery,
    /// What happens when the pool has nothing to give.
    pub stock: Stock,
    /// Whether a warm sandbox is delivered as it is.
    pub handover: Handover,
    /// What happens to a sandbox that was meant for it and can't be delivered.
    pub failed: Failed,
    /// How long it tries.
    pub patience: SignedDuration,
    /// How long one sandbox may take to get ready for it.
    pub readiness: SignedDuration,
    /// How long it stays after it is over; `None` for ever.
    pub keep: Option<SignedDuration>,
    /// When its sandboxes end, if they do. Nothing is started that would end at once.
    pub ends: Option<Timestamp>,
}

/// Whether a part of a batch is of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// Each sandbox is delivered when it is there.
    #[default]
    AsTheyCome,
    /// All of them or none: nothing is taken before there is enough for all, and nothing is kept if the time is over first.
    AllOrNothing,
}

/// What a batch does when the pool has nothing to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stock {
    /// It waits for the pool.
    #[default]
    Wait,
    /// It has sandboxes started for itself, unless one of the pool will be ready sooner.
    Create,
}

/// Whether a warm sandbox is delivered as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handover {
    /// It is delivered by the write that takes it.
    #[default]
    AsItIs,
    /// It is changed by that write, or told something after it, and delivered when that is done.
    Prepared,
}

/// What happens to a sandbox that can't be delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failed {
    /// It is deleted.
    #[default]
    Discard,
    /// It is put aside for its user to look at, and does not count.
    Reserve,
}

/// What was reported of a batch. A report that somebody took back is made again from what is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When it began; `None` before its first report.
    pub started: Option<Timestamp>,
    /// When it was over, if it is.
    pub completed: Option<Timestamp>,
    /// How many it was said to have.
    pub claimed: u32,
    /// Their names, also of those that are gone. Another implementation reports none.
    pub delivered: BTreeSet<Key>,
}

/// Whether what a batch says about its sandboxes can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// It can.
    Plain,
    /// Not as the batch and its pool are now.
    Refused(String),
}

/// Where the sandboxes of a batch come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The pool that it names does not exist. It may still appear.
    PoolMissing {
        /// Its name.
        name: Key,
    },
    /// It exists.
    Found {
        /// What the pool offers.
        lot: Lot,
        /// Whether a sandbox can be started for the batch.
        cold: ColdStart,
    },
}

/// Whether a sandbox can be started for a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColdStart {
    /// It can, and takes so long, as observed; `None` before the first.
    Takes(Option<SignedDuration>),
    /// Not now: the template is missing, for example.
    Impossible(Reason),
}

/// What a pool offers to one batch at one moment. Made by [`crate::shelf::Shelf::lot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The pool.
    pub pool: Key,
    /// Its strategy, which says whether stale ones may be handed out.
    pub strategy: Strategy,
    /// Sandboxes that are ready and that no earlier claim waits for, best first.
    pub candidates: Vec<Candidate>,
    /// The sandboxes being created that this batch would get, counting what those before it wait for: when each start began.
    pub coming: Vec<Timestamp>,
    /// How many sandboxes claims before this one wait for.
    pub ahead: u32,
    /// How many stale ones are ready, which the strategy may forbid.
    pub stale: u32,
    /// How long a start in this pool takes, as observed.
    pub start: Option<SignedDuration>,
}

/// A sandbox that carries the batch's mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Its name.
    pub key: Key,
    /// What must still be true when it is written to.
    pub precondition: Precondition,
    /// Since when it is the batch's.
    pub since: Timestamp,
    /// How far it is.
    pub state: HoldingState,
}

/// How far a sandbox of a batch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldingState {
    /// Nothing is left to do for it. What becomes of it later is its user's business.
    Done,
    /// It is being started, or changed in place.
    Starting(Option<Trouble>),
    /// It runs, and what runs in it still has to be told for whom.
    Untold,
    /// It can't be delivered any more.
    Broken {
        /// Why.
        message: String,
    },
    /// It was put aside and does not count.
    Reserved,
    /// It is being deleted.
    Leaving,
}

/// What should be done about a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPlan {
    /// Discards and the like come first; then takes, then creates. Of one plan they may all be done at once.
    pub actions: Vec<BatchAction>,
    /// The answer, for its status.
    pub answer: Answer,
    /// For how many sandboxes it stands in the pool's line.
    pub in_line: u32,
    /// When to plan again although nothing happened.
    pub wake_at: Option<Timestamp>,
    /// Why, in the order of thought.
    pub reasons: Vec<Reason>,
    /// The failures in a row to hand to the next plan.
    pub backoff: Backoff,
}

/// One thing to do about a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchAction {
    /// Delete a sandbox that was meant for the batch and that nobody was told of.
    Discard {
        /// Which.
        key: Key,
        /// What must still be true.
        precondition: Precondition,
        /// Why.
        why: Reason,
    },
    /// Put such a sandbox aside instead.
    Reserve {
        /// Which.
        key: Key,
        /// What must still be true.
        precondition: Precondition,
        /// Why.
        why: Reason,
    },
    /// Tell what runs in this sandbox for whom it runs.
    Tell {
        /// Which.
        key: Key,
    },
    /// Make this warm sandbox the batch's: the one write that commits. If the precondition is refused, drop the candidate and plan again.
    Take {
        /// Which.
        candidate: Candidate,
        /// From which pool.
        pool: Key,
        /// Why.
        why: Reason,
    },
    /// Start sandboxes for the batch.
    Create {
        /// How many.
        count: u32,
        /// Of which pool's template.
        pool: Key,
        /// Why.
        why: Reason,
    },
    /// Delete the batch's object. What it delivered stays.
    DeleteBatch {
        /// What must still be true.
        precondition: Precondition,
        /// Why.
        why: Reason,
    },
}

/// What a batch is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It goes on.
    Claiming {
        /// Since when.
        started: Timestamp,
        /// What was delivered.
        delivered: Delivered,
        /// What it does or waits for.
        why: Reason,
    },
    /// It is over.
    Completed {
        /// Since when it went on.
        started: Timestamp,
        /// When it was over.
        at: Timestamp,
        /// What was delivered.
        delivered: Delivered,
        /// How it ended.
        ending: Ending,
    },
    /// It was over before; nothing new is said.
    Over,
    /// Nothing is said: the object is on its way out.
    Silent,
}

/// What was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// How many, never fewer than were reported before.
    pub count: u32,
    /// Their names, as far as they are known.
    pub names: BTreeSet<Key>,
}

/// How a batch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It has what it asked for.
    Whole,
    /// Its time was over first. The reason says what was missing.
    TimedOut(Reason),
    /// Its time was over and its pool never appeared.
    PoolMissing(Key),
}
