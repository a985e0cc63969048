//! Volumes: made once, never changed, and never taken from somebody else.

use super::view::{Ownership, VolumeAction, VolumeView};
use crate::reason::{Code, Reason};

/// Makes or takes over what is missing. Returns why the pod can't be started yet, if so.
pub(crate) fn settle<A: From<VolumeAction>>(
    volumes: &[VolumeView],
    actions: &mut Vec<A>,
    reasons: &mut Vec<Reason>,
) -> Option<String> {
    let mut problem = None;
    for volume in volumes {
        let name = &volume.key.name;
        match &volume.found {
            None => {
                reasons.push(Reason::new(Code::Missing, format!("volume claim {name} is made")));
                actions.push(VolumeAction::Create(volume.key.clone()).into());
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
                    actions.push(
                        VolumeAction::Adopt(volume.key.clone(), found.precondition.clone()).into(),
                    );
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
