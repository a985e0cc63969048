//! Volumes: made once, never changed, and never taken from somebody else.

use super::view::{Ownership, SandboxAction, VolumeView};
use crate::reason::{Code, Reason};

/// Makes or takes over what is missing. Returns why the pod can't be started yet, if so.
pub(super) fn settle(
    volumes: &[VolumeView],
    actions: &mut Vec<SandboxAction>,
    reasons: &mut Vec<Reason>,
) -> Option<String> {
    let mut problem = None;
    for volume in volumes {
        let name = &volume.key.name;
        match &volume.found {
            None => {
                reasons.push(Reason::new(Code::Missing, format!("volume claim {name} is made")));
                actions.push(SandboxAction::CreateVolume(volume.key.clone()));
            }
            Some(found) if found.leaving => {
                problem =
                    problem.or_else(|| Some(format!("volume claim {name:?} is being deleted")));
            }
            Some(found) => match found.ownership {
                Ownership::Ours => {}
                Ownership::Adoptable => {
                    reasons.push(Reason::new(
                        Code::Adoptable,
                        format!("volume claim {name} is taken over"),
                    ));
                    actions.push(SandboxAction::AdoptVolume(
                        volume.key.clone(),
                        found.precondition.clone(),
                    ));
                }
                Ownership::Unowned | Ownership::Foreign => {
                    let message =
                        format!("volume claim {name:?} exists and does not belong to this sandbox");
                    reasons.push(Reason::new(Code::ForeignObject, message.clone()));
                    problem = problem.or(Some(message));
                }
            },
        }
    }
    problem
}
