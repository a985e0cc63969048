//! Changes of the template that a running pod can take.

use super::outcome::{LifeAction, LifeReady, LifeStatus, PodChange, UpdateState};
use super::plan::Draft;
use super::view::{ChangePolicy, Fit, Fixed, LifePod, LifeView, Progress, ResourceDrift};
use crate::reason::{Code, Reason, WaitsFor};
use crate::sandbox::Drift;

/// What it takes to bring a pod to what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// Other labels or annotations.
    Metadata,
    /// Other images or resources.
    Containers,
    /// What a running pod may not change. The text says what.
    Refused(String),
    /// Another pod.
    AnotherPod,
}

/// What it takes to bring a pod to what is asked for.
pub(super) fn need(fit: &Fit) -> Need {
    if fit.revision == Drift::Differs && fit.fixed == Fixed::Differs {
        return Need::AnotherPod;
    }
    match (&fit.resources, fit.images) {
        (ResourceDrift::Refused(why), _) => Need::Refused(why.clone()),
        (ResourceDrift::Differs, _) | (_, Drift::Differs) => Need::Containers,
        _ if fit.metadata == Drift::Differs => Need::Metadata,
        _ => Need::Nothing,
    }
}

/// Brings the pod of a running sandbox to what is asked for, as far as it can be while it runs. `status` is what the sandbox reports otherwise.
pub(super) fn settle(
    view: &LifeView,
    pod: &LifePod,
    status: LifeStatus,
    draft: &mut Draft,
) -> LifeStatus {
    let need = need(&pod.fit);
    match need {
        Need::Nothing => return progress(view, pod, status),
        Need::Metadata => {
            draft.because(Code::Drifted, "labels and annotations of its pod are put right");
            patch(pod, PodChange::Metadata, draft);
            return progress(view, pod, status);
        }
        Need::Containers | Need::Refused(_) | Need::AnotherPod => {}
    }
    match (&view.wish.change, need) {
        // Not begun here: whoever enters this phase has looked whether an upgrade is due.
        (ChangePolicy::Recreate { .. }, _) => status,
        (ChangePolicy::Unsupported(why), _) => LifeStatus {
            upgrade: Some(super::outcome::UpgradeStep::Unsupported(why.clone())),
            ..status
        },
        (ChangePolicy::InPlace, Need::Containers) => {
            draft.because(Code::InPlaceUpdate, "containers of its pod are changed while it runs");
            // First what may be refused: the patch after it writes down that the pod is of the new revision.
            if pod.fit.resources == ResourceDrift::Differs {
                draft.actions.push(LifeAction::ResizePod {
                    key: pod.key.clone(),
                    uid: pod.precondition.uid.clone(),
                });
            }
            patch(pod, PodChange::Containers, draft);
            match &view.setback {
                // A server that refused is asked again after a pause; what it said is worth more than "being updated".
                Some(setback) => LifeStatus {
                    update: UpdateState::Failed(setback.message().to_owned()),
                    ..status
                },
                None => updating(status),
            }
        }
        (ChangePolicy::InPlace, Need::Refused(why)) => forbidden(status, why, draft),
        (ChangePolicy::InPlace, _) => {
            let why = "the template differs in more than labels, annotations, images and resources, and nothing else \
                       can be changed in a running pod; change it back, or set an upgradePolicy";
            forbidden(status, why.to_owned(), draft)
        }
    }
}

fn updating(status: LifeStatus) -> LifeStatus {
    LifeStatus { update: UpdateState::Going, ready: LifeReady::Updating, ..status }
}

fn forbidden(status: LifeStatus, why: String, draft: &mut Draft) -> LifeStatus {
    draft.reasons.push(Reason::new(Code::UpdateForbidden, why.clone()).waiting_for(WaitsFor::Edit));
    LifeStatus { update: UpdateState::Failed(why), ..status }
}

fn patch(pod: &LifePod, change: PodChange, draft: &mut Draft) {
    draft.actions.push(LifeAction::PatchPod {
        key: pod.key.clone(),
        uid: pod.precondition.uid.clone(),
        change,
    });
}

/// What is said of a change that the pod has taken, or is taking.
fn progress(view: &LifeView, pod: &LifePod, status: LifeStatus) -> LifeStatus {
    let reported = &view.reported.update;
    match &pod.fit.progress {
        Some(Progress::Going) => match &pod.trouble {
            // The new image can't be had, or does not start: that is what there is to say of being ready.
            Some(_) => LifeStatus { update: UpdateState::Going, ..status },
            None => updating(status),
        },
        Some(Progress::Infeasible(why)) => {
            LifeStatus { update: UpdateState::Failed(why.clone()), ..status }
        }
        Some(Progress::Done) => LifeStatus { update: UpdateState::Done, ..status },
        // What could not be done is not asked for any more.
        None if matches!(reported, UpdateState::Failed(_) | UpdateState::Going) => {
            LifeStatus { update: UpdateState::None, ..status }
        }
        None => status,
    }
}
