//! What goes into a plan.

use super::outcome::{Inside, PauseState, Phase, ResumeState, UpdateState, UpgradeStep};
use crate::ids::{Key, NodeName, Precondition, Revision, Uid};
use crate::sandbox::{Drift, Mode, PodPhase, Setback, VolumeView};
use crate::world::Trouble;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A sandbox and everything that bears on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeView {
    /// Its name, which is also its pod's.
    pub key: Key,
    /// Its life and version.
    pub precondition: Precondition,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// Whether it carries our finalizer. It does while it is paused, so that whoever deletes it then waits for the pod that may still be going.
    pub finalizer: Finalizer,
    /// What was last reported.
    pub reported: Reported,
    /// What is asked for.
    pub wish: Wish,
    /// Whether it is known what a pod is to be made from.
    pub blueprint: Blueprint,
    /// The pod of its name, if there is one.
    pub pod: Option<LifePod>,
    /// Its volumes, in the order of its spec.
    pub volumes: Vec<VolumeView>,
    /// What went wrong with the last writes for it, if something did.
    pub setback: Option<Setback>,
    /// The hook of the step that was reported last, as far as this process knows.
    pub hook: HookRun,
    /// Whether a program inside has to be told for whom it runs.
    pub runtime: Runtime,
    /// How far the telling of the program in this pod is, as far as this process knows.
    pub telling: HookRun,
}

/// Whether a program inside a sandbox has to be told for whom it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Runtime {
    /// There is none, or nothing to tell it.
    #[default]
    Silent,
    /// It has to be, again in each pod.
    Listens,
}

/// Whether our finalizer is on the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finalizer {
    /// It is not.
    #[default]
    Absent,
    /// It is.
    Present,
}

/// What was last reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The phase; nothing yet for a new sandbox.
    pub phase: Option<Phase>,
    /// The sentence beside it.
    pub message: String,
    /// The revision it spoke of.
    pub revision: Option<Revision>,
    /// How far a pause was.
    pub pause: PauseState,
    /// How far a resumption was.
    pub resume: ResumeState,
    /// How far a change in place was.
    pub update: UpdateState,
    /// How far an upgrade was.
    pub upgrade: Option<UpgradeStep>,
    /// Whether the program inside was told.
    pub inside: Inside,
    /// The life of the pod that it ran in.
    pub pod: Option<Uid>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Whether it should run.
    pub mode: Mode,
    /// When its life ends.
    pub shutdown_at: Option<Timestamp>,
    /// When it is paused.
    pub pause_at: Option<Timestamp>,
    /// How long it is kept once it was paused by that timer, if somebody said so.
    pub retention: Option<Retention>,
    /// What its template means now.
    pub revision: Revision,
    /// How a change of the template reaches the pod.
    pub change: ChangePolicy,
    /// What becomes of it when its pod is lost.
    pub on_lost: OnLost,
}

/// How long a sandbox is kept after a timer paused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retention {
    /// So long.
    For(SignedDuration),
    /// Until somebody deletes it.
    Forever,
}

/// How a change of the template reaches the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangePolicy {
    /// In the running pod, where a pod can be changed; anything else is refused and said.
    #[default]
    InPlace,
    /// In another pod, which takes the place of the first.
    Recreate {
        /// Run in the old pod first.
        before: Option<HookCommand>,
        /// Run in the new pod when it is ready.
        after: Option<HookCommand>,
    },
    /// In a way that can't be had here. Nothing is changed, and this is said.
    Unsupported(String),
}

/// A command to run in the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookCommand {
    /// Program and arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout: SignedDuration,
}

/// What becomes of a sandbox whose pod is deleted, or goes with its node, although nobody asked for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnLost {
    /// It has failed: what was in it is gone, and another pod would only look like it.
    #[default]
    Fail,
    /// It gets another pod: what matters is on its volumes.
    Recreate,
}

/// Whether it is known what a pod is to be made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blueprint {
    /// It is.
    #[default]
    Known,
    /// What the sandbox refers to does not exist, or it refers to nothing. The text says which.
    Missing(String),
}

/// Who owns the pod of a sandbox's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodOwner {
    /// This sandbox.
    Ours,
    /// An earlier sandbox of the same name. The pod goes by itself, since its owner is gone; taking it would hand out what somebody else left in it.
    Previous,
    /// Somebody else, or nobody.
    Stranger,
}

/// The pod of a sandbox's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifePod {
    /// Its name.
    pub key: Key,
    /// Its life and version.
    pub precondition: Precondition,
    /// Who owns it.
    pub owner: PodOwner,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// Its phase.
    pub phase: PodPhase,
    /// If its phase is an end: how it came about.
    pub ending: Ending,
    /// Whether it reports ready and has an address.
    pub ready: bool,
    /// Why it does not get on, if it says so.
    pub trouble: Option<PodTrouble>,
    /// Its address.
    pub ip: Option<String>,
    /// Its node.
    pub node: Option<NodeName>,
    /// How it compares with what the sandbox asks for.
    pub fit: Fit,
}

/// How a pod came to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Its own processes ended.
    #[default]
    Own,
    /// The cluster took its place away: evicted, preempted, its node shut down.
    Disrupted,
}

/// What a pod says of its trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodTrouble {
    /// The word that the pod itself uses, such as `ErrImagePull`.
    pub word: String,
    /// The kind of trouble, and what the pod says.
    pub trouble: Trouble,
}

/// How a pod compares with what the sandbox asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// Whether it carries the revision that is asked for.
    pub revision: Drift,
    /// What no running pod can change.
    pub fixed: Fixed,
    /// Labels and annotations.
    pub metadata: Drift,
    /// The images of its containers.
    pub images: Drift,
    /// What its containers may use.
    pub resources: ResourceDrift,
    /// How far the last change in place got; nothing if there was none.
    pub progress: Option<Progress>,
}

/// Whether what no running pod can change is what the sandbox asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fixed {
    /// It is.
    Same,
    /// It is not.
    Differs,
    /// The pod was made by somebody who did not write down what from.
    Unknown,
}

/// How the resources of a pod compare with what the sandbox asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceDrift {
    /// They are the same.
    None,
    /// They differ, and a running pod may change so.
    Differs,
    /// They differ in a way that a running pod may not change. The text says how.
    Refused(String),
}

/// How far a change in place got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// The node is at it.
    Going,
    /// The node can't give what is asked. What does not need it was changed.
    Infeasible(String),
    /// Every container runs what is asked for with what is asked for.
    Done,
}

/// What is known of a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookRun {
    /// Not begun, or begun by a process that is gone.
    #[default]
    Idle,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It could not be run, or ended badly. The text says why.
    Failed(String),
}

/// Which hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HookMoment {
    /// In the old pod, before it goes.
    Before,
    /// In the new pod, once it is ready.
    After,
}

/// A hook to be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Which one.
    pub moment: HookMoment,
    /// What to run.
    pub command: HookCommand,
    /// The life of the pod to run it in.
    pub pod: Uid,
    /// The revision it is run for. A hook that failed is run again for another one.
    pub revision: Revision,
}
