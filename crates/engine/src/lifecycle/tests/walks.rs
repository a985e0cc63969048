//! Any walk through pauses, changes, losses and restarts ends where the sandbox was asked to be, and then nothing is done any more.

use super::*;
use proptest::prelude::*;

/// What happens to a sandbox from outside.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pause,
    Resume,
    ChangeImage,
    ChangeSpec,
    LosePod,
    Evict,
    BreakPod,
    HookFails,
    /// A step of the world: a pod starts, becomes ready, goes.
    Tick,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    use Event::*;
    let event = prop_oneof![
        2 => Just(Pause),
        3 => Just(Resume),
        2 => Just(ChangeImage),
        2 => Just(ChangeSpec),
        1 => Just(LosePod),
        1 => Just(Evict),
        1 => Just(BreakPod),
        1 => Just(HookFails),
        8 => Just(Tick),
    ];
    proptest::collection::vec(event, 0..60)
}

/// A sandbox with a cluster that does what it is told.
struct World {
    view: LifeView,
    /// What the pod has, as (revision, image, spec).
    has: (u32, u32, u32),
    wants: (u32, u32, u32),
    lives: u32,
    hook_fails: bool,
}

impl World {
    fn new(change: ChangePolicy, on_lost: OnLost) -> Self {
        let mut view = LifeView { ..super::new() };
        view.wish.change = change;
        view.wish.on_lost = on_lost;
        World { view, has: (0, 0, 0), wants: (0, 0, 0), lives: 0, hook_fails: false }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pause => self.view.wish.mode = Mode::Suspended,
            Event::Resume => self.view.wish.mode = Mode::Running,
            Event::ChangeImage => {
                self.wants = (self.wants.0 + 1, self.wants.1 + 1, self.wants.2);
                self.hook_fails = false;
            }
            Event::ChangeSpec => {
                self.wants = (self.wants.0 + 1, self.wants.1, self.wants.2 + 1);
                self.hook_fails = false;
            }
            Event::LosePod => self.view.pod = None,
            Event::Evict => self.with_pod(|pod| {
                pod.phase = PodPhase::Failed;
                pod.ending = Ending::Disrupted;
                pod.ready = false;
            }),
            Event::BreakPod => self.with_pod(|pod| {
                pod.ready = false;
                pod.trouble = Some(stuck());
            }),
            Event::HookFails => self.hook_fails = true,
            Event::Tick => self.tick(),
        }
    }

    fn with_pod(&mut self, change: impl FnOnce(&mut LifePod)) {
        if let Some(pod) = &mut self.view.pod {
            change(pod);
        }
    }

    fn tick(&mut self) {
        let Some(pod) = &mut self.view.pod else { return };
        if pod.leaving {
            self.view.pod = None;
            return;
        }
        pod.trouble = None;
        match pod.phase {
            PodPhase::Pending => pod.phase = PodPhase::Running,
            PodPhase::Running if pod.fit.progress == Some(Progress::Going) => {
                pod.fit.progress = Some(Progress::Done);
                pod.ready = true;
            }
            PodPhase::Running => pod.ready = true,
            _ => {}
        }
    }

    /// Plans and does it. Returns how much was to be done.
    fn step(&mut self) -> usize {
        self.view.wish.revision = Revision::new(format!("r{}", self.wants.0));
        let (has, wants) = (self.has, self.wants);
        self.with_pod(|pod| {
            let drift = |differs: bool| if differs { Drift::Differs } else { Drift::None };
            pod.fit.revision = drift(has.0 != wants.0);
            pod.fit.metadata = pod.fit.revision;
            pod.fit.images = drift(has.1 != wants.1);
            pod.fit.fixed = if has.2 == wants.2 { Fixed::Same } else { Fixed::Differs };
        });
        let plan = plan(&self.view, at(0));
        let count = plan.actions.len();
        for action in plan.actions {
            self.act(action);
        }
        let changed = plan.status.map(|status| self.report(status)).unwrap_or(false);
        count + usize::from(changed)
    }

    fn act(&mut self, action: LifeAction) {
        match action {
            LifeAction::CreatePod(_) => {
                assert!(self.view.pod.is_none(), "the name is taken");
                self.lives += 1;
                self.has = self.wants;
                let mut pod = LifePod { ready: false, ..pod(PodPhase::Pending) };
                pod.precondition.uid = Uid::new(format!("pod-{}", self.lives));
                self.view.pod = Some(pod);
            }
            LifeAction::DeletePod { uid, .. } => {
                let pod = self.view.pod.as_mut().expect("there is a pod");
                assert_eq!(pod.precondition.uid, uid);
                assert!(!pod.leaving, "it was deleted already");
                pod.leaving = true;
            }
            LifeAction::PatchPod { change, .. } => {
                self.has = self.wants;
                if change == PodChange::Containers {
                    self.with_pod(|pod| pod.fit.progress = Some(Progress::Going));
                }
            }
            LifeAction::RunHook(hook) => {
                let pod = self.view.pod.as_ref().expect("there is a pod");
                assert_eq!(pod.precondition.uid, hook.pod);
                assert_eq!(pod.phase, PodPhase::Running);
                self.view.hook = if self.hook_fails {
                    HookRun::Failed("no".to_owned())
                } else {
                    HookRun::Succeeded
                };
            }
            LifeAction::AddFinalizer(_) => {
                assert_eq!(self.view.finalizer, Finalizer::Absent);
                self.view.finalizer = Finalizer::Present;
            }
            LifeAction::RemoveFinalizer(_) => {
                assert_eq!(self.view.finalizer, Finalizer::Present);
                self.view.finalizer = Finalizer::Absent;
            }
            other => panic!("{other:?} was never asked for"),
        }
    }

    fn report(&mut self, status: LifeStatus) -> bool {
        if let Some(before) = self.view.reported.phase {
            assert!(!before.is_final() || status.phase == before, "{before:?} is for good");
        }
        // A hook belongs to its step.
        let word = |step: &Option<UpgradeStep>| {
            step.as_ref().map(|step| super::word(&format!("{step:?}")))
        };
        if word(&self.view.reported.upgrade) != word(&status.upgrade)
            || self.view.reported.revision.as_ref() != Some(&status.revision)
        {
            let runs_now = matches!(status.upgrade, Some(UpgradeStep::Before | UpgradeStep::After));
            if !runs_now || word(&self.view.reported.upgrade) != word(&status.upgrade) {
                self.view.hook = HookRun::Idle;
            }
        }
        let next = Reported {
            phase: Some(status.phase),
            message: status.message,
            revision: Some(status.revision),
            pause: status.pause,
            resume: status.resume,
            update: status.update,
            upgrade: status.upgrade,
            inside: status.inside,
            pod: status.pod.map(|pod| pod.uid),
        };
        let changed = next != self.view.reported;
        self.view.reported = next;
        changed
    }

    /// Lets the world go on until nothing is to be done.
    fn settle(&mut self) {
        for _ in 0..60 {
            let done = self.step();
            let before = self.view.pod.clone();
            self.tick();
            if done == 0 && before == self.view.pod {
                return;
            }
        }
        panic!("it never comes to rest: {:#?}", self.view);
    }
}

fn policies() -> impl Strategy<Value = ChangePolicy> {
    let command = |word: &str| {
        Some(HookCommand { command: vec![word.to_owned()], timeout: SignedDuration::from_secs(60) })
    };
    prop_oneof![
        Just(ChangePolicy::InPlace),
        Just(ChangePolicy::Recreate { before: None, after: None }),
        Just(ChangePolicy::Recreate { before: command("save"), after: command("load") }),
        Just(ChangePolicy::Unsupported("not here".to_owned())),
    ]
}

proptest! {
    #[test]
    fn every_walk_comes_to_rest_where_it_was_asked_to_be(
        change in policies(),
        on_lost in prop_oneof![Just(OnLost::Fail), Just(OnLost::Recreate)],
        walk in events(),
    ) {
        let mut world = World::new(change, on_lost);
        for event in walk {
            world.happen(event);
            world.step();
        }
        world.settle();
        let view = &world.view;
        let upgrade = view.reported.upgrade.clone();
        match view.reported.phase {
            Some(Phase::Failed) => prop_assert_eq!(on_lost, OnLost::Fail),
            Some(Phase::Paused) => {
                prop_assert_eq!(view.wish.mode, Mode::Suspended);
                prop_assert_eq!(view.reported.pause, PauseState::Done);
                prop_assert!(view.pod.is_none());
                prop_assert_eq!(view.finalizer, Finalizer::Present);
            }
            Some(Phase::Running) => {
                prop_assert_eq!(view.wish.mode, Mode::Running);
                prop_assert!(view.pod.as_ref().is_some_and(|pod| pod.ready));
                prop_assert_eq!(view.finalizer, Finalizer::Absent);
                prop_assert_eq!(view.reported.pause, PauseState::None);
                if matches!(view.wish.change, ChangePolicy::Recreate { .. }) {
                    prop_assert_eq!(world.has, world.wants);
                }
            }
            Some(Phase::Upgrading) => prop_assert!(matches!(
                upgrade,
                Some(UpgradeStep::BeforeFailed(_) | UpgradeStep::AfterFailed(_))
            )),
            other => prop_assert!(false, "it rests in {:?}", other),
        }
    }
}
