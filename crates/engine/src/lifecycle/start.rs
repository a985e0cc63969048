//! Pending: from nothing, or from a lost pod, to a pod that runs.

use super::outcome::{Grace, LifeStatus, Phase};
use super::plan::{Draft, wants_pause};
use super::pods::{self, PodNow};
use super::view::{LifeView, OnLost};
use super::{finish, pause, run};
use crate::reason::Code;

/// Makes the pod and waits for it. What stands in its way is part of the report: a sandbox that is only "Pending" for ever explains nothing.
pub(super) fn start(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    let now = PodNow::of(view);
    let ready = match now {
        PodNow::Ended(pod) => return finish::ended(view, pod, draft),
        _ if wants_pause(view) => return pause::enter(view, draft),
        PodNow::Runs(pod) => return run::settled(view, pod, draft),
        PodNow::Disrupted(pod) => match view.wish.on_lost {
            OnLost::Fail => return finish::ended(view, pod, draft),
            OnLost::Recreate => return run::come_back(view, draft),
        },
        PodNow::Starting(pod) => {
            draft.because(Code::WaitingForReady, "its pod is being started");
            pods::not_started(pod)
        }
        PodNow::Missing | PodNow::Previous | PodNow::Stranger | PodNow::Going => {
            pods::make(view, draft)
        }
    };
    // Why it starts a second time stays readable until it runs.
    let lost = view.reported.message.starts_with(run::LOST);
    LifeStatus {
        message: if lost { view.reported.message.clone() } else { String::new() },
        pod: None,
        ..LifeStatus::of(view, Phase::Pending, ready)
    }
}

/// Removes what is left of a pod, so that the next one can have its name.
pub(super) fn clear(now: PodNow<'_>, draft: &mut Draft) {
    if let Some(pod) = now.present() {
        pods::remove(pod, Grace::OfPod, draft);
    }
}
