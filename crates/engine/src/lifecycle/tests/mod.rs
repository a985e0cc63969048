//! What is done about a sandbox in each phase, and what it says of itself.

mod changes;
mod phases;
mod walks;

use super::*;
use crate::ids::{Key, Precondition, Revision, Uid, Version};
use crate::sandbox::{Drift, Mode, PodPhase};
use crate::world::{Trouble, TroubleKind};
use jiff::{SignedDuration, Timestamp};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

fn precondition(name: &str) -> Precondition {
    Precondition { uid: Uid::new(format!("uid-{name}")), version: Version(3) }
}

/// A sandbox that runs, and was last reported in this phase.
fn reported(phase: Phase) -> LifeView {
    LifeView {
        key: Key::new("ns", "s"),
        precondition: precondition("s"),
        leaving: false,
        finalizer: if phase == Phase::Paused { Finalizer::Present } else { Finalizer::Absent },
        reported: Reported {
            phase: Some(phase),
            revision: Some(Revision::new("r1")),
            pause: if phase == Phase::Paused { PauseState::Done } else { PauseState::None },
            ..Reported::default()
        },
        wish: Wish {
            mode: Mode::Running,
            shutdown_at: None,
            pause_at: None,
            retention: None,
            revision: Revision::new("r1"),
            change: ChangePolicy::InPlace,
            on_lost: OnLost::Fail,
        },
        blueprint: Blueprint::Known,
        pod: None,
        volumes: Vec::new(),
        setback: None,
        hook: HookRun::Idle,
        runtime: Runtime::Silent,
        telling: HookRun::Idle,
    }
}

fn new() -> LifeView {
    LifeView { reported: Reported::default(), ..reported(Phase::Pending) }
}

fn fits() -> Fit {
    Fit {
        revision: Drift::None,
        fixed: Fixed::Same,
        metadata: Drift::None,
        images: Drift::None,
        resources: ResourceDrift::None,
        progress: None,
    }
}

/// A pod of ours in this phase.
fn pod(phase: PodPhase) -> LifePod {
    LifePod {
        key: Key::new("ns", "s"),
        precondition: precondition("pod"),
        owner: PodOwner::Ours,
        leaving: false,
        phase,
        ending: Ending::Own,
        ready: phase == PodPhase::Running,
        trouble: None,
        ip: Some("10.0.0.7".to_owned()),
        node: None,
        fit: fits(),
    }
}

fn running() -> LifePod {
    pod(PodPhase::Running)
}

fn stuck() -> PodTrouble {
    PodTrouble {
        word: "ErrImagePull".to_owned(),
        trouble: Trouble { kind: TroubleKind::ImagePull, message: "no such image".to_owned() },
    }
}

fn names(actions: &[LifeAction]) -> String {
    let name = |action: &LifeAction| match action {
        LifeAction::Volume(action) => format!("Volume{}", word(&format!("{action:?}"))),
        LifeAction::DeletePod { grace: Grace::Seconds(seconds), .. } => {
            format!("DeletePod/{seconds}s")
        }
        LifeAction::PatchPod { change, .. } => format!("PatchPod/{change:?}"),
        LifeAction::RunHook(hook) => format!("RunHook/{:?}", hook.moment),
        other => word(&format!("{other:?}")),
    };
    actions.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn word(debug: &str) -> String {
    debug.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

/// Actions, phase and readiness, in a line.
fn verdict(view: &LifeView) -> String {
    let plan = plan(view, at(100));
    let said = plan.status.map_or("as reported".to_owned(), |s| {
        format!("{:?} {}", s.phase, word(&format!("{:?}", s.ready)))
    });
    format!("[{}] {said}", names(&plan.actions))
}
