//! Other resources for a pod that runs: whether there is room, and then the kernel's limits.
//!
//! ```text
//!   wanted (the object) ──room?──> allocated (this node) ──runtime──> applied (the container)
//!          └─ PodResizePending            └─ PodResizeInProgress
//! ```

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use serde_json::json;

use super::{Base, Life, Message, named};
use crate::{
    agent::{
        pod::{record::Record, set_up::limits, slot::Slot},
        recorder::Severity,
        room::Answer,
    },
    backoff::Backoff,
    runtime::{ContainerResize, Limits, PodId, Resize, Runtime, RuntimeError},
    schedule::{self, Request},
};

/// Where a resize stands.
#[derive(Debug, Default)]
pub(super) struct Resizing {
    /// Why what is wanted is not granted: reason and message.
    pending: Option<(&'static str, String)>,
    stage: Stage,
    /// Why the last attempt did not work, and when to try again.
    failed: Option<(String, Timestamp)>,
    backoff: Backoff,
    /// Limits of the pod as a whole that are in force.
    pub(super) pod: Option<Limits>,
}

/// What became of an attempt to put limits in force.
#[derive(Debug)]
pub(crate) struct Resized {
    /// Limits of the pod as a whole.
    pod: Limits,
    /// What runs of containers have now, if it worked: by name, the number of the run and its resources.
    applied: BTreeMap<String, (u32, ResourceRequirements)>,
    answer: Result<(), RuntimeError>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Everything granted is in force.
    #[default]
    Settled,
    /// Something was granted that is not in force everywhere.
    Granted,
    /// The runtime is being asked.
    Asked,
}

impl Resizing {
    /// Whether an answer is about to come.
    pub(super) fn is_under_way(&self) -> bool {
        self.stage != Stage::Settled && self.failed.is_none()
    }

    /// Something new is to be put in force.
    fn began(&mut self) {
        self.stage = Stage::Granted;
        self.failed = None;
        self.backoff.reset();
    }

    /// The conditions of a pod whose resize is not done: type, reason, message.
    pub(super) fn conditions(&self) -> Vec<(&'static str, &str, &str)> {
        let pending = self.pending.as_ref();
        let pending = pending.map(|(reason, why)| ("PodResizePending", *reason, why.as_str()));
        let (reason, why) = self.failed.as_ref().map_or(("", ""), |(why, _)| ("Error", why));
        let applying =
            (self.stage != Stage::Settled).then_some(("PodResizeInProgress", reason, why));
        pending.into_iter().chain(applying).collect()
    }
}

impl<R: Runtime> Life<R> {
    /// Asks for room for what the object wants, and has what is granted put in force. Answers when to look again.
    pub(super) fn follow_resources(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.ask_for_room();
        self.put_in_force(now)
    }

    fn ask_for_room(&mut self) {
        let Some(spec) = &self.pod.spec else { return };
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        let wanted: BTreeMap<String, ResourceRequirements> =
            all.map(|c| (c.name.clone(), c.resources.clone().unwrap_or_default())).collect();
        let is_granted =
            |slot: &Slot| wanted.get(&slot.name).is_none_or(|wanted| *wanted == slot.allocated);
        if self.slots.iter().all(is_granted) && self.resizing.pending.is_none() {
            return;
        }
        let (reason, event, why) = match self.context.room.resize(&self.uid, Request::of_pod(spec))
        {
            Answer::Granted => {
                self.resizing.pending = None;
                if self.slots.iter().all(is_granted) {
                    // It was taken back while it waited.
                    return;
                }
                for slot in &mut self.slots {
                    if let Some(wanted) = wanted.get(&slot.name) {
                        slot.allocated = wanted.clone();
                    }
                }
                self.resizing.began();
                self.tell_resize(Severity::Normal, "ResizeStarted", "started", None);
                return;
            }
            Answer::Later(why) => ("Deferred", "ResizeDeferred", why),
            Answer::Never(why) => ("Infeasible", "ResizeInfeasible", why),
        };
        if self.resizing.pending.as_ref().is_none_or(|known| *known != (reason, why.clone())) {
            self.tell_resize(Severity::Warning, event, reason, Some(&why));
            self.resizing.pending = Some((reason, why));
        }
    }

    fn put_in_force(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.base != Base::There || self.resizing.stage == Stage::Asked {
            return None;
        }
        if let Some((_, retry_at)) = self.resizing.failed.as_ref().filter(|(_, at)| *at > now) {
            return Some(*retry_at);
        }
        let granted = self.granted();
        let spec = granted.spec.as_ref()?;
        let mut restart = Vec::new();
        let mut containers = BTreeMap::new();
        let mut applied = BTreeMap::new();
        for slot in self.slots.iter().filter(|slot| slot.is_running() && !slot.replacing) {
            let (Some(has), Some(container)) = (&slot.applied, named(&granted, &slot.name)) else {
                continue;
            };
            if *has == slot.allocated {
                continue;
            }
            if needs_restart(container, has) {
                restart.push(slot.name.clone());
                continue;
            }
            let record = Record {
                image: slot.image.clone().unwrap_or_default(),
                image_id: slot.image_id.clone().unwrap_or_default(),
                resources: slot.allocated.clone(),
            };
            let resize = ContainerResize {
                limits: schedule::limits(container),
                annotations: record.annotations(),
            };
            containers.insert(slot.name.clone(), resize);
            applied.insert(slot.name.clone(), (slot.attempt, slot.allocated.clone()));
        }
        let wanted = limits(spec);
        let in_force = self.resizing.pod.unwrap_or(wanted);
        // A container that is yet to be ended may have more than the pod will.
        let leaving = self.slots.iter().any(|slot| slot.replacing) || !restart.is_empty();
        let pod = if leaving { in_force.roomier(&wanted) } else { wanted };
        if containers.is_empty() && pod == in_force {
            for name in &restart {
                self.replace(name, &format!("Container {name} resize requires restart"));
            }
            if self.resizing.stage != Stage::Settled && !leaving {
                self.resizing.stage = Stage::Settled;
                self.tell_resize(Severity::Normal, "ResizeCompleted", "completed", None);
            }
            return None;
        }
        self.resizing.stage = Stage::Asked;
        let resize = Resize { limits: pod, containers };
        let (context, me, id) = (self.context.clone(), self.me.clone(), PodId(self.uid.clone()));
        tokio::spawn(async move {
            let answer = context.runtime.resize(&id, resize).await;
            // Only a pod that is gone does not want the answer.
            let _ = me.send(Message::Resized(Box::new(Resized { pod, applied, answer })));
        });
        None
    }

    pub(super) fn handle_resized(&mut self, resized: Resized) {
        let Resized { pod, applied, answer } = resized;
        match answer {
            Ok(()) => {
                self.resizing.pod = Some(pod);
                self.resizing.began();
                for slot in &mut self.slots {
                    let same = applied.get(&slot.name).filter(|(run, _)| *run == slot.attempt);
                    if let Some((_, resources)) = same {
                        slot.applied = Some(resources.clone());
                    }
                }
            }
            Err(error) => {
                let message = error.to_string();
                if self.resizing.failed.as_ref().is_none_or(|(known, _)| *known != message) {
                    self.tell_resize(Severity::Warning, "ResizeError", "error", Some(&message));
                }
                let retry_at = self.resizing.backoff.failed(Timestamp::now(), Duration::ZERO);
                self.resizing.stage = Stage::Granted;
                self.resizing.failed = Some((message, retry_at));
                // The runtime makes room first, so that much may have been done.
                self.resizing.pod = self.resizing.pod.map(|in_force| in_force.roomier(&pod));
            }
        }
    }

    /// An event in the words of Kubernetes: what happens, and the resources it is about.
    fn tell_resize(
        &self,
        severity: Severity,
        reason: &'static str,
        what: &str,
        error: Option<&str>,
    ) {
        let Some(spec) = &self.pod.spec else { return };
        let shown = |containers: &[Container]| -> serde_json::Value {
            let each = containers.iter().map(|container| {
                let resources = container.resources.clone().unwrap_or_default();
                json!({ "name": container.name, "resources": resources })
            });
            each.collect()
        };
        let mut summary = serde_json::Map::new();
        if let Some(init) = spec.init_containers.as_deref().filter(|list| !list.is_empty()) {
            summary.insert("initContainers".into(), shown(init));
        }
        summary.insert("containers".into(), shown(&spec.containers));
        summary.insert("generation".into(), json!(self.pod.metadata.generation.unwrap_or(0)));
        if let Some(error) = error {
            summary.insert("error".into(), error.into());
        }
        let summary = serde_json::Value::Object(summary);
        self.note(None, severity, reason, &format!("Pod resize {what}: {summary}"));
    }
}

/// Whether the container says that a change of what differs takes a restart.
fn needs_restart(container: &Container, applied: &ResourceRequirements) -> bool {
    let before = Container { resources: Some(applied.clone()), ..Container::default() };
    let (old, new) = (schedule::limits(&before), schedule::limits(container));
    let cpu = (old.cpu_millis, old.cpu_request_millis) != (new.cpu_millis, new.cpu_request_millis);
    let memory = old.memory_bytes != new.memory_bytes
        || Request::of_container(&before).memory_bytes
            != Request::of_container(container).memory_bytes;
    container.resize_policy.iter().flatten().any(|policy| {
        let changed = match policy.resource_name.as_str() {
            "cpu" => cpu,
            "memory" => memory,
            _ => false,
        };
        changed && policy.restart_policy == "RestartContainer"
    })
}
