//! From a view to a plan.

use super::outcome::{
    LifeAction, LifePlan, LifeReady, LifeStatus, PauseState, Phase, ResumeState, UpdateState,
};
use super::pods::{self, PodNow};
use super::view::LifeView;
use super::{finish, inside, pause, run, start, timers, upgrade};
use crate::reason::{Code, Reason};
use crate::sandbox::Mode;
use jiff::Timestamp;

/// What the groups write into.
#[derive(Default)]
pub(super) struct Draft {
    pub actions: Vec<LifeAction>,
    pub reasons: Vec<Reason>,
}

impl Draft {
    pub fn because(&mut self, code: Code, message: impl Into<String>) {
        self.reasons.push(Reason::new(code, message));
    }
}

/// What should be done about a sandbox.
pub fn plan(view: &LifeView, now: Timestamp) -> LifePlan {
    let mut draft = Draft::default();
    let mut status = decide(view, now, &mut draft);
    if let Some(status) = &mut status {
        inside::settle(view, status, &mut draft);
    }
    let ended = status.as_ref().map_or(view.reported.phase, |status| Some(status.phase));
    let ended = ended.is_some_and(Phase::is_final);
    let timer = if view.leaving { None } else { timers::next(view, ended, now) };
    let again = status.as_ref().is_some_and(|status| moves_on(view, status)).then_some(now);
    LifePlan { wake_at: again.or(timer), actions: draft.actions, status, reasons: draft.reasons }
}

/// Whether this report opens the way for the next step, which nothing but the report itself would bring about.
fn moves_on(view: &LifeView, status: &LifeStatus) -> bool {
    let reported = &view.reported;
    matches!(status.phase, Phase::Resuming | Phase::Upgrading)
        && (reported.phase, &reported.upgrade) != (Some(status.phase), &status.upgrade)
}

fn decide(view: &LifeView, now: Timestamp, draft: &mut Draft) -> Option<LifeStatus> {
    if view.leaving {
        return Some(finish::leave(view, draft));
    }
    // The end comes first: a sandbox whose time is over must not be started again.
    if timers::strike(view, now, draft) {
        return None;
    }
    Some(match view.reported.phase {
        None | Some(Phase::Pending) => start::start(view, draft),
        Some(Phase::Running) => run::run(view, draft),
        Some(Phase::Paused) => pause::paused(view, draft),
        Some(Phase::Resuming) => pause::resuming(view, draft),
        Some(Phase::Upgrading) => upgrade::go_on(view, draft),
        // Terminating without being deleted was never reported by us; it is an end all the same.
        Some(Phase::Succeeded | Phase::Failed | Phase::Terminating) => {
            draft.because(Code::PodEnded, "it has ended for good");
            return None;
        }
    })
}

impl LifeStatus {
    /// A report of this phase in which everything else stands as it was reported.
    pub(super) fn of(view: &LifeView, phase: Phase, ready: LifeReady) -> Self {
        let reported = &view.reported;
        Self {
            phase,
            message: String::new(),
            revision: view.wish.revision.clone(),
            ready,
            pause: reported.pause,
            resume: reported.resume,
            update: reported.update.clone(),
            upgrade: reported.upgrade.clone(),
            inside: reported.inside.clone(),
            pod: pods::facts(PodNow::of(view)),
        }
    }

    /// The same for a sandbox that runs: what was said of a pause is over.
    pub(super) fn running(view: &LifeView, ready: LifeReady) -> Self {
        let resume = match view.reported.resume {
            ResumeState::Going => ResumeState::Done,
            other => other,
        };
        Self { pause: PauseState::None, resume, ..Self::of(view, Phase::Running, ready) }
    }

    /// The same for a sandbox whose pod is to be made anew: what was said of changes in the last one is over.
    pub(super) fn anew(view: &LifeView, phase: Phase, ready: LifeReady) -> Self {
        Self { update: UpdateState::None, ..Self::of(view, phase, ready) }
    }
}

/// Whether a pause is asked for.
pub(super) fn wants_pause(view: &LifeView) -> bool {
    view.wish.mode == Mode::Suspended
}
