//! What a sandbox asks for, what it was last said to be, and what it is made of, as the planner of lives sees it.

use crate::condition::{Condition, find};
use crate::kruise::build::{change, pod};
use crate::kruise::types::{Sandbox, SandboxTemplate, UpgradeHook};
use crate::kruise::{build, duration, keys, runtime};
use crate::meta::Meta;
use crate::pod::Pod;
use engine::lifecycle::{
    Blueprint, ChangePolicy, Ending, Finalizer, HookCommand, HookRun, Inside, LifePod, LifeView,
    OnLost, PauseState, PodTrouble, Reported, ResumeState, Retention, Runtime, UpdateState,
    UpgradeStep, Wish,
};
use engine::sandbox::{ChildView, Drift, Mode, Ownership, Setback, VolumeView};
use engine::{Revision, Uid};
use jiff::SignedDuration;

/// Annotation, ours, on a Sandbox or on its pod template: what becomes of it when its pod is lost. `Recreate` gives it another pod on the same volumes, `Fail` ends it.
/// Unsaid: `Recreate` for one that has volume claims of its own, since what matters is on them, and `Fail` for others, as the family has it.
pub const ON_POD_LOST: &str = "sandbank.agents.kruise.io/on-pod-lost";

/// What is under way for a sandbox in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// The hook of the step that was reported last.
    pub hook: HookRun,
    /// The telling of the program inside.
    pub telling: HookRun,
}

/// How long a hook may take that does not say.
const HOOK_SECONDS: i64 = 60;

impl Sandbox {
    /// A sandbox and everything that bears on it. `volumes` looks up what exists under the name of a volume claim.
    pub fn view(
        &self,
        pod: Option<&Pod>,
        referenced: Option<&SandboxTemplate>,
        volumes: impl Fn(&str) -> Option<ChildView>,
        setback: Option<Setback>,
        running: Running,
    ) -> LifeView {
        let key = self.metadata.key();
        let wanted = self.spec.block.volumes(referenced).iter().map(|template| {
            let name = build::volume::name(&template.metadata.name, &key.name);
            VolumeView { found: volumes(&name), key: key.sibling(name) }
        });
        let finalizers = &self.metadata.finalizers;
        LifeView {
            volumes: wanted.collect(),
            precondition: self.metadata.precondition(),
            leaving: self.metadata.is_leaving(),
            finalizer: if finalizers.iter().any(|name| name == keys::FINALIZER) {
                Finalizer::Present
            } else {
                Finalizer::Absent
            },
            reported: self.reported(),
            wish: self.wish(referenced),
            blueprint: self.blueprint(referenced),
            pod: pod.map(|pod| self.pod_view(pod)),
            setback,
            hook: running.hook,
            runtime: self.runtime(referenced),
            telling: running.telling,
            key,
        }
    }

    /// A volume claim as the engine sees it. It is never updated, so it never drifts.
    pub fn volume_view(&self, meta: &Meta) -> ChildView {
        ChildView {
            precondition: meta.precondition(),
            ownership: match meta.controller() {
                Some(owner) if owner.uid == self.metadata.uid => Ownership::Ours,
                Some(_) => Ownership::Foreign,
                None => Ownership::Unowned,
            },
            leaving: meta.is_leaving(),
            drift: Drift::None,
        }
    }

    fn pod_view(&self, pod: &Pod) -> LifePod {
        let ip = pod.ips().into_iter().next();
        LifePod {
            key: pod.metadata.key(),
            precondition: pod.metadata.precondition(),
            owner: pod::owner(self, &pod.metadata),
            leaving: pod.metadata.is_leaving(),
            phase: pod.phase(),
            ending: if is_disrupted(pod) { Ending::Disrupted } else { Ending::Own },
            ready: pod.is_ready() && ip.is_some(),
            trouble: pod
                .told_trouble()
                .map(|(word, trouble)| PodTrouble { word: word.to_owned(), trouble }),
            ip,
            node: pod.node(),
            fit: change::fit(self, pod),
        }
    }

    fn blueprint(&self, referenced: Option<&SandboxTemplate>) -> Blueprint {
        let block = &self.spec.block;
        match (&block.template_ref, block.pod(referenced)) {
            (_, Some(_)) => Blueprint::Known,
            (Some(reference), None) => {
                let name = &reference.name;
                Blueprint::Missing(format!(
                    "SandboxTemplate {name:?} does not exist, or has no pod"
                ))
            }
            (None, None) => {
                Blueprint::Missing("neither template nor templateRef is set".to_owned())
            }
        }
    }

    fn wish(&self, referenced: Option<&SandboxTemplate>) -> Wish {
        let spec = &self.spec;
        Wish {
            mode: if spec.paused { Mode::Suspended } else { Mode::Running },
            shutdown_at: spec.shutdown_time,
            pause_at: spec.pause_time,
            retention: self
                .metadata
                .annotations
                .get(keys::RESERVE_PAUSED)
                .map(|text| retention(text)),
            revision: Revision::new(self.revision()),
            change: self.change_policy(),
            on_lost: self.on_lost(referenced),
        }
    }

    fn change_policy(&self) -> ChangePolicy {
        let lifecycle = self.spec.lifecycle.as_ref();
        match self.spec.upgrade_policy.as_ref().map(|policy| policy.kind.as_str()) {
            None | Some("") => ChangePolicy::InPlace,
            Some("Recreate") => ChangePolicy::Recreate {
                before: lifecycle.and_then(|l| command(l.pre_upgrade.as_ref())),
                after: lifecycle.and_then(|l| command(l.post_upgrade.as_ref())),
            },
            Some(other) => ChangePolicy::Unsupported(format!(
                "upgradePolicy {other} needs checkpoints, which are not served here; the pod stays as it is. Use Recreate, or leave the policy out"
            )),
        }
    }

    /// Whether there is a program inside, and something that it was told or has to be.
    fn runtime(&self, referenced: Option<&SandboxTemplate>) -> Runtime {
        let annotations = &self.metadata.annotations;
        let noted = annotations.contains_key(keys::INIT_RUNTIME_REQUEST);
        match runtime::port(annotations, self.spec.block.pod(referenced)) {
            Some(_) if noted => Runtime::Listens,
            _ => Runtime::Silent,
        }
    }

    /// What becomes of it when its pod is lost.
    pub fn on_lost(&self, referenced: Option<&SandboxTemplate>) -> OnLost {
        let template = self.spec.block.pod(referenced).map(|pod| &pod.metadata.annotations);
        let said = [Some(&self.metadata.annotations), template]
            .into_iter()
            .flatten()
            .find_map(|annotations| annotations.get(ON_POD_LOST));
        match said.map(String::as_str) {
            Some("Recreate") => OnLost::Recreate,
            Some("Fail") => OnLost::Fail,
            _ if self.spec.block.volumes(referenced).is_empty() => OnLost::Fail,
            _ => OnLost::Recreate,
        }
    }

    /// What was last reported.
    pub fn reported(&self) -> Reported {
        let status = &self.status;
        let condition = |kind: &str| find(&status.conditions, kind);
        Reported {
            phase: self.phase(),
            message: status.message.clone(),
            revision: (!status.update_revision.is_empty())
                .then(|| Revision::new(&status.update_revision)),
            pause: match condition("SandboxPaused") {
                None => PauseState::None,
                Some(paused) if paused.is_true() => PauseState::Done,
                Some(_) => PauseState::Going,
            },
            resume: match condition("SandboxResumed") {
                None => ResumeState::None,
                Some(resumed) if resumed.is_true() => ResumeState::Done,
                Some(_) => ResumeState::Going,
            },
            update: match condition("InplaceUpdate") {
                None => UpdateState::None,
                Some(update) if update.is_true() => UpdateState::Done,
                Some(update) if update.reason == "Failed" => {
                    UpdateState::Failed(update.message.clone())
                }
                Some(_) => UpdateState::Going,
            },
            upgrade: condition("Upgrading").and_then(upgrade),
            inside: match condition(runtime::CONDITION) {
                None => Inside::None,
                Some(told) if told.is_true() => Inside::Told,
                Some(told) if told.reason == "Failed" => Inside::Failed(told.message.clone()),
                Some(_) => Inside::Pending,
            },
            pod: (!status.pod_info.pod_uid.is_empty()).then(|| Uid::new(&status.pod_info.pod_uid)),
        }
    }
}

/// The step that an Upgrading condition stands for. Steps of other controllers that are none of ours begin with the pod, since what comes before it may be done twice.
fn upgrade(condition: &Condition) -> Option<UpgradeStep> {
    let message = || condition.message.clone();
    Some(match condition.reason.as_str() {
        "PreUpgrade" | "Resuming" | "ResumeSucceed" => UpgradeStep::Before,
        "PreUpgradeFailed" => UpgradeStep::BeforeFailed(message()),
        "UpgradePod" | "Checkpointing" => UpgradeStep::Pod,
        "UpgradePodFailed" => UpgradeStep::PodFailed(message()),
        "PostUpgrade" => UpgradeStep::After,
        "PostUpgradeFailed" => UpgradeStep::AfterFailed(message()),
        "Succeeded" => UpgradeStep::Done,
        "CheckpointFailed" => UpgradeStep::Unsupported(message()),
        _ => return None,
    })
}

fn command(hook: Option<&UpgradeHook>) -> Option<HookCommand> {
    let hook = hook?;
    let command = hook.exec.as_ref()?.command.clone();
    let seconds = hook.timeout_seconds.map_or(HOOK_SECONDS, i64::from).max(1);
    (!command.is_empty())
        .then(|| HookCommand { command, timeout: SignedDuration::from_secs(seconds) })
}

/// How long a sandbox is kept that a timer paused. What can't be read keeps it: deleting what somebody wanted kept is the worse mistake.
fn retention(text: &str) -> Retention {
    duration::parse(text)
        .filter(|duration| duration.is_positive())
        .map_or(Retention::Forever, Retention::For)
}

/// Whether the cluster ended the pod, not its own processes.
fn is_disrupted(pod: &Pod) -> bool {
    find(&pod.status.conditions, "DisruptionTarget").is_some_and(Condition::is_true)
        || matches!(
            pod.status.reason.as_str(),
            "Evicted" | "Preempting" | "NodeLost" | "NodeShutdown" | "Shutdown" | "Terminated"
        )
}
