//! Running, and a pod that is lost.

use super::outcome::{LifeAction, LifeReady, LifeStatus, Phase};
use super::plan::{Draft, wants_pause};
use super::pods::{self, PodNow};
use super::view::{Finalizer, LifePod, LifeView, OnLost};
use super::{finish, pause, start, update, upgrade};
use crate::reason::Code;

/// What a status says of a sandbox whose pod is lost. Clients of the family look for these words.
pub(super) const LOST: &str = "Pod Not Found";

/// Follows the pod, and takes up what is asked for: first a change of the template, then a pause.
pub(super) fn run(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    match PodNow::of(view) {
        PodNow::Ended(pod) => finish::ended(view, pod, draft),
        PodNow::Starting(pod) | PodNow::Runs(pod) if upgrade::is_due(view, &pod.fit) => {
            upgrade::begin(view, draft)
        }
        // Also when the pod is gone: whoever wants no pod has not lost one.
        _ if wants_pause(view) => pause::enter(view, draft),
        PodNow::Starting(pod) | PodNow::Runs(pod) => settled(view, pod, draft),
        PodNow::Missing
        | PodNow::Previous
        | PodNow::Stranger
        | PodNow::Going
        | PodNow::Disrupted(_) => lost(view, draft),
    }
}

/// A sandbox with a pod that runs, or ran and starts again.
pub(super) fn settled(view: &LifeView, pod: &LifePod, draft: &mut Draft) -> LifeStatus {
    if view.finalizer == Finalizer::Present {
        draft.actions.push(LifeAction::RemoveFinalizer(view.precondition.clone()));
    }
    draft.because(Code::Running, "it has its pod");
    let ready = match PodNow::of(view) {
        PodNow::Runs(_) => pods::mirrored(pod),
        _ => pods::not_started(pod),
    };
    update::settle(view, pod, LifeStatus::running(view, ready), draft)
}

/// The pod is gone although it should run.
fn lost(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    match view.wish.on_lost {
        OnLost::Recreate => come_back(view, draft),
        OnLost::Fail => {
            draft.because(Code::PodLost, "its pod is gone, and what was in it; it has failed");
            LifeStatus {
                message: LOST.to_owned(),
                pod: None,
                ..LifeStatus::of(view, Phase::Failed, LifeReady::Lost(OnLost::Fail))
            }
        }
    }
}

/// A lost pod is made again, on the same volumes.
pub(super) fn come_back(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    draft.because(Code::PodLost, "its pod is gone; another one is made on the same volumes");
    let now = PodNow::of(view);
    start::clear(now, draft);
    let ready = match now {
        PodNow::Disrupted(_) => LifeReady::Lost(OnLost::Recreate),
        _ => match pods::make(view, draft) {
            LifeReady::Starting => LifeReady::Lost(OnLost::Recreate),
            why => why,
        },
    };
    LifeStatus {
        message: format!("{LOST}: it is made again on the same volumes"),
        pod: None,
        ..LifeStatus::anew(view, Phase::Pending, ready)
    }
}
