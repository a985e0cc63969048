//! Pods, as far as sandboxes depend on them.

use crate::condition::{Condition, find};
use crate::meta::{Meta, null_is_default};
use engine::sandbox::{PodPhase, Scheduled};
use engine::{NodeName, Trouble, TroubleKind, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A pod, slim: a few hundred bytes of the five thousand that a real one has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its metadata.
    pub metadata: Meta,
    /// Where it runs.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: PodSpec,
    /// How it is.
    #[serde(deserialize_with = "null_is_default")]
    pub status: PodStatus,
}

/// The part of a pod's spec that we look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Its node, once scheduled.
    pub node_name: String,
    /// Its containers.
    #[serde(deserialize_with = "null_is_default")]
    pub containers: Vec<Container>,
}

/// A container, as far as it can change while its pod runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// What it may use.
    pub resources: Value,
}

/// The part of a pod's status that we look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Its phase.
    pub phase: String,
    /// Why it failed, in a word, if the node says.
    pub reason: String,
    /// Why it failed, if the node says.
    pub message: String,
    /// Its conditions.
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    /// Its addresses.
    #[serde(rename = "podIPs", deserialize_with = "null_is_default")]
    pub pod_ips: Vec<PodIp>,
    /// Its only address, from servers that don't fill `podIPs`.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// Its containers.
    #[serde(deserialize_with = "null_is_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// Its init containers.
    #[serde(deserialize_with = "null_is_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// The state of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Which content its image has.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// Which life of it this is.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// What the node gave it, if the node says.
    pub resources: Value,
    /// What it does now.
    pub state: ContainerState,
}

/// What a container does now; that it ended does not matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Set while it does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Set while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// That a container runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {}

/// Why a container waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// A word such as `ImagePullBackOff`.
    pub reason: String,
    /// What happened.
    pub message: String,
}

impl Pod {
    /// Its phase.
    pub fn phase(&self) -> PodPhase {
        match self.status.phase.as_str() {
            "Running" => PodPhase::Running,
            "Succeeded" => PodPhase::Succeeded,
            "Failed" => PodPhase::Failed,
            "" | "Pending" => PodPhase::Pending,
            _ => PodPhase::Unknown,
        }
    }

    /// Whether it reports ready.
    pub fn is_ready(&self) -> bool {
        find(&self.status.conditions, "Ready").is_some_and(Condition::is_true)
    }

    /// Its addresses.
    pub fn ips(&self) -> Vec<String> {
        if self.status.pod_ips.is_empty() && !self.status.pod_ip.is_empty() {
            return vec![self.status.pod_ip.clone()];
        }
        self.status.pod_ips.iter().map(|entry| entry.ip.clone()).collect()
    }

    /// Its node.
    pub fn node(&self) -> Option<NodeName> {
        (!self.spec.node_name.is_empty()).then(|| NodeName::new(&self.spec.node_name))
    }

    /// What it says about being scheduled.
    pub fn scheduled(&self) -> Option<Scheduled> {
        let condition = find(&self.status.conditions, "PodScheduled")?;
        Some(Scheduled {
            status: match condition.status.as_str() {
                "True" => Verdict::True,
                "False" => Verdict::False,
                _ => Verdict::Unknown,
            },
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        })
    }

    /// Why it does not get on, if it says so. Of several troubles the first of a container, since a pod with a broken image has a place.
    pub fn trouble(&self) -> Option<Trouble> {
        self.told_trouble().map(|(_, trouble)| trouble)
    }

    /// The same, with the word that the pod itself uses for it.
    pub fn told_trouble(&self) -> Option<(&str, Trouble)> {
        let containers =
            self.status.init_container_statuses.iter().chain(&self.status.container_statuses);
        let stuck = containers.filter_map(|container| {
            let waiting = container.state.waiting.as_ref()?;
            let kind = container_trouble(&waiting.reason)?;
            let message =
                if waiting.message.is_empty() { &waiting.reason } else { &waiting.message };
            let message = format!("container {}: {message}", container.name);
            Some((waiting.reason.as_str(), Trouble { kind, message }))
        });
        stuck.min_by(|(_, left), (_, right)| left.cmp(right)).or_else(|| {
            let scheduled = find(&self.status.conditions, "PodScheduled")
                .filter(|scheduled| scheduled.status == "False")?;
            let kind = scheduling_trouble(&scheduled.reason)?;
            Some((&scheduled.reason, Trouble { kind, message: scheduled.message.clone() }))
        })
    }
}

/// The kind of trouble that a word of a pod stands for.
pub fn trouble_kind(word: &str) -> Option<TroubleKind> {
    container_trouble(word).or_else(|| scheduling_trouble(word))
}

fn container_trouble(word: &str) -> Option<TroubleKind> {
    Some(match word {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable" => TroubleKind::ImagePull,
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            TroubleKind::ConfigError
        }
        "CrashLoopBackOff" => TroubleKind::CrashLoop,
        _ => return None,
    })
}

fn scheduling_trouble(word: &str) -> Option<TroubleKind> {
    match word {
        "SchedulingGated" => Some(TroubleKind::SchedulingGated),
        "Unschedulable" => Some(TroubleKind::Unschedulable),
        _ => None,
    }
}
