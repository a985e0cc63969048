//! The three ends: the pod ended well, it ended badly, the sandbox is being deleted.

use super::outcome::{Grace, LifeAction, LifeReady, LifeStatus, Phase};
use super::plan::Draft;
use super::pods::{self, PodNow};
use super::view::{Finalizer, LifePod, LifeView};
use crate::reason::Code;
use crate::sandbox::PodPhase;

/// The pod ended. It is not started again: a sandbox is not a service, and what ended in it ended for a reason.
pub(super) fn ended(view: &LifeView, pod: &LifePod, draft: &mut Draft) -> LifeStatus {
    draft.because(Code::PodEnded, "its pod ended and is not started again");
    let phase = if pod.phase == PodPhase::Succeeded { Phase::Succeeded } else { Phase::Failed };
    LifeStatus {
        message: format!("Pod status phase is {}", phase.as_str()),
        pod: None,
        ..LifeStatus::of(view, phase, LifeReady::Ended)
    }
}

/// It is being deleted. Without our finalizer the pod goes with its owner and there is nothing to do; with it, a pod that may still be going is waited for.
pub(super) fn leave(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    draft.because(Code::BeingDeleted, "it is being deleted, and what it owns with it");
    if view.finalizer == Finalizer::Present {
        match PodNow::of(view) {
            now if now.present().is_some() => {
                if let Some(pod) = now.present() {
                    pods::remove(pod, Grace::OfPod, draft);
                }
            }
            PodNow::Going => {
                draft.because(Code::PodTerminating, "its pod is terminating");
            }
            _ => draft.actions.push(LifeAction::RemoveFinalizer(view.precondition.clone())),
        }
    }
    LifeStatus::of(view, Phase::Terminating, LifeReady::Leaving)
}
