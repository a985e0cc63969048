//! Paused and Resuming: the pod goes and comes back, everything else stays.

use super::outcome::{
    Grace, LifeAction, LifeReady, LifeStatus, PauseState, Phase, ResumeState, UpgradeStep,
};
use super::plan::{Draft, wants_pause};
use super::pods::{self, PodNow};
use super::view::{Finalizer, LifeView};
use super::{finish, run};
use crate::reason::Code;

/// How long processes get to end when a sandbox is paused. Whoever pauses waits for it, often before a machine is switched off; shorter loses what a process
/// writes at its end, and the usual thirty seconds make a pause of a program that ignores the signal feel broken.
const PAUSE_GRACE: Grace = Grace::Seconds(5);

/// A pause begins.
pub(super) fn enter(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    go(view, draft)
}

/// A sandbox that was reported paused.
pub(super) fn paused(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    match PodNow::of(view) {
        _ if wants_pause(view) => go(view, draft),
        // Its processes were told to end; there is no way back, and the name is free only when they did.
        PodNow::Going => {
            draft.because(Code::PodTerminating, "it can be resumed when its last pod is gone");
            stopped(view, PauseState::Going)
        }
        _ => resuming(view, draft),
    }
}

/// Sees to it that the pod goes.
fn go(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    let now = PodNow::of(view);
    if view.finalizer == Finalizer::Absent {
        draft.actions.push(LifeAction::AddFinalizer(view.precondition.clone()));
    }
    if let Some(pod) = now.present() {
        draft.because(Code::Paused, "its pod is removed");
        pods::remove(pod, PAUSE_GRACE, draft);
        return stopped(view, PauseState::Going);
    }
    match now {
        PodNow::Going => {
            draft.because(Code::PodTerminating, "its pod is terminating");
            stopped(view, PauseState::Going)
        }
        _ => {
            draft.because(Code::Paused, "it is paused");
            stopped(view, PauseState::Done)
        }
    }
}

fn stopped(view: &LifeView, pause: PauseState) -> LifeStatus {
    LifeStatus {
        pause,
        resume: ResumeState::None,
        // A pause ends an upgrade that did not get on; the next pod is of the new template anyway.
        upgrade: view.reported.upgrade.clone().filter(|step| *step == UpgradeStep::Done),
        pod: None,
        ..LifeStatus::anew(view, Phase::Paused, LifeReady::Paused)
    }
}

/// A sandbox on its way back. It is reported before its pod can be seen to run, so whoever watches sees every phase.
pub(super) fn resuming(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    let now = PodNow::of(view);
    let begun = view.reported.phase == Some(Phase::Resuming);
    let ready = match now {
        PodNow::Ended(pod) if begun => return finish::ended(view, pod, draft),
        _ if wants_pause(view) => return enter(view, draft),
        PodNow::Runs(pod) if begun => return run::settled(view, pod, draft),
        PodNow::Disrupted(_) | PodNow::Ended(_) => {
            super::start::clear(now, draft);
            LifeReady::Starting
        }
        PodNow::Starting(pod) => {
            draft.because(Code::WaitingForReady, "its pod is being started");
            pods::not_started(pod)
        }
        // It was to be paused and is wanted again before anything was done about it.
        PodNow::Runs(_) => LifeReady::Starting,
        PodNow::Missing | PodNow::Previous | PodNow::Stranger | PodNow::Going => {
            pods::make(view, draft)
        }
    };
    draft.because(Code::Resuming, "it is on its way back");
    LifeStatus {
        pause: PauseState::Done,
        resume: ResumeState::Going,
        pod: None,
        ..LifeStatus::of(view, Phase::Resuming, ready)
    }
}
