//! The service of a sandbox.

use super::view::{Drift, Ownership, SandboxAction, SandboxView, ServiceState, ServiceWish};
use crate::reason::{Code, Reason};

/// Makes, repairs, takes over or removes the service. Returns its state, and what stands in the way, if something does.
pub(super) fn settle(
    view: &SandboxView,
    actions: &mut Vec<SandboxAction>,
    reasons: &mut Vec<Reason>,
) -> (ServiceState, Option<String>) {
    let key = &view.key;
    let found = view.service.as_ref();
    let ours = found.filter(|service| service.ownership == Ownership::Ours);
    match (view.service_wish, found, ours) {
        (ServiceWish::Unwanted, _, Some(service)) => {
            if !service.leaving {
                reasons.push(Reason::new(
                    Code::Unwanted,
                    "the service is removed, as the sandbox asks",
                ));
                actions
                    .push(SandboxAction::DeleteService(key.clone(), service.precondition.clone()));
            }
            (ServiceState::NotNeeded, None)
        }
        // Nothing of ours: one that is somebody else's is not ours to remove, and unless one is asked for not ours to take.
        (ServiceWish::Unwanted | ServiceWish::Unsaid, _, None) => (ServiceState::NotNeeded, None),
        (ServiceWish::Wanted, None, _) => {
            reasons.push(Reason::new(Code::Missing, "the service is made"));
            actions.push(SandboxAction::CreateService(key.clone()));
            (ServiceState::Missing, None)
        }
        (ServiceWish::Wanted | ServiceWish::Unsaid, _, Some(service)) if service.leaving => {
            (ServiceState::Missing, None)
        }
        (ServiceWish::Wanted | ServiceWish::Unsaid, _, Some(service)) => {
            if service.drift == Drift::Differs {
                reasons.push(Reason::new(Code::Drifted, "the service is put right"));
                actions
                    .push(SandboxAction::RepairService(key.clone(), service.precondition.clone()));
            }
            (ServiceState::Exists, None)
        }
        (ServiceWish::Wanted, Some(service), None) if service.ownership == Ownership::Adoptable => {
            reasons.push(Reason::new(Code::Adoptable, "the service is taken over"));
            actions.push(SandboxAction::AdoptService(key.clone(), service.precondition.clone()));
            (ServiceState::Missing, None)
        }
        (ServiceWish::Wanted, Some(_), None) => {
            let message =
                format!("service {:?} exists and does not belong to this sandbox", &*key.name);
            reasons.push(Reason::new(Code::ForeignObject, message.clone()));
            (ServiceState::Missing, Some(message))
        }
    }
}
