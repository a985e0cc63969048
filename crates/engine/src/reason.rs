//! Why: the explanation that every decision carries, and the conditions made of such explanations.

use crate::ids::{Key, Version};
use crate::world::TroubleKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The machine-readable half of a [`Reason`]: CamelCase, stable, usable as the reason of a condition or of an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code { $($(#[$doc])* $name),* }

        impl Code {
            /// The code as it appears in conditions and events.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

codes! {
    /// The pool keeps as many sandboxes ready as it was asked to.
    Filled,
    /// The pool was asked for none.
    NothingAsked,
    /// Sandboxes are being started and are not ready yet.
    WaitingForReady,
    /// Sandboxes were too few and are being made.
    BelowTarget,
    /// Sandboxes were too many and are being removed.
    AboveTarget,
    /// Nothing may be made until others are gone: the ceiling counts the ones being made and the ones still terminating.
    AtCeiling,
    /// One pass makes or removes only so many; the next pass goes on.
    BatchLimit,
    /// Stale sandboxes are being replaced.
    RollingOut,
    /// A stale sandbox stays because removing it would leave fewer available than the rollout allows.
    AtFloor,
    /// Stale sandboxes stay until they are claimed, as the strategy asks.
    OnReplenish,
    /// Stale sandboxes stay because the rollout may neither leave one out nor put one on top.
    RolloutFrozen,
    /// So many are on their way to ready as may be at once.
    StartupLimit,
    /// What limits the growth of the pool does not hold it back.
    NotLimited,
    /// Somebody outside noted that they take the sandbox, and never did.
    StrandedLock,
    /// Replaced because the template changed.
    Stale,
    /// The sandbox's process ended or its pod failed.
    Failed,
    /// The sandbox did not become ready within the grace period.
    Stuck,
    /// Sandboxes fail again and again; the next one is started later.
    BackingOff,
    /// A pod finds no node.
    Unschedulable,
    /// A pod is held back by a scheduling gate.
    SchedulingGated,
    /// An image can't be had.
    ImagePull,
    /// A container starts and ends again and again.
    CrashLoop,
    /// A container can't be created from its configuration.
    ConfigError,
    /// The cluster does not let sandboxes be made: a quota, a policy, a missing right.
    CreateRefused,
    /// The cluster does not let a pod be made.
    PodRefused,
    /// The template is missing.
    TemplateNotFound,
    /// The template can't be what a sandbox is made from.
    TemplateInvalid,
    /// A template that a pool had once and nobody needs any more.
    Outdated,
    /// The pool is missing.
    WarmPoolNotFound,
    /// The object is being deleted.
    BeingDeleted,
    /// A sandbox that nobody owns is taken into the pool whose label it carries.
    OrphanAdopted,
    /// A sandbox that nobody owns and that does not fit the pool whose label it carries is removed.
    OrphanRemoved,
    /// A warm sandbox was bound to the claim.
    BoundWarm,
    /// A sandbox was started for the claim.
    BoundCold,
    /// The claim already has its sandbox.
    AlreadyBound,
    /// The claim asks for something a warm sandbox can't have, or asked for a cold one.
    ColdAsked,
    /// The pool has nothing to give, and nothing that would be ready sooner than a cold start.
    PoolEmpty,
    /// Warm sandboxes exist, but of an older template than the strategy allows to hand out.
    OnlyStale,
    /// A sandbox is about to be ready, sooner than a cold start would be.
    WarmSoonerThanCold,
    /// Other claims came first.
    InLine,
    /// The sandbox of the claim disappeared; it gets another one.
    SandboxLost,
    /// The pool has nothing to give, and nothing may be started instead.
    NoStock,
    /// A sandbox takes longer to get ready than the claim's limit, and nothing says that another one would be faster.
    SlowStart,
    /// A sandbox runs, and what runs in it still has to be told for whom.
    TellingRuntime,
    /// The time in which a claim tries was over before it had everything.
    TimedOut,
    /// The claim has everything it asked for.
    AllClaimed,
    /// The name that the claim's sandbox would have is taken.
    NameTaken,
    /// The write was made; it has not come back through the watch yet.
    NotSeenYet,
    /// The claim's content is not acceptable.
    Refused,
    /// The lifetime ended.
    Expired,
    /// The lifetime ended, but the sandbox belongs to somebody else and is left alone.
    ExpiredForeign,
    /// The claim finished and its time to live after that ended.
    TtlAfterFinished,
    /// The sandbox runs and is ready.
    Running,
    /// The sandbox is suspended or on its way to be.
    Suspended,
    /// The sandbox is paused or on its way to be.
    Paused,
    /// The sandbox is on its way back from a pause.
    Resuming,
    /// A timer of the sandbox ran out, and it is paused.
    PausedByTimer,
    /// The pod of the sandbox is gone although nobody asked for that.
    PodLost,
    /// The pod is changed while it runs.
    InPlaceUpdate,
    /// The template changed in a way that no running pod can follow.
    UpdateForbidden,
    /// The pod is replaced, because the template changed.
    Upgrading,
    /// A hook of an upgrade failed.
    HookFailed,
    /// The pod has to be made.
    PodMissing,
    /// The pod is still terminating.
    PodTerminating,
    /// The pod ended for good; it is not started again.
    PodEnded,
    /// Another owner's object holds a name that is needed here.
    ForeignObject,
    /// An object without an owner carries the permission to be taken over.
    Adoptable,
    /// More than one pod belongs to one sandbox.
    MultiplePods,
    /// An object differs from what it should be.
    Drifted,
    /// Not wanted any more.
    Unwanted,
    /// Wanted and missing.
    Missing,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<TroubleKind> for Code {
    fn from(kind: TroubleKind) -> Self {
        match kind {
            TroubleKind::ImagePull => Self::ImagePull,
            TroubleKind::ConfigError => Self::ConfigError,
            TroubleKind::CrashLoop => Self::CrashLoop,
            TroubleKind::Refused => Self::PodRefused,
            TroubleKind::Unschedulable => Self::Unschedulable,
            TroubleKind::SchedulingGated => Self::SchedulingGated,
        }
    }
}

/// What would let a waiting decision go on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WaitsFor {
    /// A moment.
    Time(Timestamp),
    /// A sandbox that becomes ready, or goes.
    Sandbox(Key),
    /// Any sandbox of a pool that becomes ready, or goes.
    Pool(Key),
    /// A template that appears.
    Template(Key),
    /// Our own write, to be seen again.
    Seen(Version),
    /// A change of the object by its user.
    Edit,
    /// Room on the machines.
    Capacity,
}

/// Why something was decided: a code for machines, a sentence for people, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// The code.
    pub code: Code,
    /// One plain sentence with the numbers and names of this case.
    pub message: String,
    /// What would change the decision, where something would.
    pub waits_for: Option<WaitsFor>,
}

impl Reason {
    /// A reason that waits for nothing.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), waits_for: None }
    }

    /// The same reason, waiting.
    pub fn waiting_for(mut self, what: WaitsFor) -> Self {
        self.waits_for = Some(what);
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It can't be told.
    Unknown,
}

impl Verdict {
    /// `True` or `False`.
    pub fn of(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }

    /// As written in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The conditions that a pool reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConditionKind {
    /// As many sandboxes are ready to be claimed as were asked for.
    Available,
    /// The pool is on its way to what was asked for, or there; False means that it does not get nearer without help.
    Progressing,
    /// More are missing than may be started at once. Only reported of pools that have such a limit.
    ScalingLimited,
}

impl ConditionKind {
    /// The condition's type as written in a status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::ScalingLimited => "ScalingLimited",
        }
    }
}

/// One condition of a pool. Times of transition are kept where the status is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Which one.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}
