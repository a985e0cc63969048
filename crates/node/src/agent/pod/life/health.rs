//! The probes of a running container.

use std::net::IpAddr;

use super::{Life, Message};
use crate::{
    probe::{self, ProbeKind},
    runtime::{ContainerId, PodId, Runtime},
};

impl<R: Runtime> Life<R> {
    /// Starts the probes that a running container needs now.
    pub(super) fn watch_health(&mut self, name: &str) {
        let Some(container) = self.container(name).cloned() else { return };
        let Some(slot) = self.slots.iter().find(|s| s.name == name) else { return };
        let kinds: &[ProbeKind] = if slot.started {
            &[ProbeKind::Liveness, ProbeKind::Readiness]
        } else {
            &[ProbeKind::Startup]
        };
        let attempt = slot.attempt;
        let address = self.address();
        self.stop_probes(name);
        let mut running = Vec::new();
        for &kind in kinds.iter().filter(|kind| kind.of(&container).is_some()) {
            let (context, container, me) =
                (self.context.clone(), container.clone(), self.me.clone());
            let id = ContainerId { pod: PodId(self.uid.clone()), name: name.to_owned() };
            let task = tokio::spawn(async move {
                let report = |news| {
                    // Only a pod that is gone does not want it.
                    let _ = me.send(Message::Probed(id.name.clone(), attempt, kind, news));
                };
                probe::run(&context.runtime, &id, &container, kind, address, report).await;
            });
            running.push(task.abort_handle());
        }
        if !running.is_empty() {
            self.probes.insert(name.to_owned(), running);
        }
    }

    /// Where the pod's containers answer.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let host = self.pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
        if host { Some(self.context.options.address) } else { self.ips.first().copied() }
    }

    pub(super) fn stop_probes(&mut self, name: &str) {
        for task in self.probes.remove(name).into_iter().flatten() {
            task.abort();
        }
    }
}
