//! How containers and pods come to their end.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use tracing::debug;

use super::{Life, Message, WRITE_AGAIN};
use crate::{
    agent::{
        pod::{
            slot::{Ended, Outcome, State},
            stop, write,
        },
        recorder::Severity,
    },
    runtime::{Exit, PodId, Runtime},
};

impl<R: Runtime> Life<R> {
    /// Ends a container whose pod goes on.
    pub(super) fn end_container(&self, container: Container, grace: Option<i64>) {
        let (context, pod) = (self.context.clone(), self.pod.clone());
        let grace = grace.or(pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds));
        let grace = Duration::from_secs(grace.and_then(|g| u64::try_from(g).ok()).unwrap_or(30));
        let running = self.board.log(&container.name, false).map(|place| place.running);
        tokio::spawn(async move {
            let ended = async {
                if let Some(mut running) = running {
                    // An error means that the pod is gone, and so is the container.
                    let _ = running.wait_for(|running| !running).await;
                }
            };
            stop::end(&context, &pod, &container, grace, ended).await;
        });
    }

    /// The pod is over: what still runs (sidecars) is ended, and everything it held is given back.
    pub(super) fn end_of_pod(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        let now = Timestamp::now();
        for slot in &mut self.slots {
            if slot.is_running() || slot.state == State::Starting {
                let exit = Exit { code: 137, signal: Some(9), oom: false, at: now };
                let started = match slot.state {
                    State::Running { started_at } => Some(started_at),
                    _ => None,
                };
                slot.state =
                    State::Ended(Ended::of(&exit, started, Some(slot.container_id(&self.uid))));
                (slot.ready, slot.started) = (false, false);
            }
        }
        let names: Vec<String> = self.slots.iter().map(|s| s.name.clone()).collect();
        for name in names {
            self.stop_probes(&name);
            self.board.ended(&name);
        }
        let (context, id) = (self.context.clone(), PodId(self.uid.clone()));
        tokio::spawn(async move {
            if let Err(error) = context.runtime.remove_pod(&id).await {
                debug!(%error, pod = id.0, "removing a pod that is over");
            }
            // Logs and last words stay until the object goes; root file systems need not.
            let containers = context.pod_dir(&id.0).join("containers");
            crate::image::discard(&containers, &context.trash());
        });
    }

    /// The object is being deleted: ask everything to stop, once.
    pub(super) fn begin_stop(&mut self, now: Timestamp) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(now);
        let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let mut waits = Vec::new();
        let names: Vec<String> =
            self.slots.iter().filter(|s| s.is_running()).map(|s| s.name.clone()).collect();
        for name in names {
            self.stop_probes(&name);
            self.note(
                Some(&name),
                Severity::Normal,
                "Killing",
                &format!("Stopping container {name}"),
            );
            let running = self.board.log(&name, false).map(|place| place.running);
            if let (Some(container), Some(mut running)) = (self.container(&name).cloned(), running)
            {
                let (context, pod) = (self.context.clone(), self.pod.clone());
                waits.push(async move {
                    stop::ask(&context, &pod, &container, grace).await;
                    // An error means that the pod is gone, and so is the container.
                    let _ = running.wait_for(|running| !running).await;
                });
            }
        }
        let me = self.me.clone();
        tokio::spawn(async move {
            // What is left when time is up ends with the pod.
            let _ = tokio::time::timeout(grace, futures::future::join_all(waits)).await;
            let _ = me.send(Message::Stopped);
        });
    }

    /// Ends what is left and takes the object away; false when there is nothing more to do.
    pub(super) async fn finish(&mut self) -> bool {
        let id = PodId(self.uid.clone());
        if let Err(error) = self.context.runtime.remove_pod(&id).await {
            debug!(%error, pod = id.0, "removing a pod");
        }
        if self.pod.metadata.finalizers.as_ref().is_some_and(|list| !list.is_empty()) {
            // The object stays for now, and must not look alive.
            self.end_of_pod(Outcome::Failed);
            self.plan_write();
            self.write().await;
        }
        match write::removal(&self.context, &self.pod).await {
            // The watch says when it is gone; with finalizers that may be much later.
            write::Written::Done => true,
            write::Written::Gone => {
                self.clear_away().await;
                false
            }
            write::Written::Failed(error) => {
                debug!(%error, "deleting a stopped pod");
                let me = self.me.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(WRITE_AGAIN).await;
                    let _ = me.send(Message::Stopped);
                });
                true
            }
        }
    }

    /// The object is gone: everything of it goes.
    pub(super) async fn remove(mut self) {
        let names: Vec<String> = self.probes.keys().cloned().collect();
        for name in names {
            self.stop_probes(&name);
        }
        if let Err(error) = self.context.runtime.remove_pod(&PodId(self.uid.clone())).await {
            debug!(%error, pod = self.uid, "removing a pod");
        }
        self.clear_away().await;
    }

    pub(super) async fn clear_away(&self) {
        crate::image::discard(&self.context.pod_dir(&self.uid), &self.context.trash());
    }
}
