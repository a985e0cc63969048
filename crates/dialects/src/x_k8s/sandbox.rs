//! Sandbox, between object and engine.

use super::build::{pod, service, volume};
use super::names::{EXTENSIONS, Kind};
use super::types::{OperatingMode, Sandbox, SandboxStatus, ShutdownPolicy, VolumeClaimTemplate};
use super::{keys, revision};
use crate::condition::{Condition, find, merge};
use crate::meta::Meta;
use engine::sandbox::{
    ChildView, Drift, ExpiryPolicy, Finish, Mode, PodState, PodView, Readiness, SandboxView,
    Scheduling, ServiceState, ServiceWish, Setback, Suspension, VolumeView,
};
use engine::{Holder, Lock, Member, NodeName, Revision, Stage, Trouble, Uid, Verdict};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The reason of a sandbox that asks for what can't be made.
const INVALID: &str = "InvalidConfiguration";

impl Sandbox {
    /// Its volumes.
    pub fn volumes(&self) -> &[VolumeClaimTemplate] {
        self.spec.blueprint.volume_claim_templates.as_deref().unwrap_or_default()
    }

    /// Its Ready condition.
    pub fn ready(&self) -> Option<&Condition> {
        find(&self.status.conditions, "Ready")
    }

    /// Its Finished condition, if it is finished.
    pub fn finished(&self) -> Option<&Condition> {
        find(&self.status.conditions, "Finished").filter(|condition| condition.is_true())
    }

    /// Whether its own lifetime ended, as last reported.
    pub fn is_expired(&self) -> bool {
        self.ready().is_some_and(|ready| ready.reason == "SandboxExpired")
    }

    /// Who controls it.
    pub fn holder(&self) -> Holder {
        match self.metadata.controller() {
            None => Holder::Nobody,
            Some(owner) if owner.is(EXTENSIONS, Kind::SandboxWarmPool.as_str()) => {
                Holder::Pool(Uid::new(&owner.uid))
            }
            Some(owner) if owner.is(EXTENSIONS, Kind::SandboxClaim.as_str()) => {
                Holder::Claim(Uid::new(&owner.uid))
            }
            Some(_) => Holder::Other,
        }
    }

    /// As a pool sees it. `trouble` is what its pod says of itself, if the pod is known.
    pub fn member(&self, trouble: Option<Trouble>) -> Member {
        self.member_of(revision::of_sandbox(self), trouble)
    }

    /// The same, with a revision that is known already: it is a hash over the pod spec, and most changes of a sandbox don't touch that.
    pub fn member_of(&self, revision: Revision, trouble: Option<Trouble>) -> Member {
        Member {
            key: self.metadata.key(),
            uid: self.metadata.uid(),
            version: self.metadata.version(),
            created: self.metadata.created(),
            holder: self.holder(),
            revision,
            stage: self.stage(trouble),
            lock: Lock::Free,
            since: self
                .ready()
                .and_then(|ready| ready.last_transition_time)
                .unwrap_or(self.metadata.created()),
            node: (!self.status.node_name.is_empty())
                .then(|| NodeName::new(&self.status.node_name)),
        }
    }

    fn stage(&self, trouble: Option<Trouble>) -> Stage {
        if self.metadata.is_leaving() {
            return Stage::Leaving;
        }
        if let Some(finished) = self.finished() {
            return Stage::Failed { message: finished.message.clone() };
        }
        match self.ready() {
            Some(ready) if ready.is_true() => Stage::Available,
            Some(ready)
                if matches!(
                    ready.reason.as_str(),
                    "PodFailed" | "PodSucceeded" | "SandboxExpired"
                ) =>
            {
                Stage::Failed { message: ready.message.clone() }
            }
            Some(ready) if ready.reason == INVALID => {
                let kind = engine::TroubleKind::ConfigError;
                Stage::Creating(Some(Trouble { kind, message: ready.message.clone() }))
            }
            _ => Stage::Creating(trouble.or_else(|| self.scheduling_trouble())),
        }
    }

    /// What the mirrored condition says, for when the pod itself is not known.
    fn scheduling_trouble(&self) -> Option<Trouble> {
        let scheduled = find(&self.status.conditions, "PodScheduled")
            .filter(|condition| condition.status == "False")?;
        let kind = match scheduled.reason.as_str() {
            "Unschedulable" => engine::TroubleKind::Unschedulable,
            "SchedulingGated" => engine::TroubleKind::SchedulingGated,
            _ => return None,
        };
        Some(Trouble { kind, message: scheduled.message.clone() })
    }

    /// As the planner of sandboxes sees it. `volumes` looks up what exists under the name of a volume claim.
    pub fn view(
        &self,
        pods: Vec<PodView>,
        service: Option<ChildView>,
        volumes: impl Fn(&str) -> Option<ChildView>,
        error: Option<Setback>,
    ) -> SandboxView {
        let key = self.metadata.key();
        let volumes = self.volumes().iter().map(|template| {
            let name = volume::name(&template.metadata.name, &key.name);
            VolumeView { found: volumes(&name), key: key.sibling(name) }
        });
        SandboxView {
            volumes: volumes.collect(),
            precondition: self.metadata.precondition(),
            leaving: self.metadata.is_leaving(),
            mode: match self.spec.operating_mode.unwrap_or_default() {
                OperatingMode::Running => Mode::Running,
                OperatingMode::Suspended => Mode::Suspended,
            },
            shutdown_at: self.spec.shutdown_time,
            expiry: match self.spec.shutdown_policy.unwrap_or_default() {
                ShutdownPolicy::Retain => ExpiryPolicy::Retain,
                ShutdownPolicy::Delete | ShutdownPolicy::DeleteForeground => ExpiryPolicy::Delete,
            },
            expiry_announced: self.is_expired(),
            service_wish: match self.spec.blueprint.service {
                None => ServiceWish::Unsaid,
                Some(true) => ServiceWish::Wanted,
                Some(false) => ServiceWish::Unwanted,
            },
            pods,
            service,
            error,
            key,
        }
    }

    /// A pod of this sandbox as the engine sees it.
    pub fn pod_view(&self, pod: &crate::pod::Pod) -> PodView {
        pod::view(self, pod)
    }

    /// A service of this sandbox's name as the engine sees it.
    pub fn service_view(&self, meta: &Meta, spec: &Value) -> ChildView {
        service::view(self, meta, spec)
    }

    /// A volume claim as the engine sees it. It is never updated, so it never drifts.
    pub fn volume_view(&self, meta: &Meta) -> ChildView {
        ChildView {
            precondition: meta.precondition(),
            ownership: pod::ownership(self, meta),
            leaving: meta.is_leaving(),
            drift: Drift::None,
        }
    }

    /// The status that says what the engine decided.
    pub fn next_status(
        &self,
        decided: &engine::sandbox::SandboxStatus,
        cluster_domain: &str,
        now: Timestamp,
    ) -> SandboxStatus {
        let generation = self.metadata.generation;
        let mut wanted = vec![ready(&decided.readiness, generation)];
        if decided.readiness == Readiness::Expired {
            // Its pod is gone or going; what was said about suspension still holds.
            wanted.extend(find(&self.status.conditions, "Suspended").cloned());
        } else {
            wanted.push(suspended(decided.suspension, generation));
            wanted.extend(
                decided.scheduling.as_ref().map(|scheduling| scheduled(scheduling, generation)),
            );
        }
        match decided.finish {
            Finish::No => {}
            Finish::Succeeded => {
                wanted.push(finished("PodSucceeded", "Pod completed successfully", generation))
            }
            Finish::Failed => wanted.push(finished("PodFailed", "Pod failed", generation)),
            Finish::Keep => wanted.extend(find(&self.status.conditions, "Finished").cloned()),
        }
        let conditions = merge(&self.status.conditions, wanted, now);
        if decided.readiness == Readiness::Expired {
            return SandboxStatus { conditions, ..SandboxStatus::default() };
        }
        let name = &self.metadata.name;
        let selector = if decided.pod.is_some() {
            format!("{}={}", keys::NAME_HASH, keys::hash(name))
        } else {
            self.status.selector.clone()
        };
        let (service, service_fqdn) = if decided.has_service {
            (name.clone(), format!("{name}.{}.svc.{cluster_domain}", self.metadata.namespace))
        } else {
            (String::new(), String::new())
        };
        SandboxStatus {
            service_fqdn,
            service,
            conditions,
            selector,
            pod_ips: decided.ips.clone(),
            node_name: decided.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// The merge patch on the status subresource from one status to another; `None` if they say the same. What is absent in the new one is removed.
pub fn status_patch(has: &SandboxStatus, wanted: &SandboxStatus) -> Option<Value> {
    (has != wanted).then(|| {
        let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        json!({"status": {
            "serviceFQDN": or_null(&wanted.service_fqdn),
            "service": or_null(&wanted.service),
            "conditions": wanted.conditions,
            "selector": or_null(&wanted.selector),
            "podIPs": if wanted.pod_ips.is_empty() { Value::Null } else { json!(wanted.pod_ips) },
            "nodeName": or_null(&wanted.node_name),
        }})
    })
}

fn ready(readiness: &Readiness, generation: i64) -> Condition {
    let (holds, reason, message) = match readiness {
        Readiness::Ready(service) => {
            (true, "DependenciesReady", with_service("Pod is Ready".to_owned(), *service))
        }
        Readiness::NotYet(pod, service) => {
            let pod = match pod {
                PodState::Missing => "Pod does not exist".to_owned(),
                PodState::Phase(phase) => format!("Pod exists with phase: {}", phase.as_str()),
                PodState::NotReady => "Pod is Running but not Ready".to_owned(),
                PodState::NoAddress => "Pod is Ready but has no podIPs yet".to_owned(),
                PodState::Ready => "Pod is Ready".to_owned(),
            };
            (false, "DependenciesNotReady", with_service(pod, *service))
        }
        Readiness::Suspending => (false, "SandboxSuspended", "Sandbox is suspending".to_owned()),
        Readiness::Suspended => (false, "SandboxSuspended", "Sandbox is suspended".to_owned()),
        Readiness::Succeeded => (false, "PodSucceeded", "Pod completed successfully".to_owned()),
        Readiness::Failed => (false, "PodFailed", "Pod failed".to_owned()),
        Readiness::Expired => (false, "SandboxExpired", "Sandbox has expired".to_owned()),
        Readiness::MultiplePods(count) => (
            false,
            "MultiplePods",
            format!(
                "multiple Pods ({count}) are controlled by this Sandbox; refusing to choose or create a Pod"
            ),
        ),
        Readiness::Error(error) => (false, "ReconcilerError", format!("Error seen: {error}")),
        Readiness::Invalid(error) => {
            (false, INVALID, format!("{error}. It is tried again when the spec is edited"))
        }
    };
    Condition::new("Ready", Verdict::of(holds), reason, message, generation)
}

fn with_service(pod: String, service: ServiceState) -> String {
    match service {
        ServiceState::NotNeeded => pod,
        ServiceState::Exists => format!("{pod}; Service Exists"),
        ServiceState::Missing => format!("{pod}; Service does not exist"),
    }
}

fn suspended(suspension: Suspension, generation: i64) -> Condition {
    let (verdict, reason, message) = match suspension {
        Suspension::NotAsked => (Verdict::False, "NotSuspended", "Sandbox is not suspended"),
        Suspension::Done => {
            (Verdict::True, "PodTerminated", "Pod has been terminated. Sandbox is suspended")
        }
        Suspension::Terminating => {
            (Verdict::False, "PodTerminating", "Pod is terminating. Sandbox is suspending")
        }
        Suspension::NotOurs => (
            Verdict::False,
            "PodNotOwned",
            "Refused to delete pod because it is not owned by this sandbox",
        ),
    };
    Condition::new("Suspended", verdict, reason, message, generation)
}

fn scheduled(scheduling: &Scheduling, generation: i64) -> Condition {
    match scheduling {
        Scheduling::Reported(reported) => {
            let reason = match (reported.reason.as_str(), reported.status) {
                ("", Verdict::True) => "PodScheduled",
                ("", _) => "PodSchedulingUnknown",
                (reason, _) => reason,
            };
            Condition::new(
                "PodScheduled",
                reported.status,
                reason,
                reported.message.clone(),
                generation,
            )
        }
        Scheduling::Unreported => Condition::new(
            "PodScheduled",
            Verdict::Unknown,
            "PodSchedulingUnknown",
            "Pod has not reported a PodScheduled condition yet",
            generation,
        ),
    }
}

fn finished(reason: &str, message: &str, generation: i64) -> Condition {
    Condition::new("Finished", Verdict::True, reason, message, generation)
}
