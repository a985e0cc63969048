//! Upgrading: the pod is replaced, with a hook before and one after.
//!
//! ```text
//! Before --ok--> Pod --ready--> After --ok--> Done (Running)
//!   |             |               |
//! BeforeFailed  PodFailed       AfterFailed       each waits for another template, and then tries the same step again
//! ```

use super::outcome::{Grace, LifeAction, LifeReady, LifeStatus, Phase, UpdateState, UpgradeStep};
use super::plan::{Draft, wants_pause};
use super::pods::{self, PodNow};
use super::update::{Need, need};
use super::view::{
    ChangePolicy, Fit, Fixed, Hook, HookCommand, HookMoment, HookRun, LifePod, LifeView,
};
use super::{finish, pause, run};
use crate::reason::{Code, Reason, WaitsFor};
use crate::sandbox::Drift;

/// Whether the pod has to be replaced, and the sandbox asks that it be.
pub(super) fn is_due(view: &LifeView, fit: &Fit) -> bool {
    matches!(view.wish.change, ChangePolicy::Recreate { .. }) && is_old(fit)
}

/// Whether the pod is of another template. Labels and annotations alone are no reason to stop what runs in it.
fn is_old(fit: &Fit) -> bool {
    match need(fit) {
        Need::AnotherPod | Need::Containers | Need::Refused(_) => true,
        // Nobody wrote down what it was made from, and the template changed since: it can't be told what is missing from it.
        Need::Metadata | Need::Nothing => {
            fit.fixed == Fixed::Unknown && fit.revision == Drift::Differs
        }
    }
}

/// The first report of an upgrade. Nothing is done before it was seen.
pub(super) fn begin(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    draft.because(Code::Upgrading, "the template changed; its pod is replaced");
    let step = if hook(view, HookMoment::Before).is_some() {
        UpgradeStep::Before
    } else {
        UpgradeStep::Pod
    };
    report(view, step)
}

/// A sandbox that was reported as being upgraded.
pub(super) fn go_on(view: &LifeView, draft: &mut Draft) -> LifeStatus {
    let now = PodNow::of(view);
    let step = view.reported.upgrade.clone().unwrap_or(UpgradeStep::Pod);
    let stopped = matches!(
        step,
        UpgradeStep::BeforeFailed(_) | UpgradeStep::PodFailed(_) | UpgradeStep::AfterFailed(_)
    );
    // One that does not get on may be paused; one that does is not stopped half way.
    if stopped && wants_pause(view) {
        return pause::enter(view, draft);
    }
    match step {
        UpgradeStep::Before | UpgradeStep::BeforeFailed(_) => before(view, now, step, draft),
        UpgradeStep::After | UpgradeStep::AfterFailed(_) => after(view, now, step, draft),
        UpgradeStep::Pod | UpgradeStep::PodFailed(_) => replace(view, now, draft),
        UpgradeStep::Done | UpgradeStep::Unsupported(_) => match now.present() {
            Some(pod) => run::settled(view, pod, draft),
            None => replace(view, now, draft),
        },
    }
}

/// The hook in the old pod.
fn before(view: &LifeView, now: PodNow<'_>, step: UpgradeStep, draft: &mut Draft) -> LifeStatus {
    match now {
        // The change was taken back: the pod is what is asked for.
        PodNow::Runs(pod) if !is_old(&pod.fit) => done(view, pod, draft),
        PodNow::Runs(pod) => match hook(view, HookMoment::Before) {
            None => report(view, UpgradeStep::Pod),
            Some(command) => match run_hook(view, pod, HookMoment::Before, command, step, draft) {
                HookStep::Ended => report(view, UpgradeStep::Pod),
                HookStep::Runs => report(view, UpgradeStep::Before),
                HookStep::Failed(why) => report(view, UpgradeStep::BeforeFailed(why)),
            },
        },
        // There is nothing left that a hook could save.
        _ => report(view, UpgradeStep::Pod),
    }
}

/// The pod itself.
fn replace(view: &LifeView, now: PodNow<'_>, draft: &mut Draft) -> LifeStatus {
    match now {
        PodNow::Runs(pod) if !is_old(&pod.fit) && pod.ready => {
            match hook(view, HookMoment::After) {
                Some(_) => report(view, UpgradeStep::After),
                None => done(view, pod, draft),
            }
        }
        PodNow::Starting(pod) | PodNow::Runs(pod) if !is_old(&pod.fit) => match &pod.trouble {
            Some(trouble) => {
                let why = trouble.trouble.message.clone();
                draft.because(Code::Failed, format!("the new pod does not start: {why}"));
                report(view, UpgradeStep::PodFailed(why))
            }
            None => {
                draft.because(Code::WaitingForReady, "the new pod is being started");
                report(view, UpgradeStep::Pod)
            }
        },
        PodNow::Ended(pod) if !is_old(&pod.fit) => finish::ended(view, pod, draft),
        PodNow::Starting(_) | PodNow::Runs(_) | PodNow::Ended(_) | PodNow::Disrupted(_) => {
            draft.because(Code::Upgrading, "the old pod is removed");
            if let Some(pod) = now.present() {
                pods::remove(pod, Grace::OfPod, draft);
            }
            report(view, UpgradeStep::Pod)
        }
        PodNow::Going | PodNow::Missing | PodNow::Previous | PodNow::Stranger => {
            match pods::make(view, draft) {
                LifeReady::NoPod(why) | LifeReady::NameTaken(why) => {
                    report(view, UpgradeStep::PodFailed(why))
                }
                _ => report(view, UpgradeStep::Pod),
            }
        }
    }
}

/// The hook in the new pod.
fn after(view: &LifeView, now: PodNow<'_>, step: UpgradeStep, draft: &mut Draft) -> LifeStatus {
    match now {
        PodNow::Runs(pod) if !is_old(&pod.fit) => match hook(view, HookMoment::After) {
            None => done(view, pod, draft),
            Some(command) => match run_hook(view, pod, HookMoment::After, command, step, draft) {
                HookStep::Ended => done(view, pod, draft),
                HookStep::Runs => report(view, UpgradeStep::After),
                HookStep::Failed(why) => report(view, UpgradeStep::AfterFailed(why)),
            },
        },
        PodNow::Ended(pod) if !is_old(&pod.fit) => finish::ended(view, pod, draft),
        // The template changed once more, or the new pod is lost.
        _ => replace(view, now, draft),
    }
}

/// How far a hook is.
enum HookStep {
    Runs,
    Ended,
    Failed(String),
}

fn run_hook(
    view: &LifeView,
    pod: &LifePod,
    moment: HookMoment,
    command: &HookCommand,
    step: UpgradeStep,
    draft: &mut Draft,
) -> HookStep {
    let told = match step {
        UpgradeStep::BeforeFailed(why) | UpgradeStep::AfterFailed(why) => Some(why),
        _ => None,
    };
    let another = view.reported.revision.as_ref() != Some(&view.wish.revision);
    // It failed and nothing changed since: the same hook would fail again, and what it did would be done twice.
    if let (Some(why), false) = (told, another) {
        draft.reasons.push(Reason::new(Code::HookFailed, why.clone()).waiting_for(WaitsFor::Edit));
        return HookStep::Failed(why);
    }
    match &view.hook {
        HookRun::Succeeded => HookStep::Ended,
        HookRun::Failed(why) => {
            draft.because(Code::HookFailed, why.clone());
            HookStep::Failed(why.clone())
        }
        HookRun::Running => HookStep::Runs,
        HookRun::Idle => {
            draft.because(Code::Upgrading, "its hook is run");
            draft.actions.push(LifeAction::RunHook(Hook {
                moment,
                command: command.clone(),
                pod: pod.precondition.uid.clone(),
                revision: view.wish.revision.clone(),
            }));
            HookStep::Runs
        }
    }
}

fn hook(view: &LifeView, moment: HookMoment) -> Option<&HookCommand> {
    match (&view.wish.change, moment) {
        (ChangePolicy::Recreate { before, .. }, HookMoment::Before) => before.as_ref(),
        (ChangePolicy::Recreate { after, .. }, HookMoment::After) => after.as_ref(),
        (ChangePolicy::InPlace | ChangePolicy::Unsupported(_), _) => None,
    }
}

fn report(view: &LifeView, step: UpgradeStep) -> LifeStatus {
    LifeStatus {
        upgrade: Some(step),
        update: UpdateState::None,
        ..LifeStatus::of(view, Phase::Upgrading, LifeReady::Upgrading)
    }
}

fn done(view: &LifeView, pod: &LifePod, draft: &mut Draft) -> LifeStatus {
    let mut status = run::settled(view, pod, draft);
    status.upgrade = Some(UpgradeStep::Done);
    status
}
