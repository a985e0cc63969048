//! What a pod tells: one status write for each visible change, and as few as possible on the way to ready.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use tokio::time::Instant;
use tracing::debug;

use super::{Base, Life, STARTING_MAY_WAIT, WRITE_AGAIN};
use crate::{
    agent::pod::{
        slot::{Role, State},
        write,
    },
    runtime::Runtime,
    status::{View, compute, is_ours},
};

impl<R: Runtime> Life<R> {
    /// Computes the status; if it differs from what is written, says by when it must be.
    pub(super) fn plan_write(&mut self) {
        if self.stopping.is_some() && self.outcome.is_none() {
            // It goes away; nobody needs to read of it meanwhile.
            self.write_at = None;
            return;
        }
        if !differs(&self.status(), &self.written) {
            self.write_at = None;
            return;
        }
        let under_way = self.outcome.is_none()
            && self.trouble.is_none()
            && (self.base == Base::Coming
                || self.resizing.is_under_way()
                || self.slots.iter().any(|s| {
                    s.state == State::Starting
                        || s.is_running()
                            && !s.ready
                            && s.role != Role::Init
                            && !self.was_ready(&s.name)
                }));
        let at = Instant::now() + if under_way { STARTING_MAY_WAIT } else { Duration::ZERO };
        self.write_at = Some(self.write_at.map_or(at, |before| before.min(at)));
    }

    pub(super) fn was_ready(&self, name: &str) -> bool {
        let mut statuses = self.written.container_statuses.iter().flatten();
        statuses.any(|s| s.name == name && s.ready)
    }

    pub(super) fn status(&self) -> PodStatus {
        // Ours as last written; those of others as last seen.
        let mut before = self.written.clone();
        let conditions = before.conditions.get_or_insert_default();
        conditions.retain(is_ours);
        let seen = self.pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        conditions.extend(seen.filter(|c| !is_ours(c)).cloned());
        compute(&View {
            pod: &self.pod,
            slots: &self.slots,
            set_up: self.base == Base::There,
            ips: &self.ips,
            host_ip: self.context.options.address,
            start_time: self.start_time,
            outcome: self.outcome,
            trouble: self.trouble.as_ref().map(|(reason, message)| (*reason, message.as_str())),
            resize: &self.resizing.conditions(),
            before: &before,
            now: Timestamp::now(),
        })
    }

    /// Writes the status; false if the pod isn't there any more.
    pub(super) async fn write(&mut self) -> bool {
        self.write_at = None;
        let status = self.status();
        match write::status(&self.context, &self.pod, &status).await {
            write::Written::Done => {
                self.written = status;
                true
            }
            write::Written::Gone => false,
            write::Written::Failed(error) => {
                debug!(%error, "writing a pod's status");
                self.write_at = Some(Instant::now() + WRITE_AGAIN);
                true
            }
        }
    }
}

/// Whether two statuses differ in anything that is ours to say.
fn differs(new: &PodStatus, old: &PodStatus) -> bool {
    let mut old = old.clone();
    // The class of service is the API server's word.
    old.qos_class = None;
    *new != old
}
