//! The words of a claim: what goes into a plan and what comes out.

use crate::ids::{Key, NodeName, Precondition, Uid, Version};
use crate::reason::Reason;
use crate::rollout::{Freshness, Strategy};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A claim and everything that bears on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimView {
    /// Its name.
    pub key: Key,
    /// Its life.
    pub uid: Uid,
    /// The version of this view.
    pub version: Version,
    /// When it was created: its place in the line.
    pub created: Timestamp,
    /// Whether it is being deleted; then nothing is done, its sandbox goes with it.
    pub leaving: bool,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Whether what it says about its sandbox can be done at all.
    pub content: Content,
    /// Where its sandbox may come from.
    pub source: Source,
    /// What it has.
    pub held: Held,
    /// Sandboxes it controls beyond that one, left over from a write whose answer was lost. Nobody was ever told of them.
    pub spare: Vec<(Key, Precondition)>,
}

/// How long a claim lives, and what goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// The moment it ends.
    pub shutdown_at: Option<Timestamp>,
    /// How long it lives after its sandbox finished.
    pub ttl_after_finished: Option<SignedDuration>,
    /// What happens then.
    pub policy: ExpiryPolicy,
    /// When its sandbox finished, as last reported: known even after the sandbox is gone.
    pub finished: Option<Timestamp>,
    /// Whether the end was already reported. It is reported one write before anything is removed, so that a watcher learns why.
    pub announced: bool,
}

/// What happens to an expired claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ExpiryPolicy {
    /// The sandbox is deleted, the claim stays.
    #[default]
    Retain,
    /// The claim is deleted; its sandbox follows.
    Delete,
    /// The claim is deleted and stays visible until its sandbox is gone.
    DeleteForeground,
}

/// What a claim says about its sandbox, judged by its dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A warm sandbox will do.
    Plain,
    /// Only a sandbox started for it will do, for this reason: it sets variables or volumes, or asks for a cold one.
    ColdOnly(Reason),
    /// It can't be done, whatever happens, until the user edits something. `word` is the condition reason of the dialect.
    Refused {
        /// The dialect's reason string.
        word: String,
        /// What is wrong.
        message: String,
    },
}

/// Where a sandbox for a claim may come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The pool that the claim names does not exist.
    PoolMissing {
        /// Its name.
        name: Key,
    },
    /// The template does not exist.
    TemplateMissing {
        /// Its name.
        name: Key,
    },
    /// These pools, best first as far as the user said so; a cold start is possible in any case.
    Found {
        /// What each pool offers. May be empty.
        offers: Vec<Offer>,
        /// How long a cold start takes, as observed; `None` before the first.
        cold_start: Option<SignedDuration>,
    },
}

/// What one pool offers to one claim at one moment. Made by [`crate::shelf::Shelf::offer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The pool.
    pub pool: Key,
    /// Its strategy, which says whether stale ones may be handed out.
    pub strategy: Strategy,
    /// A sandbox that is ready and that no earlier claim waits for.
    pub candidate: Option<Candidate>,
    /// The sandbox being created that this claim would get, counting those before it in line: when its start began.
    pub in_flight: Option<Timestamp>,
    /// How many claims wait before this one.
    pub ahead: u32,
    /// How many stale ones are ready, which the strategy may forbid.
    pub stale: u32,
    /// How long a start in this pool takes, as observed.
    pub start: Option<SignedDuration>,
}

/// A warm sandbox that a claim may take.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub key: Key,
    /// What must still be true.
    pub precondition: Precondition,
    /// Whether it is of the pool's current revision.
    pub freshness: Freshness,
    /// Its node.
    pub node: Option<NodeName>,
}

/// What a claim has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    /// Nothing, and it never had.
    Nothing,
    /// A sandbox that it controls.
    Sandbox(HeldSandbox),
    /// It had one, and that is gone.
    Lost {
        /// Its name.
        name: Key,
    },
    /// Its status names a sandbox that somebody else controls.
    Foreign {
        /// Its name.
        name: Key,
    },
    /// It has nothing, and a sandbox of the claim's own name exists under another owner, so that a cold one can't be made.
    NameTaken {
        /// The name.
        name: Key,
    },
    /// A sandbox was asked for and is not seen yet.
    Pending {
        /// Its name.
        name: Key,
    },
}

/// The sandbox of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSandbox {
    /// Its name.
    pub key: Key,
    /// What must still be true when it is deleted.
    pub precondition: Precondition,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// Since when it is finished, if it is.
    pub finished: Option<Timestamp>,
    /// Whether its own lifetime ended, independently of the claim's.
    pub expired: bool,
}

/// What should be done about a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimPlan {
    /// In this order.
    pub actions: Vec<ClaimAction>,
    /// The answer, for its status.
    pub answer: Answer,
    /// When to plan again although nothing happened.
    pub wake_at: Option<Timestamp>,
    /// Why, in the order of thought.
    pub reasons: Vec<Reason>,
}

/// One thing to do about a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimAction {
    /// Make the claim the owner of this warm sandbox: the one write that commits. If the precondition is refused, drop the candidate and plan again.
    Bind {
        /// Which.
        candidate: Candidate,
        /// From which pool.
        pool: Key,
        /// Why.
        why: Reason,
    },
    /// Make a sandbox of this name for the claim.
    CreateCold {
        /// Its name.
        name: Key,
        /// Why.
        why: Reason,
    },
    /// Delete the claim's sandbox.
    DeleteSandbox {
        /// Which.
        key: Key,
        /// What must still be true.
        precondition: Precondition,
        /// Why.
        why: Reason,
    },
    /// Delete the claim.
    DeleteClaim {
        /// What must still be true.
        precondition: Precondition,
        /// Whether it stays visible until its sandbox is gone.
        cascade: Cascade,
        /// Why.
        why: Reason,
    },
}

/// How a deletion reaches what the object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cascade {
    /// The object goes first.
    Background,
    /// The object goes last.
    Foreground,
}

/// What a claim is told. Always one of bound, waiting, refused, or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It has a sandbox; its readiness is the sandbox's.
    Bound {
        /// Which.
        sandbox: Key,
        /// Whether it was warm or had to be started; `None` if it was bound earlier, by whoever wrote it then.
        launch: Option<Launch>,
    },
    /// Not yet.
    Waiting(Reason),
    /// Not until somebody changes something.
    Refused(Refusal),
    /// Its lifetime is over.
    Ended(Ending),
    /// Nothing is said: the object is on its way out.
    Silent,
}

/// How a sandbox came to its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Launch {
    /// It was ready before.
    Warm,
    /// It was started for the claim.
    Cold,
}

/// Why a claim is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The pool does not exist.
    PoolMissing(Key),
    /// The template does not exist.
    TemplateMissing(Key),
    /// Its content can't be done; the words are the dialect's.
    Content {
        /// The dialect's reason string.
        word: String,
        /// What is wrong.
        message: String,
    },
    /// The name of its sandbox is taken by somebody else's.
    NameTaken(Key),
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Its time is over; its sandbox is being removed or gone.
    Expired,
    /// Its time is over, and the sandbox it names is not its own and is left alone.
    ExpiredForeign(Key),
}
