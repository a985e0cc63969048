//! The program inside a sandbox: it knows for whom it runs, until its pod is another one.

use super::outcome::{Inside, LifeAction, LifeReady, LifeStatus, Phase};
use super::plan::Draft;
use super::view::{HookRun, LifeView, Runtime};
use crate::reason::Code;

/// What is said of the program inside, and what is done about it.
///
/// The first time it is told by whoever gives the sandbox away, since somebody waits for that. Here it is told what it was told before, when a pause, an upgrade or a loss
/// has put another one in its place.
pub(super) fn settle(view: &LifeView, status: &mut LifeStatus, draft: &mut Draft) {
    let reported = &view.reported;
    if reported.inside == Inside::None || view.runtime == Runtime::Silent || status.phase.is_final()
    {
        return;
    }
    let pod = status.pod.as_ref().map(|pod| &pod.uid);
    if pod.is_none() || pod != reported.pod.as_ref() {
        status.inside = Inside::Pending;
    }
    let runs = status.phase == Phase::Running && status.ready == LifeReady::Yes;
    let (Inside::Pending, true, Some(pod)) = (&status.inside, runs, pod) else { return };
    match &view.telling {
        HookRun::Idle => {
            draft.because(Code::Resuming, "the program inside is another one; it is told again");
            draft.actions.push(LifeAction::TellRuntime { pod: pod.clone() });
        }
        HookRun::Running => {}
        HookRun::Succeeded => status.inside = Inside::Told,
        HookRun::Failed(why) => status.inside = Inside::Failed(why.clone()),
    }
}
