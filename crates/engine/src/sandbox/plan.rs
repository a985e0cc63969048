//! The plan of a sandbox, step by step.

use super::pods::{self, Pods};
use super::view::{
    ExpiryPolicy, Finish, Ownership, PodPhase, Readiness, SandboxAction, SandboxPlan,
    SandboxStatus, SandboxView, Scheduling, ServiceState, Setback, Suspension,
};
use super::{service, volumes};
use crate::reason::{Code, Reason};
use jiff::Timestamp;

/// What should be done about a sandbox.
pub fn plan(view: &SandboxView, now: Timestamp) -> SandboxPlan {
    if view.leaving {
        let reasons =
            vec![Reason::new(Code::BeingDeleted, "it is being deleted, and what it owns with it")];
        let pods = Pods::of(view);
        let status = status(view, &pods, ServiceState::NotNeeded, None);
        return SandboxPlan { actions: Vec::new(), status, wake_at: None, reasons };
    }
    // The end comes first: an expired sandbox must not be started again.
    if view.shutdown_at.is_some_and(|at| at <= now) {
        return expire(view);
    }

    let mut actions = Vec::new();
    let mut reasons = Vec::new();
    let pods = Pods::of(view);
    let volume_problem = volumes::settle(&view.volumes, &mut actions, &mut reasons);
    let pod_problem =
        pods::settle(view, &pods, volume_problem.is_some(), &mut actions, &mut reasons);
    let (service, service_problem) = match pods {
        // With several pods the service would lead to any of them; it stays as it is until somebody has decided.
        Pods::Several(_) => (ServiceState::NotNeeded, None),
        _ => service::settle(view, &mut actions, &mut reasons),
    };
    let (invalid, denied) = match &view.error {
        Some(Setback::Invalid(message)) => (Some(message.clone()), None),
        Some(Setback::Denied(message)) => (None, Some(message.clone())),
        None => (None, None),
    };
    let problems: Vec<String> = denied
        .into_iter()
        .chain(volume_problem)
        .chain(pod_problem)
        .chain(service_problem)
        .collect();
    // What only an edit helps comes first: waiting for the rest to pass would be in vain.
    let error = invalid
        .map(Readiness::Invalid)
        .or_else(|| (!problems.is_empty()).then(|| Readiness::Error(problems.join("; "))));
    SandboxPlan {
        actions,
        status: status(view, &pods, service, error),
        wake_at: view.shutdown_at,
        reasons,
    }
}

/// An expired sandbox: reported first, carried out when the report was seen.
fn expire(view: &SandboxView) -> SandboxPlan {
    let mut actions = Vec::new();
    if view.expiry_announced {
        let pods = view.pods.iter().filter(|pod| pod.ownership == Ownership::Ours && !pod.leaving);
        actions.extend(
            pods.map(|pod| SandboxAction::DeletePod(pod.key.clone(), pod.precondition.clone())),
        );
        let service = view
            .service
            .iter()
            .filter(|service| service.ownership == Ownership::Ours && !service.leaving);
        actions.extend(service.map(|service| {
            SandboxAction::DeleteService(view.key.clone(), service.precondition.clone())
        }));
        if view.expiry == ExpiryPolicy::Delete {
            actions.push(SandboxAction::DeleteSandbox(view.key.clone(), view.precondition.clone()));
        }
    }
    SandboxPlan {
        actions,
        status: SandboxStatus {
            readiness: Readiness::Expired,
            suspension: Suspension::NotAsked,
            scheduling: None,
            finish: Finish::Keep,
            ips: Vec::new(),
            node: None,
            pod: None,
            has_service: false,
        },
        wake_at: None,
        reasons: vec![Reason::new(Code::Expired, "its lifetime is over")],
    }
}

/// What the sandbox reports. An error is worse than anything else that could be said.
fn status(
    view: &SandboxView,
    pods: &Pods,
    service: ServiceState,
    error: Option<Readiness>,
) -> SandboxStatus {
    let pod = match pods {
        Pods::One(pod) => Some(*pod),
        Pods::Several(_) | Pods::None | Pods::Adoptable(_) | Pods::Foreign => None,
    };
    SandboxStatus {
        readiness: error.unwrap_or_else(|| pods::readiness(view.mode, pods, service)),
        suspension: pods::suspension(view.mode, pods),
        scheduling: pod
            .map(|pod| pod.scheduled.clone().map_or(Scheduling::Unreported, Scheduling::Reported)),
        finish: match pod.map(|pod| pod.phase) {
            Some(PodPhase::Succeeded) => Finish::Succeeded,
            Some(PodPhase::Failed) => Finish::Failed,
            _ => Finish::No,
        },
        ips: pod.map(|pod| pod.ips.clone()).unwrap_or_default(),
        node: pod.and_then(|pod| pod.node.clone()),
        pod: pod.map(|pod| pod.key.clone()),
        has_service: service == ServiceState::Exists,
    }
}
