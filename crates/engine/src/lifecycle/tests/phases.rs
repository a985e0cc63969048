//! From phase to phase.

use super::*;
use crate::sandbox::{ChildView, Ownership, Setback, VolumeAction, VolumeView};

fn paused(view: LifeView) -> LifeView {
    LifeView { wish: Wish { mode: Mode::Suspended, ..view.wish.clone() }, ..view }
}

fn with(view: LifeView, pod: LifePod) -> LifeView {
    LifeView { pod: Some(pod), ..view }
}

fn comes_back(view: LifeView) -> LifeView {
    LifeView { wish: Wish { on_lost: OnLost::Recreate, ..view.wish.clone() }, ..view }
}

fn going() -> LifePod {
    LifePod { leaving: true, ..running() }
}

#[test]
fn a_new_sandbox_gets_its_pod() {
    use PodPhase::{Failed, Pending, Running, Succeeded};
    let stranger = |owner| LifePod { owner, ..running() };
    let table = [
        ("new", new(), "[CreatePod] Pending Starting"),
        ("reported", reported(Phase::Pending), "[CreatePod] Pending Starting"),
        ("starting", with(new(), pod(Pending)), "[] Pending Starting"),
        (
            "in trouble",
            with(new(), LifePod { trouble: Some(stuck()), ..pod(Pending) }),
            "[] Pending Trouble",
        ),
        ("ready", with(new(), pod(Running)), "[] Running Yes"),
        (
            "runs and is not ready",
            with(new(), LifePod { ready: false, ..running() }),
            "[] Running PodNotReady",
        ),
        ("ended well", with(new(), pod(Succeeded)), "[] Succeeded Ended"),
        ("ended badly", with(new(), pod(Failed)), "[] Failed Ended"),
        (
            "an earlier sandbox's pod",
            with(new(), stranger(PodOwner::Previous)),
            "[] Pending NameTaken",
        ),
        ("a stranger's pod", with(new(), stranger(PodOwner::Stranger)), "[] Pending NameTaken"),
        ("deleted while it started", with(new(), going()), "[] Pending Starting"),
        ("paused from the start", paused(new()), "[AddFinalizer] Paused Paused"),
        (
            "its template is missing",
            LifeView { blueprint: Blueprint::Missing("no template".to_owned()), ..new() },
            "[] Pending NoPod",
        ),
        (
            "a quota",
            LifeView { setback: Some(Setback::Denied("quota".to_owned())), ..new() },
            "[CreatePod] Pending NoPod",
        ),
    ];
    for (case, view, expected) in table {
        assert_eq!(verdict(&view), expected, "{case}");
    }
}

#[test]
fn volumes_come_before_the_pod_and_are_never_taken() {
    let child = |ownership| ChildView {
        precondition: precondition("volume"),
        ownership,
        leaving: false,
        drift: Drift::None,
    };
    let volume = |found| {
        let volumes = vec![VolumeView { key: Key::new("ns", "data-s"), found }];
        LifeView { volumes, ..new() }
    };
    let plan_of = |view: &LifeView| plan(view, at(0));
    let made = plan_of(&volume(None));
    assert_eq!(made.actions[0], LifeAction::Volume(VolumeAction::Create(Key::new("ns", "data-s"))));
    assert_eq!(names(&made.actions), "VolumeCreate CreatePod");
    assert_eq!(verdict(&volume(Some(child(Ownership::Ours)))), "[CreatePod] Pending Starting");
    let LifeReady::NoPod(why) =
        plan_of(&volume(Some(child(Ownership::Unowned)))).status.unwrap().ready
    else {
        panic!("a pod must not be made on a stranger's volume")
    };
    assert!(why.contains("data-s"), "{why}");
}

#[test]
fn a_running_sandbox_follows_its_pod() {
    use PodPhase::{Failed, Pending, Succeeded, Unknown};
    let running_view = || reported(Phase::Running);
    let disrupted = LifePod { ending: Ending::Disrupted, ..pod(Failed) };
    let table = [
        ("ready", with(running_view(), running()), "[] Running Yes"),
        (
            "crashing",
            with(running_view(), LifePod { ready: false, trouble: Some(stuck()), ..running() }),
            "[] Running NotStarting",
        ),
        (
            "the node does not answer",
            with(running_view(), LifePod { ready: false, ..pod(Unknown) }),
            "[] Running PodNotReady",
        ),
        ("started anew", with(running_view(), pod(Pending)), "[] Running Starting"),
        ("ended well", with(running_view(), pod(Succeeded)), "[] Succeeded Ended"),
        ("lost", running_view(), "[] Failed Lost"),
        ("being deleted by somebody", with(running_view(), going()), "[] Failed Lost"),
        ("evicted", with(running_view(), disrupted.clone()), "[] Failed Lost"),
        ("lost, to come back", comes_back(running_view()), "[CreatePod] Pending Lost"),
        (
            "being deleted, to come back",
            comes_back(with(running_view(), going())),
            "[] Pending Lost",
        ),
        (
            "evicted, to come back",
            comes_back(with(running_view(), disrupted)),
            "[DeletePod] Pending Lost",
        ),
        (
            "ended by itself: it does not come back",
            comes_back(with(running_view(), pod(Failed))),
            "[] Failed Ended",
        ),
        (
            "paused",
            paused(with(running_view(), running())),
            "[AddFinalizer DeletePod/5s] Paused Paused",
        ),
        (
            "paused when its pod is gone already",
            paused(running_view()),
            "[AddFinalizer] Paused Paused",
        ),
    ];
    for (case, view, expected) in table {
        assert_eq!(verdict(&view), expected, "{case}");
    }
}

#[test]
fn a_lost_sandbox_says_what_became_of_it() {
    let status = |view: &LifeView| plan(view, at(0)).status.unwrap();
    assert_eq!(status(&reported(Phase::Running)).message, "Pod Not Found");
    let back = status(&comes_back(reported(Phase::Running)));
    assert!(back.message.starts_with("Pod Not Found: "), "{}", back.message);
    // Until it runs again.
    let mut pending = reported(Phase::Pending);
    pending.reported.message = back.message.clone();
    assert_eq!(status(&pending).message, back.message);
    assert_eq!(status(&with(pending, running())).message, "");
}

#[test]
fn pause_and_resume() {
    use PodPhase::{Pending, Succeeded};
    let is = || reported(Phase::Paused);
    let resuming = || {
        let mut view = reported(Phase::Resuming);
        view.finalizer = Finalizer::Present;
        view
    };
    let table = [
        (
            "still there",
            paused(with(is(), running())),
            "[DeletePod/5s] Paused Paused",
            PauseState::Going,
        ),
        ("going", paused(with(is(), going())), "[] Paused Paused", PauseState::Going),
        // The processes of a pod that is going end; the sandbox did not.
        (
            "going and ended",
            paused(with(is(), LifePod { leaving: true, ..pod(Succeeded) })),
            "[] Paused Paused",
            PauseState::Going,
        ),
        ("gone", paused(is()), "[] Paused Paused", PauseState::Done),
        ("wanted while going", with(is(), going()), "[] Paused Paused", PauseState::Going),
        ("wanted", is(), "[CreatePod] Resuming Starting", PauseState::Done),
        ("wanted before it went", with(is(), running()), "[] Resuming Starting", PauseState::Done),
        ("on its way", with(resuming(), pod(Pending)), "[] Resuming Starting", PauseState::Done),
        ("back", with(resuming(), running()), "[RemoveFinalizer] Running Yes", PauseState::None),
        ("ended at once", with(resuming(), pod(Succeeded)), "[] Succeeded Ended", PauseState::None),
        (
            "paused again",
            paused(with(resuming(), pod(Pending))),
            "[DeletePod/5s] Paused Paused",
            PauseState::Going,
        ),
    ];
    for (case, view, expected, pause) in table {
        assert_eq!(verdict(&view), expected, "{case}");
        assert_eq!(plan(&view, at(0)).status.unwrap().pause, pause, "{case}");
    }
    // The report is what lets the next step begin, so it is looked at again without an event.
    assert_eq!(plan(&is(), at(7)).wake_at, Some(at(7)));
    assert_eq!(plan(&with(resuming(), pod(Pending)), at(7)).wake_at, None);
}

#[test]
fn timers() {
    let set = |shutdown: Option<i64>, pause: Option<i64>, retention: Option<Retention>| {
        let mut view = with(reported(Phase::Running), running());
        view.wish.shutdown_at = shutdown.map(at);
        view.wish.pause_at = pause.map(at);
        view.wish.retention = retention;
        view
    };
    let hour = Some(Retention::For(SignedDuration::from_hours(1)));
    let table = [
        ("not yet", set(Some(200), Some(150), None), "[] Running Yes", Some(150)),
        ("over", set(Some(100), None, None), "[DeleteSandbox] as reported", None),
        ("to be paused", set(Some(200), Some(100), None), "[Pause] as reported", Some(200)),
        (
            "both, nothing to keep",
            set(Some(100), Some(90), None),
            "[DeleteSandbox] as reported",
            None,
        ),
        ("both, to be kept", set(Some(100), Some(90), hour), "[Pause] as reported", None),
        (
            "paused by hand and over",
            paused(set(Some(100), Some(90), hour)),
            "[DeleteSandbox] as reported",
            None,
        ),
    ];
    for (case, view, expected, wake) in table {
        assert_eq!(verdict(&view), expected, "{case}");
        assert_eq!(plan(&view, at(100)).wake_at, wake.map(at), "{case}");
    }
    let keep_until = |view: &LifeView| match &plan(view, at(100)).actions[..] {
        [LifeAction::Pause { keep_until, .. }] => *keep_until,
        other => panic!("{other:?}"),
    };
    assert_eq!(keep_until(&set(Some(200), Some(100), hour)), Some(at(3700)));
    // Nothing to move for one that never ends.
    assert_eq!(keep_until(&set(None, Some(100), hour)), None);
    let forever = keep_until(&set(Some(200), Some(100), Some(Retention::Forever))).unwrap();
    assert!(forever > at(100 * 364 * 24 * 3600));
    // What ended is still cleaned up at the time that was set, and not paused.
    let mut ended = set(Some(100), Some(90), hour);
    ended.reported.phase = Some(Phase::Failed);
    assert_eq!(verdict(&ended), "[DeleteSandbox] as reported");
    ended.wish.shutdown_at = None;
    assert_eq!(verdict(&ended), "[] as reported");
}

#[test]
fn termination() {
    let leaving =
        |finalizer, pod| LifeView { leaving: true, finalizer, pod, ..reported(Phase::Running) };
    let table = [
        (leaving(Finalizer::Absent, Some(running())), "[] Terminating Leaving"),
        (leaving(Finalizer::Present, Some(running())), "[DeletePod] Terminating Leaving"),
        (leaving(Finalizer::Present, Some(going())), "[] Terminating Leaving"),
        (leaving(Finalizer::Present, None), "[RemoveFinalizer] Terminating Leaving"),
        (
            leaving(Finalizer::Present, Some(LifePod { owner: PodOwner::Stranger, ..running() })),
            "[RemoveFinalizer] Terminating Leaving",
        ),
    ];
    for (view, expected) in table {
        assert_eq!(verdict(&view), expected);
    }
}

#[test]
fn another_program_inside_is_told_again() {
    let told_in = |pod: &str, inside: Inside| {
        let mut view = with(reported(Phase::Running), running());
        view.runtime = Runtime::Listens;
        view.reported.inside = inside;
        view.reported.pod = Some(Uid::new(pod));
        view
    };
    let said = |view: &LifeView| {
        let plan = plan(view, at(0));
        (names(&plan.actions), plan.status.unwrap().inside)
    };
    let nothing = String::new;
    let tell = || "TellRuntime".to_owned();
    assert_eq!(said(&told_in("uid-pod", Inside::Told)), (nothing(), Inside::Told));
    // The first time is for whoever gives it away.
    assert_eq!(said(&told_in("old", Inside::None)), (nothing(), Inside::None));
    assert_eq!(said(&told_in("old", Inside::Told)), (tell(), Inside::Pending));
    assert_eq!(said(&told_in("uid-pod", Inside::Pending)), (tell(), Inside::Pending));
    let after = |telling| LifeView { telling, ..told_in("uid-pod", Inside::Pending) };
    assert_eq!(said(&after(HookRun::Running)), (nothing(), Inside::Pending));
    assert_eq!(said(&after(HookRun::Succeeded)), (nothing(), Inside::Told));
    let failed = HookRun::Failed("silence".to_owned());
    assert_eq!(said(&after(failed)), (nothing(), Inside::Failed("silence".to_owned())));
    // Not before it is ready, and not while it is paused.
    let mut unready = told_in("old", Inside::Told);
    unready.pod = unready.pod.map(|pod| LifePod { ready: false, ..pod });
    assert_eq!(said(&unready), (nothing(), Inside::Pending));
    let gone = LifeView { pod: None, ..paused(told_in("old", Inside::Told)) };
    assert_eq!(said(&gone).1, Inside::Pending);
    let silent = LifeView { runtime: Runtime::Silent, ..told_in("old", Inside::Told) };
    assert_eq!(said(&silent), (nothing(), Inside::Told));
}
