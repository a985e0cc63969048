//! What comes out of a plan.

use super::view::{Hook, PodTrouble};
use crate::ids::{Key, NodeName, Precondition, Revision, Uid};
use crate::reason::Reason;
use crate::sandbox::VolumeAction;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What should be done about a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifePlan {
    /// In this order. When one fails, those after it are left out.
    pub actions: Vec<LifeAction>,
    /// What to report; nothing if what was reported stands.
    pub status: Option<LifeStatus>,
    /// When to plan again although nothing happened.
    pub wake_at: Option<Timestamp>,
    /// Why, in the order of thought.
    pub reasons: Vec<Reason>,
}

/// One thing to do about a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifeAction {
    /// Make a volume claim, or become the owner of one.
    Volume(VolumeAction),
    /// Make the pod.
    CreatePod(Key),
    /// Delete the pod, whatever was written to it since.
    DeletePod {
        /// Its name.
        key: Key,
        /// Its life.
        uid: Uid,
        /// How long its processes get to end.
        grace: Grace,
    },
    /// Change what the pod's containers may use.
    ResizePod {
        /// Its name.
        key: Key,
        /// Its life.
        uid: Uid,
    },
    /// Change images, labels and annotations of the pod, and write down the revision it has then.
    PatchPod {
        /// Its name.
        key: Key,
        /// Its life.
        uid: Uid,
        /// Whether containers change with it.
        change: PodChange,
    },
    /// Run a hook in the pod.
    RunHook(Hook),
    /// Tell the program inside for whom it runs.
    TellRuntime {
        /// The life of the pod that it runs in.
        pod: Uid,
    },
    /// Put our finalizer on the sandbox, if nobody wrote to it since.
    AddFinalizer(Precondition),
    /// Take it off, if nobody wrote to it since.
    RemoveFinalizer(Precondition),
    /// Say in its spec that the sandbox is paused, if nobody wrote to it since.
    Pause {
        /// What must still be true: somebody may have moved the timer.
        precondition: Precondition,
        /// When its life ends now, if that changes; the next pause is moved there too.
        keep_until: Option<Timestamp>,
    },
    /// Delete the sandbox itself, if nobody wrote to it since: its time is over.
    DeleteSandbox(Precondition),
}

impl From<VolumeAction> for LifeAction {
    fn from(action: VolumeAction) -> Self {
        Self::Volume(action)
    }
}

/// How long a pod's processes get to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grace {
    /// As the pod says.
    OfPod,
    /// This many seconds.
    Seconds(u32),
}

/// What a patch of a pod changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodChange {
    /// Labels and annotations only.
    Metadata,
    /// Containers too: their images, their resources, or both.
    Containers,
}

/// The phase of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// It has no running pod yet.
    Pending,
    /// Its pod runs.
    Running,
    /// It is paused, or on its way to be: the pod is gone or going.
    Paused,
    /// It is on its way back from a pause.
    Resuming,
    /// Its pod is being replaced.
    Upgrading,
    /// Its pod ended well. For good.
    Succeeded,
    /// Its pod ended badly, or is lost. For good.
    Failed,
    /// It is being deleted.
    Terminating,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 8] = [
        Phase::Pending,
        Phase::Running,
        Phase::Paused,
        Phase::Resuming,
        Phase::Upgrading,
        Phase::Succeeded,
        Phase::Failed,
        Phase::Terminating,
    ];

    /// As a status writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Resuming => "Resuming",
            Self::Upgrading => "Upgrading",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
        }
    }

    /// Whether nothing follows it but the end of the object.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Terminating)
    }
}

/// What a sandbox reports. The dialect words it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeStatus {
    /// The phase.
    pub phase: Phase,
    /// A sentence beside it; often empty.
    pub message: String,
    /// The revision it speaks of.
    pub revision: Revision,
    /// Whether the sandbox is ready.
    pub ready: LifeReady,
    /// How far a pause is.
    pub pause: PauseState,
    /// How far a resumption is.
    pub resume: ResumeState,
    /// How far a change in place is.
    pub update: UpdateState,
    /// How far an upgrade is.
    pub upgrade: Option<UpgradeStep>,
    /// Whether the program inside was told.
    pub inside: Inside,
    /// The pod that the sandbox runs in; nothing while it has none that runs.
    pub pod: Option<PodFacts>,
}

/// Where a sandbox can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFacts {
    /// The life of the pod.
    pub uid: Uid,
    /// Its address.
    pub ip: Option<String>,
    /// Its node.
    pub node: Option<NodeName>,
}

/// Whether a sandbox is ready, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifeReady {
    /// Its pod is.
    Yes,
    /// Its pod runs and is not ready.
    PodNotReady,
    /// Its pod has not started yet, or is being made.
    Starting,
    /// Its pod does not get on, and says why.
    Trouble(PodTrouble),
    /// Its pod ran, and a container does not start any more.
    NotStarting(PodTrouble),
    /// The pod can't be made. The text says why.
    NoPod(String),
    /// A pod of the same name has to go first.
    NameTaken(String),
    /// Its pod is lost.
    Lost(super::view::OnLost),
    /// Its pod is changing in place.
    Updating,
    /// Its pod is being replaced.
    Upgrading,
    /// It is paused, or on its way to be.
    Paused,
    /// Its pod ended.
    Ended,
    /// It is being deleted.
    Leaving,
}

/// How far a pause is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PauseState {
    /// There is none.
    #[default]
    None,
    /// The pod is going.
    Going,
    /// The pod is gone.
    Done,
}

/// How far a resumption is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResumeState {
    /// There was none.
    #[default]
    None,
    /// The pod is being made.
    Going,
    /// The pod runs again.
    Done,
}

/// How far a change in place is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateState {
    /// There was none.
    #[default]
    None,
    /// The pod is changing.
    Going,
    /// It changed.
    Done,
    /// It did not, or not in all. The text says why.
    Failed(String),
}

/// Whether the program inside a sandbox was told for whom it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inside {
    /// Nothing is said of that: there is nothing to tell, or whoever gives the sandbox away has not done so yet.
    #[default]
    None,
    /// Not yet: it is another one than the one that was told.
    Pending,
    /// It was.
    Told,
    /// It could not be. The text says why.
    Failed(String),
}

/// Where an upgrade stands. Each step was reported before what it stands for is done, so that after a restart it is clear what may have been done already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpgradeStep {
    /// The hook in the old pod runs.
    Before,
    /// It could not be run or ended badly.
    BeforeFailed(String),
    /// The pod is being replaced.
    Pod,
    /// The new pod does not start.
    PodFailed(String),
    /// The hook in the new pod runs.
    After,
    /// It could not be run or ended badly.
    AfterFailed(String),
    /// All is done.
    Done,
    /// The way that was asked for can't be had here; nothing was changed.
    Unsupported(String),
}
