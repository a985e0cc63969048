//! One sandbox: its pod, its volumes, its status.

use std::sync::Arc;

use dialects::condition::to_second;
use dialects::kruise::build::{change, pod, volume};
use dialects::kruise::keys;
use dialects::kruise::runtime as inside;
use dialects::kruise::sandbox::Running;
use dialects::kruise::types::{Sandbox, SandboxTemplate};
use dialects::pod::Pod;
use engine::lifecycle::{
    Grace as LifeGrace, HookMoment, HookRun, LifeAction, LifePlan, LifeReady, LifeView, PodChange,
    PodOwner, UpgradeStep,
};
use engine::sandbox::{Setback, VolumeAction};
use engine::{Holder, Key, Lock, Member, Precondition};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Kruise, announce};
use crate::act::{
    DeletePrecondition, Grace, Part, Propagation, Style, Urgency, WriteError, Written,
};
use crate::events::Note;
use crate::family::{self, Looked};
use crate::index::World;
use crate::index::child::Volume;
use crate::kinds::Kind;
use crate::queue::Priority;
use crate::reconcile::{Asked, Failure, Made, Reconciler};
use crate::subject::Subject;

/// A warm sandbox that has said nothing yet need not say "not yet" for this long: nobody waits for it, and if it gets ready meanwhile its status is written once
/// instead of twice. What is in its way is told at once. Longer, and a pool of slow starters looks empty to whoever lists it.
const QUIET_START: SignedDuration = SignedDuration::from_secs(5);

/// A pod that holds the name and is not ours is looked at again this often: no watch may show it, and none then tells us when it goes.
const FOREIGN_RECHECK: SignedDuration = SignedDuration::from_secs(30);

impl family::Sandbox<Kruise> for Sandbox {
    fn holder(sandbox: &Self) -> Holder {
        sandbox.holder()
    }

    fn member(world: &World<Kruise>, sandbox: &Self) -> Option<Member> {
        let key = sandbox.metadata.key();
        let trouble = world.pod_of(&sandbox.metadata.uid()).and_then(|pod| pod.trouble());
        let lock = match world.own.sandboxes.locked_since(&key) {
            Some(since) => Lock::Taken { since },
            None => Lock::Free,
        };
        Some(sandbox.member(world.made_with(sandbox), trouble, lock))
    }

    /// A sandbox that is started for a claim is somebody's wait, and so is one that is paused or resumed by whoever has it. A warm one is nobody's.
    fn urgency(old: Option<&Self>, new: &Self) -> Priority {
        match new.holder() {
            Holder::Pool(_) => Priority::Background,
            Holder::Claim(_) if old.is_some_and(|old| matches!(old.holder(), Holder::Pool(_))) => {
                Priority::Background
            }
            _ if new.is_ready() => Priority::Background,
            _ => Priority::Urgent,
        }
    }

    async fn reconcile(this: &Arc<Reconciler<Kruise>>, key: &Key) -> Looked {
        this.sandbox(key).await
    }
}

/// A sandbox and what is needed to act on it, as they were when the plan was made.
struct Seen {
    sandbox: Arc<Sandbox>,
    pod: Option<Arc<Pod>>,
    template: Option<Arc<SandboxTemplate>>,
}

impl Reconciler<Kruise> {
    async fn sandbox(self: &Arc<Self>, key: &Key) -> Looked {
        let subject = Subject::Sandbox(key.clone());
        if let Some(at) = self.hold_back(&subject) {
            return Ok(Some(at));
        }
        self.look_at_stranger(key).await?;
        let now = self.clock.now();
        let (seen, owner, plan) = {
            let world = self.index.world();
            let Some(sandbox) = world.sandboxes.get(key).cloned() else {
                self.memory.note_error(key, None);
                self.memory.own.hooks.forget(key);
                return Ok(None);
            };
            let pod = world.pods.get(key).cloned();
            let template = template_of(&world, &sandbox).cloned();
            let running = self.under_way(&sandbox, pod.as_deref());
            let view = view(&world, &sandbox, self.memory.error(key), running);
            let owner = view.pod.as_ref().map(|pod| pod.owner);
            (Seen { sandbox, pod, template }, owner, engine::lifecycle::plan(&view, now))
        };
        tracing::debug!(%subject, reasons = ?plan.reasons, "planned");
        let urgency = match <Sandbox as family::Sandbox<Kruise>>::urgency(None, &seen.sandbox) {
            Priority::Urgent => Urgency::Urgent,
            Priority::Background => Urgency::Background,
        };
        let done = self.carry_out_life(&subject, &seen, &plan, urgency).await;
        let outcome = self.remember(key, done);
        let quiet = self.report_life(&subject, &seen, owner, &plan, urgency, now).await?;
        let recheck = outcome?.map(|at| self.timestamp_of(at));
        let stranger = owner
            .filter(|owner| *owner != PodOwner::Ours)
            .and_then(|_| now.checked_add(FOREIGN_RECHECK).ok());
        Ok([plan.wake_at, quiet, recheck, stranger].into_iter().flatten().min())
    }

    /// What is under way for a sandbox: the hook that the reported step of an upgrade is about, and the telling of the program inside.
    fn under_way(&self, sandbox: &Sandbox, pod: Option<&Pod>) -> Running {
        let Some(pod) = pod.map(|pod| pod.metadata.uid()) else { return Running::default() };
        let (key, hooks) = (sandbox.metadata.key(), &self.memory.own.hooks);
        let revision = engine::Revision::new(sandbox.revision());
        let hook = match sandbox.reported().upgrade {
            Some(UpgradeStep::Before | UpgradeStep::BeforeFailed(_)) => {
                hooks.of(&key, HookMoment::Before, &pod, &revision)
            }
            Some(UpgradeStep::After | UpgradeStep::AfterFailed(_)) => {
                hooks.of(&key, HookMoment::After, &pod, &revision)
            }
            _ => HookRun::Idle,
        };
        Running { hook, telling: hooks.telling(&key, &pod) }
    }

    async fn carry_out_life(
        self: &Arc<Self>,
        subject: &Subject,
        seen: &Seen,
        plan: &LifePlan,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        let metadata = &seen.sandbox.metadata;
        let asked = Asked {
            sandbox: metadata.key(),
            life: metadata.uid(),
            generation: metadata.generation,
        };
        for action in &plan.actions {
            self.refuse_known_invalid(&asked, target(subject, action))?;
            let done = self.act_on(subject, seen, action, urgency).await;
            self.note_invalid(&asked, &done);
            if done? == Made::NameTaken {
                // What follows may build on it: a pod must not mount a stranger's volume.
                return Ok(());
            }
            tracing::debug!(%subject, ?action, "carried out");
        }
        Ok(())
    }

    async fn act_on(
        self: &Arc<Self>,
        subject: &Subject,
        seen: &Seen,
        action: &LifeAction,
        urgency: Urgency,
    ) -> Result<Made, Failure> {
        let Seen { sandbox, pod, template } = seen;
        let key = subject.key();
        match action {
            LifeAction::Volume(VolumeAction::Create(volume)) => {
                let claims = sandbox.spec.block.volumes(template.as_deref());
                let claim = claims
                    .iter()
                    .find(|claim| volume::name(&claim.metadata.name, &key.name) == *volume.name);
                let Some(claim) = claim else { return Ok(Made::Done) };
                let body = volume::volume_claim(sandbox, claim);
                return self.create_child::<Volume>(subject, volume, &body, urgency).await;
            }
            // Nothing of this family may be taken over.
            LifeAction::Volume(VolumeAction::Adopt(..)) => {}
            LifeAction::CreatePod(pod) => {
                let Some(body) = pod::pod(sandbox, template.as_deref()) else {
                    return Ok(Made::Done);
                };
                return self.create_child::<Pod>(subject, pod, &body, urgency).await;
            }
            LifeAction::DeletePod { key, uid, grace } => {
                let grace = match grace {
                    LifeGrace::OfPod => Grace::OfObject,
                    LifeGrace::Seconds(seconds) => Grace::Seconds(*seconds),
                };
                self.delete_child_within(subject, Kind::Pod, key, uid, grace, urgency).await?;
            }
            LifeAction::ResizePod { key, .. } => {
                if let Some(patch) = pod.as_deref().and_then(|pod| change::resize(sandbox, pod)) {
                    self.resize(subject, key, &patch, urgency).await?;
                }
            }
            LifeAction::PatchPod { key, change: PodChange::Metadata, .. } => {
                let patch = pod.as_deref().and_then(|pod| pod::sync(sandbox, &pod.metadata));
                self.patch_child(subject, Kind::Pod, key, patch, Urgency::Background).await?;
            }
            LifeAction::PatchPod { key, change: PodChange::Containers, .. } => {
                let Some(pod) = pod else { return Ok(Made::Done) };
                let patch = change::containers(sandbox, pod, self.clock.now());
                let done = self.strategic(key, Part::Main, &patch, urgency).await;
                self.patched(subject, Kind::Pod, key, done)?;
            }
            LifeAction::RunHook(hook) => {
                let first = pod.as_ref().and_then(|pod| pod.spec.containers.first());
                self.run_hook(key, first.map(|container| container.name.clone()), hook);
            }
            LifeAction::TellRuntime { pod: life } => {
                let template = sandbox.spec.block.pod(template.as_deref());
                let port = inside::port(&sandbox.metadata.annotations, template);
                let ip = pod.as_ref().and_then(|pod| pod.ips().first()?.parse().ok());
                self.tell_again(sandbox, ip.zip(port), life);
            }
            LifeAction::AddFinalizer(precondition) => {
                let mut finalizers = sandbox.metadata.finalizers.clone();
                finalizers.push(keys::FINALIZER.to_owned());
                let change = json!({"metadata": {"finalizers": finalizers}});
                self.patch_self(subject, precondition, change, urgency).await?;
            }
            LifeAction::RemoveFinalizer(precondition) => {
                let mut finalizers = sandbox.metadata.finalizers.clone();
                finalizers.retain(|finalizer| finalizer != keys::FINALIZER);
                // An empty list would stay on the object as one.
                let finalizers = (!finalizers.is_empty()).then_some(finalizers);
                let change = json!({"metadata": {"finalizers": finalizers}});
                self.patch_self(subject, precondition, change, urgency).await?;
            }
            LifeAction::Pause { precondition, keep_until } => {
                let mut spec = json!({"paused": true});
                if let Some(until) = keep_until {
                    spec["shutdownTime"] = json!(to_second(*until));
                    spec["pauseTime"] = json!(to_second(*until));
                }
                self.patch_self(subject, precondition, json!({ "spec": spec }), urgency).await?;
            }
            LifeAction::DeleteSandbox(precondition) => {
                let kind = Kind::KruiseSandbox;
                let insist = DeletePrecondition::Unchanged(precondition);
                let done =
                    self.writer.delete(kind, key, insist, Propagation::Background, urgency).await;
                match done {
                    Ok(()) | Err(WriteError::Gone(_)) => {}
                    Err(source) => return Err(Failure::write("delete", kind, key, source)),
                }
            }
        }
        Ok(Made::Done)
    }

    /// A write to the sandbox itself, which must not undo what somebody wrote meanwhile.
    async fn patch_self(
        &self,
        subject: &Subject,
        precondition: &Precondition,
        mut change: Value,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        change["metadata"]["uid"] = json!(precondition.uid);
        change["metadata"]["resourceVersion"] = json!(precondition.version.to_string());
        let (kind, key) = (Kind::KruiseSandbox, subject.key());
        let done = self.writer.patch(kind, key, Part::Main, &change, urgency).await;
        self.patched(subject, kind, key, done)
    }

    /// Servers before 1.33 take resources in a plain patch, and don't know the other way.
    async fn resize(
        &self,
        subject: &Subject,
        key: &Key,
        patch: &Value,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        let done = match self.strategic(key, Part::Resize, patch, urgency).await {
            Err(WriteError::Gone(_)) => self.strategic(key, Part::Main, patch, urgency).await,
            done => done,
        };
        self.patched(subject, Kind::Pod, key, done)
    }

    async fn strategic(
        &self,
        key: &Key,
        part: Part,
        patch: &Value,
        urgency: Urgency,
    ) -> Result<Written, WriteError> {
        self.writer.patch_as(Kind::Pod, key, part, Style::Strategic, patch, urgency).await
    }

    /// What is gone needs no patch any more.
    fn patched(
        &self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        done: Result<Written, WriteError>,
    ) -> Result<(), Failure> {
        match done {
            Ok(written) => {
                self.wrote(subject, kind, &written);
                Ok(())
            }
            Err(WriteError::Gone(_)) => Ok(()),
            Err(source) => Err(Failure::write("patch", kind, key, source)),
        }
    }

    /// Writes the status if it says anything new. Returns when to look again, if the status is being held back.
    async fn report_life(
        &self,
        subject: &Subject,
        seen: &Seen,
        owner: Option<PodOwner>,
        plan: &LifePlan,
        urgency: Urgency,
        now: Timestamp,
    ) -> Looked {
        let Some(status) = &plan.status else { return Ok(None) };
        let sandbox = &seen.sandbox;
        let wanted = sandbox.next_status(status, seen.pod.as_deref(), now);
        let Some(mut patch) = sandbox.status_patch(&wanted) else { return Ok(None) };
        if let Some(until) = quiet_until(sandbox, &status.ready, now) {
            return Ok(Some(until));
        }
        patch["metadata"] = json!({ "uid": sandbox.metadata.uid });
        // A patch replaces the list of conditions as a whole. Where a claim writes one of them too, it has to be the list that was seen.
        if sandbox.metadata.annotations.contains_key(keys::INIT_RUNTIME_REQUEST) {
            patch["metadata"]["resourceVersion"] = json!(sandbox.metadata.resource_version);
        }
        let (kind, key) = (Kind::KruiseSandbox, subject.key());
        match self.writer.patch(kind, key, Part::Status, &patch, urgency).await {
            Ok(written) => {
                self.wrote(subject, kind, &written);
                for (severity, reason, message) in announce::notes(sandbox, owner, plan, &wanted) {
                    let (key, uid) = (key.clone(), sandbox.metadata.uid());
                    self.events.note(Note { kind, key, uid, severity, reason, message });
                }
                Ok(None)
            }
            // It had nothing left to wait for.
            Err(WriteError::Gone(_)) if sandbox.metadata.is_leaving() => Ok(None),
            // Also when it is gone: until the index knows that, another look would do the same again, so it waits for its backoff.
            Err(source) => Err(Failure::write("report", kind, key, source)),
        }
    }

    /// Looks again at a pod that holds this sandbox's name and is not its own; nothing else may tell us that it went.
    async fn look_at_stranger(&self, key: &Key) -> Result<(), Failure> {
        let stranger = {
            let world = self.index.world();
            let (sandbox, pod) = (world.sandboxes.get(key), world.pods.get(key));
            sandbox
                .zip(pod)
                .is_some_and(|(sandbox, pod)| pod::owner(sandbox, &pod.metadata) != PodOwner::Ours)
        };
        if stranger { self.glimpse::<Pod>(key).await } else { Ok(()) }
    }
}

/// What an action writes, in the words of a failure.
fn target<'a>(subject: &'a Subject, action: &'a LifeAction) -> (&'static str, Kind, &'a Key) {
    match action {
        LifeAction::Volume(VolumeAction::Create(key)) => ("create", Kind::Volume, key),
        LifeAction::Volume(VolumeAction::Adopt(key, _)) => ("patch", Kind::Volume, key),
        LifeAction::CreatePod(key) => ("create", Kind::Pod, key),
        LifeAction::DeletePod { key, .. } => ("delete", Kind::Pod, key),
        LifeAction::ResizePod { key, .. } | LifeAction::PatchPod { key, .. } => {
            ("patch", Kind::Pod, key)
        }
        LifeAction::RunHook(_) | LifeAction::TellRuntime { .. } => {
            ("run", Kind::Pod, subject.key())
        }
        LifeAction::AddFinalizer(_) | LifeAction::RemoveFinalizer(_) | LifeAction::Pause { .. } => {
            ("patch", Kind::KruiseSandbox, subject.key())
        }
        LifeAction::DeleteSandbox(_) => ("delete", Kind::KruiseSandbox, subject.key()),
    }
}

fn quiet_until(sandbox: &Sandbox, ready: &LifeReady, now: Timestamp) -> Option<Timestamp> {
    let warm = matches!(sandbox.holder(), Holder::Pool(_));
    if !warm || *ready != LifeReady::Starting || sandbox.phase().is_some() {
        return None;
    }
    let until = sandbox.metadata.created().checked_add(QUIET_START).ok()?;
    (now < until).then_some(until)
}

/// The template that a sandbox refers to, if it does and it exists.
fn template_of<'a>(
    world: &'a World<Kruise>,
    sandbox: &Sandbox,
) -> Option<&'a Arc<SandboxTemplate>> {
    let reference = sandbox.spec.block.template_ref.as_ref()?;
    world.templates.get(&sandbox.metadata.key().sibling(&reference.name))
}

/// A sandbox and everything that bears on it.
pub(super) fn view(
    world: &World<Kruise>,
    sandbox: &Sandbox,
    setback: Option<Setback>,
    running: Running,
) -> LifeView {
    let key = sandbox.metadata.key();
    let volumes = |name: &str| {
        world.volumes.get(&key.sibling(name)).map(|volume| sandbox.volume_view(&volume.metadata))
    };
    let template = template_of(world, sandbox).map(Arc::as_ref);
    let pod = world.pods.get(&key).map(Arc::as_ref);
    sandbox.view(pod, template, volumes, setback, running)
}
