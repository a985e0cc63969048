//! Watches pods and runtime events, binds what fits, and keeps one task for each pod of this node.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use parking_lot::RwLock;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    context::Context,
    machine,
    pod::{Board, Life, Message},
    recorder::Severity,
};
use crate::{
    runtime::{PodId, PodState, Runtime, RuntimeEvent},
    schedule::{Request, unfit},
};

/// The pods of this node by uid, for those who reach into them.
pub(crate) type Pods = Arc<RwLock<HashMap<String, Entry>>>;

/// One pod of this node.
#[derive(Clone)]
pub(crate) struct Entry {
    mailbox: mpsc::UnboundedSender<Message>,
    pub(crate) board: Arc<Board>,
    pub(crate) pod: Arc<Pod>,
}

/// The scheduler that pods name unless they name another.
const SCHEDULER: &str = "default-scheduler";

/// A binding that the API server could not take is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// A pod that waits for room, in the order of arrival.
struct Pending {
    pod: Pod,
    request: Request,
    told: Option<String>,
}

/// Answers of tasks that this one started.
enum Answer {
    /// A binding did not come about: the pod's room is free again, and it goes back to its place.
    NotBound(u64, Box<Pending>),
    /// The pod to be bound isn't there any more, or is bound already.
    Gone(String),
    /// A pod's task has ended: all of it is gone from the machine.
    Ended(String),
}

pub(crate) struct Dispatch<R> {
    context: Arc<Context<R>>,
    labels: BTreeMap<String, String>,
    pods: Pods,
    stop: CancellationToken,
    held: HashMap<String, PodState>,
    pending: BTreeMap<u64, Pending>,
    arrivals: u64,
    /// Uids seen in a list that is being received.
    listed: Option<Vec<String>>,
    answers: (mpsc::UnboundedSender<Answer>, mpsc::UnboundedReceiver<Answer>),
}

impl<R: Runtime> Dispatch<R> {
    pub(crate) fn new(
        context: Arc<Context<R>>,
        pods: Pods,
        held: Vec<PodState>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            labels: machine::labels(&context.node),
            held: held.into_iter().map(|pod| (pod.setup.id.0.clone(), pod)).collect(),
            pending: BTreeMap::new(),
            arrivals: 0,
            listed: None,
            answers: mpsc::unbounded_channel(),
            context,
            pods,
            stop,
        }
    }

    /// Runs until told to stop; the pods stay.
    pub(crate) async fn run(mut self, mut events: mpsc::UnboundedReceiver<RuntimeEvent>) {
        let stop = self.stop.clone();
        let api: Api<Pod> = Api::all(self.context.client.clone());
        // The fields that only servers need are most of an object's size.
        let objects = watcher(api, watcher::Config::default()).default_backoff().modify(|pod| {
            pod.metadata.managed_fields = None;
        });
        let mut objects = std::pin::pin!(objects);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = objects.next() => match event {
                    None => return,
                    Some(Ok(event)) => self.object(event),
                    Some(Err(error)) => debug!(%error, "watching pods"),
                },
                () = self.context.room.freed() => self.tell_of_room(),
                Some(event) = events.recv() => self.runtime_event(event),
                Some(answer) = self.answers.1.recv() => match answer {
                    Answer::NotBound(arrival, pending) => {
                        let uid = pending.pod.uid().unwrap_or_default();
                        self.context.room.free(&uid);
                        self.pending.insert(arrival, *pending);
                    }
                    Answer::Gone(uid) => {
                        // If it was bound meanwhile, its task holds the room.
                        if !self.pods.read().contains_key(&uid) {
                            self.context.room.free(&uid);
                        }
                    }
                    Answer::Ended(uid) => {
                        self.context.room.free(&uid);
                        self.pods.write().remove(&uid);
                    }
                },
            }
            self.bind_what_fits();
        }
    }

    fn object(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.listed = Some(Vec::new()),
            watcher::Event::InitApply(pod) => {
                if let (Some(listed), Some(uid)) = (&mut self.listed, pod.uid()) {
                    listed.push(uid);
                }
                self.applied(pod);
            }
            watcher::Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                self.drop_all_but(&listed);
            }
            watcher::Event::Apply(pod) => self.applied(pod),
            watcher::Event::Delete(pod) => {
                if let Some(uid) = pod.uid() {
                    self.gone(&uid);
                }
            }
        }
    }

    fn applied(&mut self, pod: Pod) {
        let (Some(uid), Some(spec)) = (pod.uid(), pod.spec.as_ref()) else { return };
        match spec.node_name.as_deref().filter(|name| !name.is_empty()) {
            Some(node) if node == self.context.node => self.ours(uid, pod),
            Some(_) => {}
            None => {
                let scheduler = spec.scheduler_name.as_deref().unwrap_or(SCHEDULER);
                let ended = pod.metadata.deletion_timestamp.is_some();
                if scheduler != SCHEDULER || ended || self.context.room.holds(&uid) {
                    return;
                }
                let request = Request::of_pod(spec);
                let known = self.pending.values_mut().find(|p| p.pod.uid().as_ref() == Some(&uid));
                match known {
                    Some(pending) => (pending.pod, pending.request) = (pod, request),
                    None => {
                        self.arrivals += 1;
                        self.pending.insert(self.arrivals, Pending { pod, request, told: None });
                    }
                }
            }
        }
    }

    /// A pod of this node: tell its task, or begin one.
    fn ours(&mut self, uid: String, pod: Pod) {
        self.pending.retain(|_, pending| pending.pod.uid().as_ref() != Some(&uid));
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        if matches!(phase, Some("Succeeded" | "Failed")) {
            self.context.room.free(&uid);
        }
        let pod = Arc::new(pod);
        if let Some(entry) = self.pods.write().get_mut(&uid) {
            entry.pod = pod.clone();
            // A task that has ended says so by an answer of its own.
            let _ = entry.mailbox.send(Message::Object(pod));
            return;
        }
        let (mailbox, messages) = mpsc::unbounded_channel();
        let board = Arc::new(Board::default());
        let entry = Entry { mailbox: mailbox.clone(), board: board.clone(), pod: pod.clone() };
        self.pods.write().insert(uid.clone(), entry);
        let held = self.held.remove(&uid);
        let life = Life::new(self.context.clone(), pod, held, mailbox, board);
        let answers = self.answers.0.clone();
        let stop = self.stop.clone();
        tokio::spawn(async move {
            // A node that stops leaves its pods as they are.
            tokio::select! {
                () = life.run(messages) => {}
                () = stop.cancelled() => return,
            }
            // Only a node that has stopped does not want to know.
            let _ = answers.send(Answer::Ended(uid));
        });
    }

    fn gone(&mut self, uid: &str) {
        self.pending.retain(|_, pending| pending.pod.uid().as_deref() != Some(uid));
        let tell = self.pods.read().get(uid).map(|entry| entry.mailbox.send(Message::Gone));
        if tell.is_none() {
            self.context.room.free(uid);
        }
    }

    /// After a list: what it does not name is gone. On the first one this clears what died while no agent ran.
    fn drop_all_but(&mut self, listed: &[String]) {
        let known: Vec<String> = self.pods.read().keys().cloned().collect();
        let waiting = self.pending.values().filter_map(|p| p.pod.uid());
        for uid in known.into_iter().chain(waiting.collect::<Vec<_>>()) {
            if !listed.contains(&uid) {
                self.gone(&uid);
            }
        }
        let held: Vec<String> = self.held.drain().map(|(uid, _)| uid).collect();
        let folders = std::fs::read_dir(self.context.options.data_dir.join("pods"));
        for entry in folders.into_iter().flatten().flatten() {
            let uid = entry.file_name().to_string_lossy().into_owned();
            if !held.contains(&uid) && !self.pods.read().contains_key(&uid) {
                crate::image::discard(&entry.path(), &self.context.trash());
            }
        }
        let context = self.context.clone();
        tokio::spawn(async move {
            for uid in held {
                debug!(pod = uid, "its object is gone: removing what is left of it");
                let id = PodId(uid);
                if let Err(error) = context.runtime.remove_pod(&id).await {
                    debug!(%error, pod = id.0, "removing a pod without an object");
                }
                crate::image::discard(&context.pod_dir(&id.0), &context.trash());
            }
        });
    }

    fn runtime_event(&mut self, event: RuntimeEvent) {
        let (id, message) = match event {
            RuntimeEvent::Exited(id, exit) => (id.pod, Message::Exited(id.name, exit)),
            RuntimeEvent::PodLost(id) => (id, Message::Lost),
        };
        if let Some(entry) = self.pods.read().get(&id.0) {
            // A task that has ended has no use for it.
            let _ = entry.mailbox.send(message);
        } else if let (Some(held), Message::Exited(name, exit)) =
            (self.held.get_mut(&id.0), message)
            && let Some(container) = held.containers.get_mut(&name)
        {
            // It ended between the runtime's answer and the adoption of its pod.
            container.exit = Some(exit);
        }
    }

    /// Pods that want to grow look again.
    fn tell_of_room(&self) {
        let pods = self.pods.read();
        for uid in self.context.room.waiting() {
            // A task that has ended wants nothing.
            let _ = pods.get(&uid).map(|entry| entry.mailbox.send(Message::Room));
        }
    }

    /// Goes through the waiting pods in the order of arrival. One that does not fit does not hold up smaller ones.
    fn bind_what_fits(&mut self) {
        // Half a list shows half of what is taken.
        if self.pending.is_empty() || self.listed.is_some() {
            return;
        }
        let (mut taken, capacity) = (self.context.room.taken(), self.context.room.capacity());
        let mut bound = Vec::new();
        for (arrival, pending) in &mut self.pending {
            let why = unfit(&pending.pod, pending.request, taken, capacity, &self.labels);
            match why {
                None => {
                    taken.add(pending.request);
                    bound.push(*arrival);
                }
                Some(why) if pending.told.as_ref() == Some(&why) => {}
                Some(why) => {
                    pending.told = Some(why.clone());
                    tell_unschedulable(&self.context, &pending.pod, why);
                }
            }
        }
        for arrival in bound {
            let Some(pending) = self.pending.remove(&arrival) else { continue };
            let Some(uid) = pending.pod.uid() else { continue };
            self.context.room.hold(&uid, pending.request);
            let (context, answers) = (self.context.clone(), self.answers.0.clone());
            tokio::spawn(async move {
                let answer = match bind(&context, &pending.pod).await {
                    Ok(()) => return,
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                        Answer::Gone(uid)
                    }
                    Err(error) => {
                        debug!(%error, pod = pending.pod.name_any(), "binding");
                        tokio::time::sleep(BIND_AGAIN).await;
                        Answer::NotBound(arrival, Box::new(pending))
                    }
                };
                // Only a node that has stopped does not want to know.
                let _ = answers.send(answer);
            });
        }
    }
}

async fn bind<R: Runtime>(context: &Arc<Context<R>>, pod: &Pod) -> Result<(), kube::Error> {
    let namespace = pod.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let name = pod.name_any();
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": { "name": name, "namespace": namespace, "uid": pod.uid() },
        "target": { "apiVersion": "v1", "kind": "Node", "name": context.node },
    });
    let params = PostParams::default();
    let _: serde_json::Value = api.create_subresource("binding", &name, &params, &binding).await?;
    let message = format!("Successfully assigned {namespace}/{name} to {}", context.node);
    context.recorder.note(pod, None, Severity::Normal, "Scheduled", message);
    Ok(())
}

fn tell_unschedulable<R: Runtime>(context: &Arc<Context<R>>, pod: &Pod, why: String) {
    context.recorder.note(pod, None, Severity::Warning, "FailedScheduling", why.clone());
    let (context, pod) = (context.clone(), pod.clone());
    tokio::spawn(async move {
        let api: Api<Pod> =
            Api::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default());
        let mut conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let others: Vec<_> =
            conditions.by_ref().filter(|c| c.type_ != "PodScheduled").cloned().collect();
        let mut list = vec![json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why,
            "lastTransitionTime": crate::status::seconds(jiff::Timestamp::now()),
        })];
        list.extend(others.iter().map(|c| json!(c)));
        let patch = Patch::Merge(json!({
            "metadata": { "uid": pod.uid() },
            "status": { "phase": "Pending", "conditions": list },
        }));
        let params = PatchParams::default();
        if let Err(error) = api.patch_status(&pod.name_any(), &params, &patch).await {
            debug!(%error, pod = pod.name_any(), "telling that a pod does not fit");
        }
    });
}
