//! What was seen of one warm sandbox. About 170 bytes each, so that an index of a hundred thousand fits in a few dozen megabytes.

use crate::ids::{Key, NodeName, Precondition, Revision, Uid, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A sandbox as a pool or a claim sees it.
///
/// May be late. Nothing may be deleted or bound on its word alone: use [`Member::precondition`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub key: Key,
    /// Its life.
    pub uid: Uid,
    /// The version this view was made from.
    pub version: Version,
    /// When it was created.
    pub created: Timestamp,
    /// Who controls it.
    pub holder: Holder,
    /// The revision of the template it was made from, computed from its own content: labels written by other programs are not believed.
    pub revision: Revision,
    /// How far it got.
    pub stage: Stage,
    /// Whether somebody outside is taking it.
    #[serde(default)]
    pub lock: Lock,
    /// Since when it is in this stage. For one that was ready and is not any more this is later than its creation, and its time to become ready begins anew.
    pub since: Timestamp,
    /// The node its pod runs on.
    pub node: Option<NodeName>,
}

impl Member {
    /// What must still be true when a write about it arrives.
    pub fn precondition(&self) -> Precondition {
        Precondition { uid: self.uid.clone(), version: self.version }
    }

    /// Whether it could be handed out: it is ready, and nobody is taking it.
    pub fn is_available(&self) -> bool {
        self.stage == Stage::Available && !self.is_locked()
    }

    /// Whether somebody outside is taking it.
    pub fn is_locked(&self) -> bool {
        self.lock != Lock::Free
    }

    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.stage == Stage::Leaving
    }
}

/// Who controls a sandbox, by the uid in its controlling owner reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// Nobody: an orphan.
    Nobody,
    /// A pool: it is warm.
    Pool(Uid),
    /// A claim: it is taken.
    Claim(Uid),
    /// Something that is not ours.
    Other,
}

/// Whether somebody outside is about to take a sandbox that is still its pool's.
///
/// Other programs may claim from a pool by a protocol of their own that begins with a note on the sandbox. Between that note and the change of hands the sandbox is
/// neither available nor to be removed. Who crashes in between leaves the note behind, so it counts for a while only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lock {
    /// Nobody is.
    #[default]
    Free,
    /// Somebody is, and the note was first seen then. After a restart that is later than it was written, which only errs towards patience.
    Taken {
        /// When it was first seen.
        since: Timestamp,
    },
}

/// How far a sandbox got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// On its way to ready, perhaps in trouble.
    Creating(Option<Trouble>),
    /// Ready, with an address.
    Available,
    /// Its process or pod ended; it will not become ready again.
    Failed {
        /// What the pod said, if anything.
        message: String,
    },
    /// It is being deleted.
    Leaving,
}

/// Why a sandbox that is being created does not get on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trouble {
    /// The kind of trouble.
    pub kind: TroubleKind,
    /// What the cluster says about it.
    pub message: String,
}

/// Kinds of trouble, worst explained first when several members have different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TroubleKind {
    /// An image can't be had.
    ImagePull,
    /// A container can't be created from its configuration.
    ConfigError,
    /// A container starts and ends again and again.
    CrashLoop,
    /// The cluster does not let its pod be made: a quota, a policy.
    Refused,
    /// No node has room or fits.
    Unschedulable,
    /// A scheduling gate holds the pod back.
    SchedulingGated,
}

impl TroubleKind {
    /// Whether it waits for something that starting the same thing again does not bring nearer. A pod that waits for room, for a gate or for a quota is where it
    /// should be: removing it only loses its place.
    pub fn is_waiting_for_a_place(self) -> bool {
        matches!(self, Self::Refused | Self::Unschedulable | Self::SchedulingGated)
    }
}
