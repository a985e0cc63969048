//! How containers and pods come to their end.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use tracing::debug;

use super::{Life, Message, WRITE_AGAIN};
use crate::{
    agent::{
        pod::{
            slot::{Ended, Outcome, Role, State},
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
        let (ended, address) = (self.has_ended(&container.name), self.address());
        tokio::spawn(async move {
            stop::end(&context, &pod, &container, address, grace, ended).await;
        });
    }

    /// Resolves when the current run of a container is over.
    fn has_ended(&self, name: &str) -> impl Future<Output = ()> + Send + use<R> {
        let running = self.board.log(name, false).map(|place| place.running);
        async move {
            if let Some(mut running) = running {
                // An error means that the pod is gone, and so is the container.
                let _ = running.wait_for(|running| !running).await;
            }
        }
    }

    /// Asks the named containers to end and resolves when they have: the main ones at once, and then the sidecars, which served them, in
    /// the reverse order of their start. All hooks run at the beginning, as everywhere in Kubernetes.
    fn ask_all(
        &self,
        names: &[String],
        grace: Duration,
    ) -> impl Future<Output = ()> + Send + use<R> {
        let (mut main, mut sidecars) = (Vec::new(), Vec::new());
        for name in names {
            let Some(container) = self.container(name).cloned() else { continue };
            let (context, pod, address) = (self.context.clone(), self.pod.clone(), self.address());
            let ended = self.has_ended(name);
            let announced = tokio::spawn({
                let (context, pod, container) = (context.clone(), pod.clone(), container.clone());
                async move { stop::announce(&context, &pod, &container, address, grace).await }
            });
            let asked = async move {
                // It fails only if the agent stops.
                let _ = announced.await;
                stop::ask(&context, &pod, &container).await;
                ended.await;
            };
            match self.slots.iter().find(|s| s.name == *name).map(|s| s.role) {
                Some(Role::Sidecar) => sidecars.push(asked),
                _ => main.push(asked),
            }
        }
        async move {
            futures::future::join_all(main).await;
            for sidecar in sidecars.into_iter().rev() {
                sidecar.await;
            }
        }
    }

    /// The pod is over: what still runs is asked to end, and everything it held is given back.
    pub(super) fn end_of_pod(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        let names: Vec<String> = self.slots.iter().map(|s| s.name.clone()).collect();
        for name in &names {
            self.stop_probes(name);
        }
        let running: Vec<String> =
            self.slots.iter().filter(|s| s.is_running()).map(|s| s.name.clone()).collect();
        let grace = self.pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
        let grace = Duration::from_secs(grace.and_then(|g| u64::try_from(g).ok()).unwrap_or(30));
        let asked = self.ask_all(&running, grace);
        let (context, id, me) = (self.context.clone(), PodId(self.uid.clone()), self.me.clone());
        tokio::spawn(async move {
            // What is left when time is up ends with the pod.
            let _ = tokio::time::timeout(grace, asked).await;
            if let Err(error) = context.runtime.remove_pod(&id).await {
                debug!(%error, pod = id.0, "removing a pod that is over");
            }
            // Logs and last words stay until the object goes; root file systems need not.
            let containers = context.pod_dir(&id.0).join("containers");
            crate::image::discard(&containers, &context.trash());
            // Only a pod that is gone does not want to know.
            let _ = me.send(Message::Over);
        });
    }

    /// Nothing of a pod that is over runs any more, whether its end was seen or not.
    pub(super) fn note_all_ended(&mut self) {
        for slot in &mut self.slots {
            if slot.is_running() || slot.state == State::Starting {
                let exit = Exit { code: 137, signal: Some(9), oom: false, at: Timestamp::now() };
                let started = match slot.state {
                    State::Running { started_at } => Some(started_at),
                    _ => None,
                };
                slot.state =
                    State::Ended(Ended::of(&exit, started, Some(slot.container_id(&self.uid))));
                (slot.ready, slot.started) = (false, false);
            }
            self.board.ended(&slot.name);
        }
    }

    /// The object is being deleted: ask everything to stop, once.
    pub(super) fn begin_stop(&mut self, now: Timestamp) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(now);
        let grace = self.pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let names: Vec<String> =
            self.slots.iter().filter(|s| s.is_running()).map(|s| s.name.clone()).collect();
        for name in &names {
            self.stop_probes(name);
            let message = format!("Stopping container {name}");
            self.note(Some(name), Severity::Normal, "Killing", &message);
        }
        let (me, asked) = (self.me.clone(), self.ask_all(&names, grace));
        tokio::spawn(async move {
            // What is left when time is up ends with the pod.
            let _ = tokio::time::timeout(grace, asked).await;
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
            self.outcome = Some(Outcome::Failed);
            self.note_all_ended();
            crate::image::discard(
                &self.context.pod_dir(&self.uid).join("containers"),
                &self.context.trash(),
            );
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
