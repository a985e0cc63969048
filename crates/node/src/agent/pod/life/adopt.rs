//! What a new agent finds: the status that an earlier one wrote, and the containers that the runtime still holds.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ContainerState;

use super::{Base, Life};
use crate::{
    agent::pod::{
        record::Record,
        slot::{Ended, Role, State},
    },
    runtime::{PodState, Runtime},
};

/// The reason of an end that nobody saw.
const UNKNOWN: &str = "ContainerStatusUnknown";

/// The end that a status tells of, if it tells of one.
fn end_in(state: Option<&ContainerState>) -> Option<Ended> {
    let end = state?.terminated.clone()?;
    Some(Ended {
        exit_code: end.exit_code,
        signal: end.signal,
        reason: end.reason.unwrap_or_default(),
        message: end.message,
        started_at: end.started_at.map(|t| t.0),
        finished_at: end.finished_at.map_or_else(Timestamp::now, |t| t.0),
        container_id: end.container_id,
    })
}

impl<R: Runtime> Life<R> {
    /// Takes over what an earlier process wrote into the status.
    pub(super) fn remember(&mut self) {
        let statuses = self.written.init_container_statuses.iter().flatten();
        let statuses = statuses.chain(self.written.container_statuses.iter().flatten());
        for status in statuses {
            let Some(slot) = self.slots.iter_mut().find(|s| s.name == status.name) else {
                continue;
            };
            slot.restarts = u32::try_from(status.restart_count).unwrap_or(0);
            slot.image_id = Some(status.image_id.clone()).filter(|id| !id.is_empty());
            if slot.image_id.is_some() {
                slot.image = Some(status.image.clone());
            }
            if let Some(resources) = &status.resources {
                slot.allocated = resources.clone();
            }
            slot.last = end_in(status.last_state.as_ref());
            let waits = status.state.as_ref().is_some_and(|s| s.waiting.is_some());
            if waits && slot.last.is_some() {
                slot.restarts += 1;
            }
            slot.attempt = slot.restarts;
            slot.crashed = slot.restarts > 0;
            if let Some(ended) = end_in(status.state.as_ref()) {
                slot.state = State::Ended(ended);
            } else if status.state.as_ref().is_some_and(|s| s.running.is_some()) {
                // Until the runtime says that it still runs, it does not.
                let ended = self.unknown_end(status.container_id.clone());
                let policy = self.policy;
                if let Some(slot) = self.slots.iter_mut().find(|s| s.name == status.name) {
                    slot.state =
                        State::Running { started_at: ended.started_at.unwrap_or_default() };
                    slot.ended(ended, policy, Timestamp::now());
                    slot.retry_at = None;
                }
            }
        }
    }

    /// Takes over what the runtime holds. Nothing is restarted that runs.
    pub(super) fn adopt(&mut self, held: &PodState) {
        self.base = Base::There;
        self.ips = held.ips.clone();
        self.board.set_ips(&self.ips);
        self.resizing.pod = Some(held.setup.limits);
        let now = Timestamp::now();
        let names: Vec<String> = self.slots.iter().map(|s| s.name.clone()).collect();
        for name in names {
            let Some(container) = held.containers.get(&name) else { continue };
            let (uid, policy) = (self.uid.clone(), self.policy);
            let Some(spec) = self.container(&name).cloned() else { continue };
            let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { continue };
            let status = self.written.container_statuses.iter().flatten();
            let status = status.chain(self.written.init_container_statuses.iter().flatten());
            let before = status.into_iter().find(|s| s.name == name);
            // Not the status's count: that may be one late, and an end that it has told of is noted once more below.
            slot.restarts = container.setup.attempt;
            // It was found, so nothing about it is unknown.
            if slot.last.as_ref().is_some_and(|last| last.reason == UNKNOWN) {
                slot.last = end_in(before.and_then(|s| s.last_state.as_ref()));
            }
            slot.crashed = slot.last.is_some();
            // What an agent that kept no record has started.
            slot.applied = Some(slot.allocated.clone());
            slot.adopt(container, &uid);
            if let Some(record) = Record::of(&container.setup.annotations) {
                slot.image = Some(record.image);
                slot.image_id = Some(record.image_id);
                slot.allocated = record.resources.clone();
                slot.applied = Some(record.resources);
            }
            // It may be we who ended it, to start it with the image that the pod wants.
            let wanted = spec.image.clone().unwrap_or_default();
            let replaced = slot.image.as_ref().is_some_and(|image| *image != wanted);
            slot.replacing = replaced && container.exit.is_some() && slot.role != Role::Init;
            self.board.began(&name, container.setup.attempt);
            let state = slot.state.clone();
            match state {
                State::Running { .. } => {
                    slot.started = spec.startup_probe.is_none()
                        || before.is_some_and(|s| s.started == Some(true));
                    slot.ready = slot.started
                        && (spec.readiness_probe.is_none() || before.is_some_and(|s| s.ready));
                    self.watch_health(&name);
                }
                State::Ended(ended) => {
                    self.board.ended(&name);
                    slot.state = State::Running { started_at: container.started_at };
                    slot.ended(ended, policy, now);
                }
                _ => {}
            }
        }
    }

    /// How a container ended that nobody saw ending.
    pub(super) fn unknown_end(&self, container_id: Option<String>) -> Ended {
        Ended {
            exit_code: 137,
            signal: None,
            reason: UNKNOWN.into(),
            message: Some("The container could not be located when the pod was adopted".into()),
            started_at: None,
            finished_at: Timestamp::now(),
            container_id,
        }
    }
}
