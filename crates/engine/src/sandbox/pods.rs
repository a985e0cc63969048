//! The pod of a sandbox.

use super::view::{
    Drift, Mode, Ownership, PodPhase, PodState, PodView, Readiness, SandboxAction, SandboxView,
    ServiceState, Suspension,
};
use crate::reason::{Code, Reason};

/// What pods there are, as far as they matter.
pub(super) enum Pods<'a> {
    /// One of ours.
    One(&'a PodView),
    /// Several of ours; nobody can say which is the one.
    Several(u32),
    /// None of ours, and the name is free.
    None,
    /// None of ours, and the name is held by one that says it may be taken over.
    Adoptable(&'a PodView),
    /// None of ours, and the name is held by somebody else's.
    Foreign,
}

impl<'a> Pods<'a> {
    pub fn of(view: &'a SandboxView) -> Self {
        let mut ours = view.pods.iter().filter(|pod| pod.ownership == Ownership::Ours);
        match (ours.next(), ours.count()) {
            (Some(pod), 0) => return Self::One(pod),
            (Some(_), more) => return Self::Several(u32::try_from(more + 1).unwrap_or(u32::MAX)),
            (None, _) => {}
        }
        match view.pods.iter().find(|pod| pod.key == view.key) {
            None => Self::None,
            Some(pod) if pod.ownership == Ownership::Adoptable => Self::Adoptable(pod),
            Some(_) => Self::Foreign,
        }
    }
}

/// Makes, takes over, keeps in order or removes the pod. Returns what stands in the way, if something does. `blocked` says that no pod may be started yet.
pub(super) fn settle(
    view: &SandboxView,
    pods: &Pods,
    blocked: bool,
    actions: &mut Vec<SandboxAction>,
    reasons: &mut Vec<Reason>,
) -> Option<String> {
    let key = &view.key;
    match (view.mode, pods) {
        (_, Pods::Several(count)) => {
            reasons.push(Reason::new(
                Code::MultiplePods,
                format!("{count} pods belong to it; none is chosen and none is made"),
            ));
        }
        (Mode::Suspended, Pods::One(pod)) if !pod.leaving => {
            reasons.push(Reason::new(Code::Suspended, "its pod is removed"));
            actions.push(SandboxAction::DeletePod(pod.key.clone(), pod.precondition.clone()));
        }
        (Mode::Suspended, Pods::One(_)) => {
            reasons.push(Reason::new(Code::PodTerminating, "its pod is terminating"))
        }
        (Mode::Suspended, Pods::None) => {
            reasons.push(Reason::new(Code::Suspended, "it is suspended"))
        }
        (Mode::Suspended, Pods::Adoptable(_) | Pods::Foreign) => {
            reasons.push(Reason::new(
                Code::ForeignObject,
                "a pod of its name is not its own and is left alone",
            ));
        }
        (Mode::Running, Pods::One(pod)) => {
            if pod.metadata == Drift::Differs && !pod.leaving {
                reasons.push(Reason::new(
                    Code::Drifted,
                    "labels and annotations of its pod are put right",
                ));
                actions.push(SandboxAction::SyncPodMetadata(
                    pod.key.clone(),
                    pod.precondition.uid.clone(),
                ));
            }
            reasons.push(match (is_over(pod.phase), pod.leaving) {
                (true, _) => Reason::new(Code::PodEnded, "its pod ended and is not started again"),
                (false, true) => Reason::new(
                    Code::PodTerminating,
                    "its pod is terminating; the next one is made when it is gone",
                ),
                (false, false) => Reason::new(Code::Running, "it has its pod"),
            });
        }
        (Mode::Running, Pods::None) if blocked => {}
        (Mode::Running, Pods::None) => {
            reasons.push(Reason::new(Code::PodMissing, "its pod is made"));
            actions.push(SandboxAction::CreatePod(key.clone()));
        }
        (Mode::Running, Pods::Adoptable(pod)) => {
            reasons.push(Reason::new(Code::Adoptable, "a pod of its name is taken over"));
            actions.push(SandboxAction::AdoptPod(pod.key.clone(), pod.precondition.clone()));
        }
        (Mode::Running, Pods::Foreign) => {
            let message =
                format!("pod {:?} exists and does not belong to this sandbox", &*key.name);
            reasons.push(Reason::new(Code::ForeignObject, message.clone()));
            return Some(message);
        }
    }
    None
}

/// How far a suspension got.
pub(super) fn suspension(mode: Mode, pods: &Pods) -> Suspension {
    match (mode, pods) {
        (Mode::Running, _) => Suspension::NotAsked,
        (Mode::Suspended, Pods::None) => Suspension::Done,
        (Mode::Suspended, Pods::One(_) | Pods::Several(_)) => Suspension::Terminating,
        (Mode::Suspended, Pods::Adoptable(_) | Pods::Foreign) => Suspension::NotOurs,
    }
}

/// Whether the sandbox is ready, as far as mode, pod and service say.
pub(super) fn readiness(mode: Mode, pods: &Pods, service: ServiceState) -> Readiness {
    let pod = match (mode, pods) {
        (_, Pods::Several(count)) => return Readiness::MultiplePods(*count),
        (Mode::Suspended, Pods::None) => return Readiness::Suspended,
        (Mode::Suspended, _) => return Readiness::Suspending,
        (Mode::Running, Pods::One(pod)) => pod,
        (Mode::Running, _) => return Readiness::NotYet(PodState::Missing, service),
    };
    let state = match pod.phase {
        PodPhase::Succeeded => return Readiness::Succeeded,
        PodPhase::Failed => return Readiness::Failed,
        PodPhase::Pending | PodPhase::Unknown => PodState::Phase(pod.phase),
        // A pod that is being deleted still says that it is ready; whoever believes that is handed a sandbox which dies in the next second.
        PodPhase::Running if !pod.ready || pod.leaving => PodState::NotReady,
        PodPhase::Running if pod.ips.is_empty() => PodState::NoAddress,
        PodPhase::Running if service == ServiceState::Missing => PodState::Ready,
        PodPhase::Running => return Readiness::Ready(service),
    };
    Readiness::NotYet(state, service)
}

fn is_over(phase: PodPhase) -> bool {
    matches!(phase, PodPhase::Succeeded | PodPhase::Failed)
}
