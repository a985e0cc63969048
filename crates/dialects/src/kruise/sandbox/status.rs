//! The status of a Sandbox: what was decided, in the words of the family.

use super::ON_POD_LOST;
use crate::condition::{Condition, find, merge};
use crate::kruise::runtime;
use crate::kruise::types::{PauseType, PodInfo, Sandbox, SandboxStatus};
use crate::pod::{Pod, trouble_kind};
use engine::Verdict;
use engine::lifecycle::{
    Inside, LifeReady, LifeStatus, OnLost, PauseState, PodTrouble, ResumeState, UpdateState,
    UpgradeStep,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The types of conditions that are written here. Others stay as they are.
const OURS: [&str; 7] = [
    "Ready",
    "SandboxPaused",
    "SandboxResumed",
    "InplaceUpdate",
    "Upgrading",
    "FieldsServed",
    runtime::CONDITION,
];

/// How much of a message is kept: enough for every refusal of a server, and not a page of a program's output.
const MESSAGE: usize = 1024;

impl Sandbox {
    /// The status that says what was decided.
    pub fn next_status(
        &self,
        decided: &LifeStatus,
        pod: Option<&Pod>,
        now: Timestamp,
    ) -> SandboxStatus {
        let old = &self.status.conditions;
        let mut wanted = vec![steady(old, ready(&decided.ready))];
        wanted.extend(self.paused(decided.pause));
        wanted.extend(resumed(decided.resume));
        wanted.extend(updated(&decided.update));
        wanted.extend(decided.upgrade.as_ref().map(upgrading));
        wanted.extend(self.unserved());
        wanted.extend(self.told(&decided.inside));
        wanted.extend(
            old.iter().filter(|condition| !OURS.contains(&condition.kind.as_str())).cloned(),
        );
        let text = |text: Option<String>| text.unwrap_or_default();
        let facts = decided.pod.as_ref();
        let node_name = text(facts.and_then(|f| f.node.as_ref()).map(ToString::to_string));
        let ip = text(facts.and_then(|f| f.ip.clone()));
        let pod = pod.filter(|pod| facts.is_some_and(|f| f.uid == pod.metadata.uid()));
        let conditions = merge(old, wanted, now);
        // What keeps it from starting stands in the column that everybody looks at.
        let message = match (&decided.ready, find(&conditions, "Ready")) {
            (
                LifeReady::Trouble(_)
                | LifeReady::NotStarting(_)
                | LifeReady::NoPod(_)
                | LifeReady::NameTaken(_),
                Some(ready),
            ) if decided.message.is_empty() => ready.message.clone(),
            _ => decided.message.clone(),
        };
        SandboxStatus {
            observed_generation: Some(self.metadata.generation),
            phase: decided.phase.as_str().to_owned(),
            message,
            conditions,
            pod_info: PodInfo {
                annotations: pod.map(|p| p.metadata.annotations.clone()).unwrap_or_default(),
                labels: pod.map(|p| p.metadata.labels.clone()).unwrap_or_default(),
                node_name: node_name.clone(),
                pod_ip: ip.clone(),
                pod_uid: text(facts.map(|f| f.uid.to_string())),
            },
            node_name,
            sandbox_ip: ip,
            update_revision: decided.revision.to_string(),
        }
    }

    /// The merge patch from the reported status to this one; nothing if that would tell nobody anything. What is absent in the new one is removed.
    pub fn status_patch(&self, wanted: &SandboxStatus) -> Option<Value> {
        let has = &self.status;
        // A copy of the pod's labels is refreshed with the rest.
        let same = SandboxStatus {
            pod_info: PodInfo {
                annotations: has.pod_info.annotations.clone(),
                labels: has.pod_info.labels.clone(),
                ..wanted.pod_info.clone()
            },
            ..wanted.clone()
        };
        (same != *has).then(|| json!({"status": patch(has, wanted)}))
    }

    /// What the program inside was told. It is told by others first, and what they say stands until something new is to be said.
    fn told(&self, inside: &Inside) -> Option<Condition> {
        if *inside == self.reported().inside {
            return find(&self.status.conditions, runtime::CONDITION).cloned();
        }
        let (holds, reason, message) = match inside {
            Inside::None => return None,
            Inside::Pending => (false, "Pending", "the program inside is another one"),
            Inside::Told => (true, "Succeeded", ""),
            Inside::Failed(why) => (false, "Failed", why.as_str()),
        };
        Some(condition(runtime::CONDITION, holds, reason, message))
    }

    fn paused(&self, pause: PauseState) -> Option<Condition> {
        let lost: Vec<&str> = self
            .spec
            .block
            .persistent_contents
            .iter()
            .map(String::as_str)
            .filter(|content| !content.is_empty())
            .collect();
        let mut message = "the pod is gone, volumes stay".to_owned();
        if !lost.is_empty() {
            message.push_str(&format!(
                "; of persistentContents ({}) only what is on volumes survives",
                lost.join(", ")
            ));
        }
        match pause {
            PauseState::None => None,
            PauseState::Going => {
                Some(condition("SandboxPaused", false, "Pending", "the pod is being removed"))
            }
            PauseState::Done => Some(condition("SandboxPaused", true, "StopPauseSucceed", message)),
        }
    }

    /// What it asks for and does not get: accepted, since other programs of the family write it, and never silently.
    fn unserved(&self) -> Option<Condition> {
        let block = &self.spec.block;
        let mut parts = Vec::new();
        if !block.runtimes.is_empty() {
            let names: Vec<&str> = block.runtimes.iter().map(|r| r.name.as_str()).collect();
            parts.push(format!("runtimes: nothing is put into the pod for {}", names.join(", ")));
        }
        if block.pause_strategy.as_ref().is_some_and(|pause| pause.kind == PauseType::Hibernate) {
            parts.push("pauseStrategy: Hibernate is done as Stop".to_owned());
        }
        (!parts.is_empty()).then(|| condition("FieldsServed", false, "NotServed", parts.join("; ")))
    }
}

fn condition(kind: &str, holds: bool, reason: &str, message: impl Into<String>) -> Condition {
    let mut message: String = message.into();
    if let Some((end, _)) = message.char_indices().nth(MESSAGE) {
        message.truncate(end);
    }
    // No generation: a claim changes that without changing what any of these say.
    let observed_generation = None;
    Condition {
        observed_generation,
        ..Condition::new(kind, Verdict::of(holds), reason, message, 0)
    }
}

/// A pod in trouble says so in turns: the image can't be pulled, the next try is being waited for. To the sandbox that is one trouble, told once.
fn steady(old: &[Condition], new: Condition) -> Condition {
    let kind = |condition: &Condition| {
        if condition.is_true() { None } else { trouble_kind(&condition.reason) }
    };
    match find(old, "Ready") {
        Some(before) if kind(before).is_some() && kind(before) == kind(&new) => before.clone(),
        _ => new,
    }
}

fn ready(ready: &LifeReady) -> Condition {
    let told = |trouble: &PodTrouble| trouble.trouble.message.clone();
    let (holds, reason, message) = match ready {
        LifeReady::Yes => (true, "PodReady", "the pod is ready".to_owned()),
        LifeReady::PodNotReady => (false, "PodReady", "the pod runs and is not ready".to_owned()),
        LifeReady::Starting => (false, "PodReady", "the pod is being started".to_owned()),
        LifeReady::Trouble(trouble) => (false, trouble.word.as_str(), told(trouble)),
        LifeReady::NotStarting(trouble) => (false, "StartContainerFailed", told(trouble)),
        LifeReady::NoPod(why) => (false, "PodCreateFailed", format!("Failed to create pod: {why}")),
        LifeReady::NameTaken(why) => (false, "PodCreateFailed", why.clone()),
        LifeReady::Lost(OnLost::Fail) => (
            false,
            "PodLost",
            format!(
                "the pod is gone, and what was in it. The annotation {ON_POD_LOST}=Recreate, or a volume claim template, lets a sandbox come back"
            ),
        ),
        LifeReady::Lost(OnLost::Recreate) => (
            false,
            "PodLost",
            format!(
                "the pod is gone; another one is made on the same volumes ({ON_POD_LOST}=Recreate)"
            ),
        ),
        LifeReady::Updating => (false, "InplaceUpdating", "the pod is being changed".to_owned()),
        LifeReady::Upgrading => (false, "Upgrading", "the pod is being replaced".to_owned()),
        LifeReady::Paused => (false, "PodReady", "the sandbox is paused".to_owned()),
        LifeReady::Ended => (false, "PodReady", "the pod has ended".to_owned()),
        LifeReady::Leaving => (false, "PodReady", "the sandbox is being deleted".to_owned()),
    };
    condition("Ready", holds, reason, message)
}

fn resumed(resume: ResumeState) -> Option<Condition> {
    match resume {
        ResumeState::None => None,
        ResumeState::Going => {
            Some(condition("SandboxResumed", false, "CreatePod", "the pod is being made"))
        }
        ResumeState::Done => {
            Some(condition("SandboxResumed", true, "ResumePod", "the pod runs again"))
        }
    }
}

fn updated(update: &UpdateState) -> Option<Condition> {
    match update {
        UpdateState::None => None,
        UpdateState::Going => Some(condition(
            "InplaceUpdate",
            false,
            "InplaceUpdating",
            "the containers are being changed",
        )),
        UpdateState::Done => {
            Some(condition("InplaceUpdate", true, "Succeeded", "the containers were changed"))
        }
        UpdateState::Failed(why) => Some(condition("InplaceUpdate", false, "Failed", why.clone())),
    }
}

fn upgrading(step: &UpgradeStep) -> Condition {
    let (holds, reason, message) = match step {
        UpgradeStep::Before => (false, "PreUpgrade", "the hook in the old pod runs"),
        UpgradeStep::BeforeFailed(why) => (false, "PreUpgradeFailed", why.as_str()),
        UpgradeStep::Pod => (false, "UpgradePod", "the pod is being replaced"),
        UpgradeStep::PodFailed(why) => (false, "UpgradePodFailed", why.as_str()),
        UpgradeStep::After => (false, "PostUpgrade", "the hook in the new pod runs"),
        UpgradeStep::AfterFailed(why) => (false, "PostUpgradeFailed", why.as_str()),
        UpgradeStep::Done => (true, "Succeeded", "the pod was replaced"),
        UpgradeStep::Unsupported(why) => (false, "CheckpointFailed", why.as_str()),
    };
    condition("Upgrading", holds, reason, message)
}

/// Every member of the new status, and null for what it does not have any more. Maps are merged, so their old keys have to be taken out one by one.
fn patch(has: &SandboxStatus, wanted: &SandboxStatus) -> Value {
    let (old, mut new) = (json!(has), json!(wanted));
    without(&old, &mut new);
    new
}

fn without(old: &Value, new: &mut Value) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return };
    for (key, before) in old {
        match new.get_mut(key) {
            Some(after) => without(before, after),
            None => {
                new.insert(key.clone(), Value::Null);
            }
        }
    }
}
