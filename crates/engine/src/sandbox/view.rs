//! The words of a sandbox: what goes into a plan and what comes out.

use crate::ids::{Key, NodeName, Precondition, Uid};
use crate::reason::Reason;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A sandbox and everything that bears on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxView {
    /// Its name, which is also its pod's.
    pub key: Key,
    /// Its life and version.
    pub precondition: Precondition,
    /// Whether it is being deleted; then nothing is done, its children go with it.
    pub leaving: bool,
    /// Whether it should run.
    pub mode: Mode,
    /// When its life ends.
    pub shutdown_at: Option<Timestamp>,
    /// What happens then to the sandbox itself. Its pod and service go in any case.
    pub expiry: ExpiryPolicy,
    /// Whether its end was already reported. It is reported one write before anything is removed, so that a watcher learns why.
    pub expiry_announced: bool,
    /// Whether it wants a service.
    pub service_wish: ServiceWish,
    /// Pods that carry its label or its name.
    pub pods: Vec<PodView>,
    /// The service of its name, if there is one.
    pub service: Option<ChildView>,
    /// Its volumes, in the order of its spec.
    pub volumes: Vec<VolumeView>,
    /// What went wrong with the last writes for it, if something did.
    pub error: Option<Setback>,
}

/// What went wrong with a write for a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setback {
    /// It was not allowed, which may pass: a quota, a webhook, a right.
    Denied(String),
    /// The object could not be made of what the sandbox asks for; only an edit helps.
    Invalid(String),
}

impl Setback {
    /// What was said.
    pub fn message(&self) -> &str {
        match self {
            Self::Denied(message) | Self::Invalid(message) => message,
        }
    }
}

/// Whether a sandbox should run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// It should.
    #[default]
    Running,
    /// Its pod should be gone; everything else stays.
    Suspended,
}

/// What happens to an expired sandbox object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpiryPolicy {
    /// It stays and says that it expired.
    #[default]
    Retain,
    /// It is deleted, and its volumes with it.
    Delete,
}

/// Whether a sandbox wants a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceWish {
    /// Nothing was said: none is made, one that exists keeps being used.
    #[default]
    Unsaid,
    /// It wants one.
    Wanted,
    /// It wants none: its own is deleted.
    Unwanted,
}

/// Who owns an object that has a name or label of a sandbox's child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ownership {
    /// This sandbox.
    Ours,
    /// Nobody, and it carries the permission to be taken over.
    Adoptable,
    /// Nobody, and it does not say that it may be taken.
    Unowned,
    /// Somebody else.
    Foreign,
}

/// How an object compares with what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Drift {
    /// As it should be.
    None,
    /// Different; it is put right by a write.
    Differs,
}

/// A pod that carries a sandbox's label or name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodView {
    /// Its name.
    pub key: Key,
    /// Its life and version.
    pub precondition: Precondition,
    /// Who owns it.
    pub ownership: Ownership,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// Its phase.
    pub phase: PodPhase,
    /// Whether it reports ready.
    pub ready: bool,
    /// Its addresses.
    pub ips: Vec<String>,
    /// Its node.
    pub node: Option<NodeName>,
    /// What it says about being scheduled.
    pub scheduled: Option<Scheduled>,
    /// Whether its labels and annotations are what the sandbox asks for.
    pub metadata: Drift,
}

/// The phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PodPhase {
    /// Not started yet.
    Pending,
    /// Started.
    Running,
    /// Ended well, for good.
    Succeeded,
    /// Ended badly, for good.
    Failed,
    /// The node does not answer.
    Unknown,
}

impl PodPhase {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }
}

/// A pod's own condition `PodScheduled`, mirrored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// `True`, `False` or `Unknown`.
    pub status: crate::reason::Verdict,
    /// The pod's reason; may be empty.
    pub reason: String,
    /// The pod's message.
    pub message: String,
}

/// A child that exists under the name a sandbox needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildView {
    /// Its life and version.
    pub precondition: Precondition,
    /// Who owns it.
    pub ownership: Ownership,
    /// Whether it is being deleted.
    pub leaving: bool,
    /// Whether it is what the sandbox asks for.
    pub drift: Drift,
}

/// A volume that a sandbox asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeView {
    /// The name of the claim for it.
    pub key: Key,
    /// What exists under that name.
    pub found: Option<ChildView>,
}

/// What should be done about a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxPlan {
    /// In this order: volumes before the pod that mounts them.
    pub actions: Vec<SandboxAction>,
    /// What to report.
    pub status: SandboxStatus,
    /// When to plan again although nothing happened.
    pub wake_at: Option<Timestamp>,
    /// Why, in the order of thought.
    pub reasons: Vec<Reason>,
}

/// One thing to do about a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxAction {
    /// Make the volume claim of this name.
    CreateVolume(Key),
    /// Become the owner of an unowned volume claim.
    AdoptVolume(Key, Precondition),
    /// Make the pod.
    CreatePod(Key),
    /// Become the owner of an unowned pod.
    AdoptPod(Key, Precondition),
    /// Put a pod's labels and annotations right.
    SyncPodMetadata(Key, Uid),
    /// Delete the pod.
    DeletePod(Key, Precondition),
    /// Make the service.
    CreateService(Key),
    /// Become the owner of an unowned service.
    AdoptService(Key, Precondition),
    /// Put the service right.
    RepairService(Key, Precondition),
    /// Delete the service.
    DeleteService(Key, Precondition),
    /// Delete the sandbox itself; it expired.
    DeleteSandbox(Key, Precondition),
}

/// One thing to do about a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeAction {
    /// Make the volume claim of this name.
    Create(Key),
    /// Become the owner of an unowned volume claim.
    Adopt(Key, Precondition),
}

impl From<VolumeAction> for SandboxAction {
    fn from(action: VolumeAction) -> Self {
        match action {
            VolumeAction::Create(key) => Self::CreateVolume(key),
            VolumeAction::Adopt(key, precondition) => Self::AdoptVolume(key, precondition),
        }
    }
}

/// What a sandbox reports. The dialect words it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// Whether it is ready, and if not, why.
    pub readiness: Readiness,
    /// How far a suspension got.
    pub suspension: Suspension,
    /// What the pod says about being scheduled; `None` while there is no pod of ours.
    pub scheduling: Option<Scheduling>,
    /// How it finished.
    pub finish: Finish,
    /// The pod's addresses; empty when there is no pod of ours.
    pub ips: Vec<String>,
    /// The pod's node.
    pub node: Option<NodeName>,
    /// The pod of ours, if any was seen.
    pub pod: Option<Key>,
    /// Whether a service of ours exists and is in use.
    pub has_service: bool,
}

/// Whether a sandbox needs a service, and whether it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceState {
    /// It needs none.
    NotNeeded,
    /// It exists.
    Exists,
    /// It does not.
    Missing,
}

/// Whether a sandbox is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// It is.
    Ready(ServiceState),
    /// Something it depends on is not.
    NotYet(PodState, ServiceState),
    /// Its pod is still going.
    Suspending,
    /// Its pod is gone as asked.
    Suspended,
    /// Its pod ended well.
    Succeeded,
    /// Its pod ended badly.
    Failed,
    /// Its life is over.
    Expired,
    /// So many pods belong to it, and nobody can say which is the one.
    MultiplePods(u32),
    /// A write for it failed, or something it needs belongs to somebody else.
    Error(String),
    /// What it asks for can't be made until it is edited.
    Invalid(String),
}

/// What the pod lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodState {
    /// It does not exist.
    Missing,
    /// It is in this phase.
    Phase(PodPhase),
    /// It runs and is not ready.
    NotReady,
    /// It is ready and has no address.
    NoAddress,
    /// It is all it should be; the service is what is missing.
    Ready,
}

/// How far a suspension got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suspension {
    /// Not asked for.
    NotAsked,
    /// The pod is gone.
    Done,
    /// The pod is going.
    Terminating,
    /// A pod of somebody else holds the name.
    NotOurs,
}

/// What is known about the pod's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheduling {
    /// The pod says so.
    Reported(Scheduled),
    /// The pod has not said anything.
    Unreported,
}

/// How a sandbox finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// Not finished.
    No,
    /// Well.
    Succeeded,
    /// Badly.
    Failed,
    /// The pod is gone by expiry; what was reported stays.
    Keep,
}
