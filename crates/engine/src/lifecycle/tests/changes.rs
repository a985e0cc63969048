//! A change of the template, in place and with another pod.

use super::*;
use crate::sandbox::Setback;

fn changed(fit: Fit) -> LifeView {
    let mut view = reported(Phase::Running);
    view.wish.revision = Revision::new("r2");
    view.pod = Some(LifePod { fit: Fit { revision: Drift::Differs, ..fit }, ..running() });
    view
}

fn upgrading(step: UpgradeStep, fit: Fit) -> LifeView {
    let command = |word: &str| {
        Some(HookCommand { command: vec![word.to_owned()], timeout: SignedDuration::from_secs(60) })
    };
    let mut view =
        LifeView { pod: Some(LifePod { fit, ..running() }), ..reported(Phase::Upgrading) };
    view.wish.change = ChangePolicy::Recreate { before: command("save"), after: command("load") };
    view.reported.upgrade = Some(step);
    view
}

fn old() -> Fit {
    Fit { revision: Drift::Differs, fixed: Fixed::Differs, ..fits() }
}

fn update(view: &LifeView) -> UpdateState {
    plan(view, at(0)).status.unwrap().update
}

fn step(view: &LifeView) -> Option<UpgradeStep> {
    plan(view, at(0)).status.unwrap().upgrade
}

#[test]
fn in_place() {
    let image = Fit { images: Drift::Differs, ..fits() };
    let both = Fit { resources: ResourceDrift::Differs, ..image.clone() };
    let table = [
        (Fit { metadata: Drift::Differs, ..fits() }, "[PatchPod/Metadata] Running Yes"),
        (image, "[PatchPod/Containers] Running Updating"),
        (
            Fit { resources: ResourceDrift::Differs, ..fits() },
            "[ResizePod PatchPod/Containers] Running Updating",
        ),
        (both, "[ResizePod PatchPod/Containers] Running Updating"),
        (Fit { resources: ResourceDrift::Refused("QoS".to_owned()), ..fits() }, "[] Running Yes"),
        (old(), "[] Running Yes"),
    ];
    for (fit, expected) in table {
        assert_eq!(verdict(&changed(fit.clone())), expected, "{fit:?}");
    }
    assert!(matches!(update(&changed(old())), UpdateState::Failed(_)));
}

#[test]
fn how_a_change_in_place_ends() {
    let with = |progress, trouble: Option<PodTrouble>| {
        let mut view = reported(Phase::Running);
        view.reported.update = UpdateState::Going;
        let ready = trouble.is_none();
        view.pod = Some(LifePod { ready, trouble, fit: Fit { progress, ..fits() }, ..running() });
        view
    };
    let table = [
        (with(Some(Progress::Going), None), "[] Running Updating", UpdateState::Going),
        (with(Some(Progress::Going), Some(stuck())), "[] Running NotStarting", UpdateState::Going),
        (with(Some(Progress::Done), None), "[] Running Yes", UpdateState::Done),
        (
            with(Some(Progress::Infeasible("infeasible: no room".to_owned())), None),
            "[] Running Yes",
            UpdateState::Failed("infeasible: no room".to_owned()),
        ),
        // What failed is not asked for any more.
        (with(None, None), "[] Running Yes", UpdateState::None),
    ];
    for (view, expected, state) in table {
        assert_eq!(verdict(&view), expected);
        assert_eq!(update(&view), state);
    }
    let mut refused = changed(Fit { images: Drift::Differs, ..fits() });
    refused.setback = Some(Setback::Denied("no".to_owned()));
    assert_eq!(verdict(&refused), "[PatchPod/Containers] Running Yes");
    assert_eq!(update(&refused), UpdateState::Failed("no".to_owned()));
}

#[test]
fn an_upgrade_begins_only_for_what_needs_another_pod() {
    let policy = |fit| {
        let mut view = changed(fit);
        view.wish.change = ChangePolicy::Recreate { before: None, after: None };
        view
    };
    let unknown = Fit { fixed: Fixed::Unknown, metadata: Drift::Differs, ..fits() };
    let table = [
        (Fit { metadata: Drift::Differs, ..fits() }, "[PatchPod/Metadata] Running Yes"),
        (Fit { images: Drift::Differs, ..fits() }, "[] Upgrading Upgrading"),
        (old(), "[] Upgrading Upgrading"),
        (unknown, "[] Upgrading Upgrading"),
    ];
    for (fit, expected) in table {
        let view = policy(fit.clone());
        assert_eq!(verdict(&view), expected, "{fit:?}");
    }
    // Before a pause: the pause comes when it is done.
    let mut both = policy(old());
    both.wish.mode = Mode::Suspended;
    assert_eq!(verdict(&both), "[] Upgrading Upgrading");
    assert_eq!(plan(&both, at(5)).wake_at, Some(at(5)));

    let mut unsupported = changed(old());
    unsupported.wish.change = ChangePolicy::Unsupported("not here".to_owned());
    assert_eq!(verdict(&unsupported), "[] Running Yes");
    assert_eq!(step(&unsupported), Some(UpgradeStep::Unsupported("not here".to_owned())));
}

#[test]
fn the_steps_of_an_upgrade() {
    use UpgradeStep::{After, AfterFailed, Before, BeforeFailed, Done, Pod, PodFailed};
    let hook = |step, fit, hook| LifeView { hook, ..upgrading(step, fit) };
    let failed = || HookRun::Failed("exit code 1: no space".to_owned());
    let bad = "exit code 1: no space".to_owned();
    let gone = LifeView { pod: None, ..upgrading(Pod, old()) };
    let mut broken = upgrading(Pod, fits());
    broken.pod = broken.pod.map(|pod| LifePod { ready: false, trouble: Some(stuck()), ..pod });
    let mut starting = upgrading(Pod, fits());
    starting.pod = starting.pod.map(|pod| LifePod { ready: false, ..pod });
    let table = [
        ("the first hook", upgrading(Before, old()), "[RunHook/Before]", Before),
        ("runs", hook(Before, old(), HookRun::Running), "[]", Before),
        ("went well", hook(Before, old(), HookRun::Succeeded), "[]", Pod),
        ("failed", hook(Before, old(), failed()), "[]", BeforeFailed(bad.clone())),
        (
            "stays failed",
            upgrading(BeforeFailed(bad.clone()), old()),
            "[]",
            BeforeFailed(bad.clone()),
        ),
        ("taken back", upgrading(Before, fits()), "[]", Done),
        ("the old pod goes", upgrading(Pod, old()), "[DeletePod]", Pod),
        ("the new one comes", gone, "[CreatePod]", Pod),
        ("it starts", starting, "[]", Pod),
        ("it does not start", broken, "[]", PodFailed("no such image".to_owned())),
        ("it is ready", upgrading(Pod, fits()), "[]", After),
        ("the second hook", upgrading(After, fits()), "[RunHook/After]", After),
        ("went well", hook(After, fits(), HookRun::Succeeded), "[]", Done),
        ("failed", hook(After, fits(), failed()), "[]", AfterFailed(bad.clone())),
        ("changed once more", upgrading(After, old()), "[DeletePod]", Pod),
    ];
    for (case, view, actions, expected) in table {
        let plan = plan(&view, at(0));
        assert_eq!(format!("[{}]", names(&plan.actions)), actions, "{case}");
        let status = plan.status.unwrap();
        assert_eq!(status.phase == Phase::Running, expected == Done, "{case}");
        assert_eq!(status.upgrade, Some(expected), "{case}");
    }
}

#[test]
fn a_failed_step_is_tried_again_for_another_template_and_gives_way_to_a_pause() {
    let mut view = upgrading(UpgradeStep::BeforeFailed("no".to_owned()), old());
    view.wish.revision = Revision::new("r2");
    assert_eq!(names(&plan(&view, at(0)).actions), "RunHook/Before");
    assert_eq!(step(&view), Some(UpgradeStep::Before));
    view.wish.mode = Mode::Suspended;
    assert_eq!(verdict(&view), "[AddFinalizer DeletePod/5s] Paused Paused");
    assert_eq!(step(&view), None);
}
