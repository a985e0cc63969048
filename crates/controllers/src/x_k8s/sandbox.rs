//! One sandbox: its pod, its service, its volumes, its status.

use std::sync::Arc;

use dialects::condition::Condition;
use dialects::pod::Pod;
use dialects::x_k8s::build::{pod, service, volume};
use dialects::x_k8s::types::SandboxStatus;
use dialects::x_k8s::{Sandbox, build, sandbox as dialect};
use engine::sandbox::{Ownership, PodView, Readiness, SandboxAction, SandboxPlan, Setback};
use engine::{Holder, Key, Member, Precondition};
use jiff::{SignedDuration, Timestamp};

use super::XK8s;
use super::index::sandboxes::{launch_type, template_name, urgency_of};
use crate::act::{DeletePrecondition, Part, Propagation, Urgency, WriteError};
use crate::events::{Note, Severity};
use crate::family::{self, Looked};
use crate::index::World;
use crate::index::child::{Service, Volume};
use crate::kinds::Kind;
use crate::metrics::SandboxLatencyLabels;
use crate::queue::Priority;
use crate::reconcile::{Asked, Failure, Made, Reconciler};
use crate::subject::Subject;

/// A warm sandbox that has said nothing yet need not say "not yet" for this long: nobody waits for it, and if it gets ready meanwhile its status is written once
/// instead of three times. Longer, and a pool that does not fill is explained late; shorter, and a refill of real containers costs twice the writes.
const QUIET_START: SignedDuration = SignedDuration::from_secs(5);

/// A stranger's object that holds a name we need is looked at again this often: no watch tells us when it goes.
const FOREIGN_RECHECK: SignedDuration = SignedDuration::from_secs(30);

impl family::Sandbox<XK8s> for Sandbox {
    fn holder(sandbox: &Self) -> Holder {
        sandbox.holder()
    }

    fn member(world: &World<XK8s>, sandbox: &Self) -> Option<Member> {
        let trouble = world.pod_of(&sandbox.metadata.uid()).and_then(|pod| pod.trouble());
        let revision = world.own.sandbox_revisions.get(&sandbox.metadata.key())?.clone();
        Some(sandbox.member_of(revision, trouble))
    }

    fn pools(world: &World<XK8s>, sandbox: &Self) -> Vec<Key> {
        world.pools_of(sandbox)
    }

    fn urgency(old: Option<&Self>, new: &Self) -> Priority {
        urgency_of(old, new)
    }

    async fn reconcile(this: &Arc<Reconciler<XK8s>>, key: &Key) -> Looked {
        this.sandbox(key).await
    }
}

impl Reconciler<XK8s> {
    async fn sandbox(&self, key: &Key) -> Looked {
        let subject = Subject::Sandbox(key.clone());
        if let Some(at) = self.hold_back(&subject) {
            return Ok(Some(at));
        }
        self.refresh_foreign(key).await?;
        let now = self.clock.now();
        let (sandbox, plan) = {
            let world = self.index.world();
            let Some(sandbox) = world.sandboxes.get(key).cloned() else {
                self.memory.note_error(key, None);
                return Ok(None);
            };
            let view = view(&world, &sandbox, self.memory.error(key));
            (sandbox, engine::sandbox::plan(&view, now))
        };
        if sandbox.metadata.is_leaving() {
            return Ok(None);
        }
        let urgency = match urgency_of(None, &sandbox) {
            Priority::Urgent => Urgency::Urgent,
            Priority::Background => Urgency::Background,
        };
        let done = self.carry_out(&subject, &sandbox, &plan, urgency).await;
        let outcome = self.remember(key, done);
        let quiet = self.report(&subject, &sandbox, &plan, urgency, now).await?;
        let recheck = outcome?.map(|at| self.timestamp_of(at));
        let foreign = self.foreign_recheck(&sandbox, now);
        Ok([plan.wake_at, quiet, recheck, foreign].into_iter().flatten().min())
    }

    async fn carry_out(
        &self,
        subject: &Subject,
        sandbox: &Sandbox,
        plan: &SandboxPlan,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        let asked = Asked {
            sandbox: sandbox.metadata.key(),
            life: sandbox.metadata.uid(),
            generation: sandbox.metadata.generation,
        };
        for action in &plan.actions {
            self.refuse_known_invalid(&asked, target(action))?;
            let done = self.perform(subject, sandbox, action, urgency).await;
            self.note_invalid(&asked, &done);
            if done? == Made::NameTaken {
                // What follows may build on it: a pod must not mount a stranger's volume.
                return Ok(());
            }
            tracing::debug!(%subject, ?action, "carried out");
        }
        Ok(())
    }

    async fn perform(
        &self,
        subject: &Subject,
        sandbox: &Sandbox,
        action: &SandboxAction,
        urgency: Urgency,
    ) -> Result<Made, Failure> {
        let done = match action {
            SandboxAction::CreateVolume(key) => {
                let Some(template) = volume::template(sandbox, &key.name) else {
                    return Ok(Made::Done);
                };
                let body = volume::volume_claim(sandbox, template);
                return self.create_child::<Volume>(subject, key, &body, urgency).await;
            }
            SandboxAction::CreatePod(key) => {
                let body = pod::pod(sandbox);
                return self.create_child::<Pod>(subject, key, &body, urgency).await;
            }
            SandboxAction::CreateService(key) => {
                let body = service::service(sandbox);
                return self.create_child::<Service>(subject, key, &body, urgency).await;
            }
            SandboxAction::AdoptVolume(key, p) => {
                self.adopt(subject, sandbox, Kind::Volume, key, p, urgency).await
            }
            SandboxAction::AdoptPod(key, p) => {
                self.adopt(subject, sandbox, Kind::Pod, key, p, urgency).await
            }
            SandboxAction::AdoptService(key, p) => {
                self.adopt(subject, sandbox, Kind::Service, key, p, urgency).await
            }
            SandboxAction::SyncPodMetadata(key, _) => {
                let pod = self.index.world().pods.get(key).cloned();
                let patch = pod.and_then(|existing| pod::sync(sandbox, &existing.metadata));
                self.patch_child(subject, Kind::Pod, key, patch, Urgency::Background).await
            }
            SandboxAction::RepairService(key, _) => {
                let existing = self.index.world().own.services.get(key).cloned();
                let patch = existing
                    .and_then(|s: Arc<Service>| service::repair(sandbox, &s.metadata, &s.spec));
                self.patch_child(subject, Kind::Service, key, patch, urgency).await
            }
            SandboxAction::DeletePod(key, p) => {
                self.delete_child(subject, Kind::Pod, key, &p.uid, urgency).await
            }
            SandboxAction::DeleteService(key, p) => {
                self.delete_child(subject, Kind::Service, key, &p.uid, urgency).await
            }
            SandboxAction::DeleteSandbox(key, p) => {
                let insist = DeletePrecondition::Unchanged(p);
                let done = self
                    .writer
                    .delete(Kind::Sandbox, key, insist, Propagation::Background, urgency)
                    .await;
                or_gone(done).map_err(|source| Failure::write("delete", Kind::Sandbox, key, source))
            }
        };
        done.map(|()| Made::Done)
    }

    async fn adopt(
        &self,
        subject: &Subject,
        sandbox: &Sandbox,
        kind: Kind,
        key: &Key,
        precondition: &Precondition,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        let patch = pod::adopt(sandbox, precondition);
        self.patch_child(subject, kind, key, Some(patch), urgency).await
    }

    /// Writes the status if it says anything new. Returns when to look again, if the status is being held back.
    async fn report(
        &self,
        subject: &Subject,
        sandbox: &Sandbox,
        plan: &SandboxPlan,
        urgency: Urgency,
        now: Timestamp,
    ) -> Looked {
        let domain = self.index.world().own.options.cluster_domain.clone();
        let wanted = sandbox.next_status(&plan.status, &domain, now);
        if only_node_differs(&sandbox.status, &wanted, &plan.status.readiness) {
            return Ok(None);
        }
        let Some(mut patch) = dialect::status_patch(&sandbox.status, &wanted) else {
            return Ok(None);
        };
        if let Some(until) = quiet_until(sandbox, plan, now) {
            return Ok(Some(until));
        }
        patch["metadata"] = serde_json::json!({ "uid": sandbox.metadata.uid });
        let key = subject.key();
        match self.writer.patch(Kind::Sandbox, key, Part::Status, &patch, urgency).await {
            Ok(written) => {
                self.wrote(subject, Kind::Sandbox, &written);
                self.announce(sandbox, &wanted, plan, now);
                // An end is announced before anything is removed. Our own status wakes nobody, so the next look has to be asked for.
                Ok((plan.status.readiness == Readiness::Expired).then_some(now))
            }
            // Also when it is gone: until the index knows that, another look would do the same again, so it waits for its backoff.
            Err(source) => Err(Failure::write("report", Kind::Sandbox, key, source)),
        }
    }

    fn announce(
        &self,
        sandbox: &Sandbox,
        wanted: &SandboxStatus,
        plan: &SandboxPlan,
        now: Timestamp,
    ) {
        let key = sandbox.metadata.key();
        let ready = |status: &SandboxStatus| {
            dialects::condition::find(&status.conditions, "Ready").is_some_and(Condition::is_true)
        };
        let first = sandbox.ready().is_none_or(|before| before.reason == "DependenciesNotReady");
        if ready(wanted) && !ready(&sandbox.status) && first {
            let seen = self.index.world().first_seen(&key).unwrap_or(sandbox.metadata.created());
            let labels = SandboxLatencyLabels {
                namespace: key.namespace.to_string(),
                launch_type: launch_type(sandbox),
                sandbox_template: template_name(sandbox).unwrap_or("unknown").to_owned(),
            };
            self.metrics
                .sandbox_ready(&labels, now.duration_since(seen).try_into().unwrap_or_default());
        }
        if let Readiness::MultiplePods(count) = plan.status.readiness {
            self.events.note(Note {
                kind: Kind::Sandbox,
                uid: sandbox.metadata.uid(),
                severity: Severity::Warning,
                reason: "MultiplePods",
                message: format!(
                    "{count} Pods are controlled by this Sandbox; refusing to choose or create one"
                ),
                key,
            });
        }
    }

    /// Looks again at strangers' objects that hold a name of this sandbox; nothing else would tell us that they went.
    async fn refresh_foreign(&self, key: &Key) -> Result<(), Failure> {
        let (pod, service) = {
            let world = self.index.world();
            let Some(sandbox) = world.sandboxes.get(key) else { return Ok(()) };
            let foreign_pod =
                world.pods.get(key).is_some_and(|pod| is_stranger(sandbox, &pod.metadata));
            let foreign_service =
                world.own.services.get(key).is_some_and(|s| is_stranger(sandbox, &s.metadata));
            (foreign_pod, foreign_service)
        };
        if pod {
            self.glimpse::<Pod>(key).await?;
        }
        if service {
            self.glimpse::<Service>(key).await?;
        }
        Ok(())
    }

    fn foreign_recheck(&self, sandbox: &Sandbox, now: Timestamp) -> Option<Timestamp> {
        let world = self.index.world();
        let key = sandbox.metadata.key();
        let pod = world.pods.get(&key).is_some_and(|pod| is_stranger(sandbox, &pod.metadata));
        let service =
            world.own.services.get(&key).is_some_and(|s| is_stranger(sandbox, &s.metadata));
        (pod || service).then(|| now.checked_add(FOREIGN_RECHECK).ok()).flatten()
    }
}

/// What an action writes, in the words of a failure.
fn target(action: &SandboxAction) -> (&'static str, Kind, &Key) {
    match action {
        SandboxAction::CreateVolume(key) => ("create", Kind::Volume, key),
        SandboxAction::CreatePod(key) => ("create", Kind::Pod, key),
        SandboxAction::CreateService(key) => ("create", Kind::Service, key),
        SandboxAction::AdoptVolume(key, _) => ("patch", Kind::Volume, key),
        SandboxAction::AdoptPod(key, _) | SandboxAction::SyncPodMetadata(key, _) => {
            ("patch", Kind::Pod, key)
        }
        SandboxAction::AdoptService(key, _) | SandboxAction::RepairService(key, _) => {
            ("patch", Kind::Service, key)
        }
        SandboxAction::DeletePod(key, _) => ("delete", Kind::Pod, key),
        SandboxAction::DeleteService(key, _) => ("delete", Kind::Service, key),
        SandboxAction::DeleteSandbox(key, _) => ("delete", Kind::Sandbox, key),
    }
}

fn is_stranger(sandbox: &Sandbox, child: &dialects::meta::Meta) -> bool {
    matches!(build::pod::ownership(sandbox, child), Ownership::Foreign | Ownership::Unowned)
}

fn or_gone(done: Result<(), WriteError>) -> Result<(), WriteError> {
    match done {
        Ok(()) | Err(WriteError::Gone(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A node name alone is not worth a write while the sandbox is not ready.
fn only_node_differs(has: &SandboxStatus, wanted: &SandboxStatus, readiness: &Readiness) -> bool {
    let ready = matches!(readiness, Readiness::Ready(_));
    !ready
        && has.node_name != wanted.node_name
        && SandboxStatus { node_name: has.node_name.clone(), ..wanted.clone() } == *has
}

fn quiet_until(sandbox: &Sandbox, plan: &SandboxPlan, now: Timestamp) -> Option<Timestamp> {
    let warm = matches!(sandbox.holder(), Holder::Pool(_));
    let starting = matches!(plan.status.readiness, Readiness::NotYet(..));
    let unscheduled = matches!(
        &plan.status.scheduling,
        Some(engine::sandbox::Scheduling::Reported(said)) if said.status == engine::Verdict::False
    );
    if !warm || !starting || unscheduled || !sandbox.status.conditions.is_empty() {
        return None;
    }
    let until = sandbox.metadata.created().checked_add(QUIET_START).ok()?;
    (now < until).then_some(until)
}

/// A sandbox and everything that bears on it.
pub(super) fn view(
    world: &World<XK8s>,
    sandbox: &Sandbox,
    error: Option<Setback>,
) -> engine::sandbox::SandboxView {
    let key = sandbox.metadata.key();
    let uid = sandbox.metadata.uid();
    let named = [&*key.name, build::bind::pod_name(sandbox)].map(|name| key.sibling(name));
    let keys: std::collections::BTreeSet<Key> =
        world.pods_by_owner.of(&uid).cloned().chain(named).collect();
    let pods: Vec<PodView> = keys
        .iter()
        .filter_map(|key| world.pods.get(key))
        .map(|pod| sandbox.pod_view(pod))
        .collect();
    let service = world.own.services.get(&key).map(|s| sandbox.service_view(&s.metadata, &s.spec));
    let volumes = |name: &str| {
        let volume: Option<&Arc<Volume>> = world.volumes.get(&key.sibling(name));
        volume.map(|v| sandbox.volume_view(&v.metadata))
    };
    sandbox.view(pods, service, volumes, error)
}
