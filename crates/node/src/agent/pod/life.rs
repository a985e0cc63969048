//! The life of one pod: messages in, steps and status writes out.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use tracing::debug;

use super::{
    Board,
    set_up::{SetUpError, prepare, set_up},
    slot::{Ended, Next, Outcome, RestartPolicy, Role, Slot, State, next},
    start::{StartError, Started, last_words, start},
    stop, write,
};
use crate::{
    agent::{context::Context, recorder::Severity},
    downward::Addresses,
    probe::{self, ProbeKind, Report},
    runtime::{ContainerId, Exit, PodId, PodState, Runtime, RuntimeError},
    status::{View, compute, is_ours},
    volume,
};

/// What a pod's task is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// The object as it is now.
    Object(Box<Pod>),
    /// The object is gone.
    Gone,
    /// A container has ended.
    Exited(String, Exit),
    /// Everything in the pod has ended.
    Lost,
    /// Namespaces, network and volumes are there, or not.
    SetUp(Result<Vec<IpAddr>, SetUpError>),
    /// A container was started, or not.
    Started(String, Box<Result<Started, StartError>>),
    /// News of a container's health, for one run of it.
    Probed(String, u32, ProbeKind, Report),
    /// Every container was asked to stop and has, or time is up.
    Stopped,
}

/// Whether the pod has its namespaces.
#[derive(Debug, PartialEq, Eq)]
enum Base {
    Absent {
        retry_at: Option<Timestamp>,
    },
    Coming,
    There,
    /// It never will.
    Refused,
}

/// Starts that fail for want of a configMap and the like are tried again after this; what is missing is often created just
/// after the pod.
const TRY_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// ErrImagePull shows for this long, then ImagePullBackOff.
const PULL_ERROR_SHOWS: SignedDuration = SignedDuration::from_secs(1);
/// While a pod is on its way to ready, its status is written at most this late: the usual start is then one write, not four.
const STARTING_MAY_WAIT: Duration = Duration::from_millis(300);
/// Files of configMaps and secrets follow their objects this late.
const REFRESH: Duration = Duration::from_secs(20);
/// A status that could not be written is tried again after this.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// A pod on this node.
pub(crate) struct Life<R> {
    context: Arc<Context<R>>,
    pod: Arc<Pod>,
    uid: String,
    me: mpsc::UnboundedSender<Message>,
    board: Arc<Board>,
    slots: Vec<Slot>,
    policy: RestartPolicy,
    base: Base,
    backoff: crate::backoff::Backoff,
    ips: Vec<IpAddr>,
    start_time: Timestamp,
    outcome: Option<Outcome>,
    trouble: Option<(&'static str, String)>,
    written: PodStatus,
    write_at: Option<Instant>,
    early_exits: BTreeMap<String, Exit>,
    probes: BTreeMap<String, Vec<AbortHandle>>,
    stopping: Option<Timestamp>,
    refresh_at: Option<Instant>,
}

impl<R: Runtime> Life<R> {
    /// A pod that is bound to this node; `held` is what the runtime has of it from before this process.
    pub(crate) fn new(
        context: Arc<Context<R>>,
        pod: Pod,
        held: Option<PodState>,
        me: mpsc::UnboundedSender<Message>,
        board: Arc<Board>,
    ) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let written = pod.status.clone().unwrap_or_default();
        let mut life = Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            slots: Slot::all(&spec),
            policy: RestartPolicy::of(&spec),
            base: Base::Absent { retry_at: None },
            backoff: Default::default(),
            ips: Vec::new(),
            start_time: written.start_time.as_ref().map_or_else(Timestamp::now, |t| t.0),
            outcome: match written.phase.as_deref() {
                Some("Succeeded") => Some(Outcome::Succeeded),
                Some("Failed") => Some(Outcome::Failed),
                _ => None,
            },
            trouble: None,
            write_at: None,
            early_exits: BTreeMap::new(),
            probes: BTreeMap::new(),
            stopping: None,
            refresh_at: volume::changes(&pod).then(|| Instant::now() + REFRESH),
            context,
            pod: Arc::new(pod),
            me,
            board,
            written,
        };
        life.remember();
        if let Some(held) = held {
            life.adopt(&held);
        }
        life
    }

    /// Carries the pod to its end.
    pub(crate) async fn run(mut self, mut mailbox: mpsc::UnboundedReceiver<Message>) {
        loop {
            let wake = self.step();
            if self.write_at.is_some_and(|at| at <= Instant::now()) && !self.write().await {
                break;
            }
            let timers = [wake, self.write_at, self.refresh_at];
            let wake = timers.into_iter().flatten().min();
            let message = tokio::select! {
                message = mailbox.recv() => message,
                () = wait(wake) => {
                    self.refresh().await;
                    continue;
                }
            };
            let mut next = message;
            // Everything that is waiting is one change, and one write.
            loop {
                match next {
                    None => return,
                    Some(Message::Gone) => return self.remove().await,
                    Some(Message::Stopped) => {
                        if !self.finish().await {
                            return;
                        }
                    }
                    Some(message) => self.handle(message),
                }
                match mailbox.try_recv() {
                    Ok(message) => next = Some(message),
                    Err(_) => break,
                }
            }
        }
        self.remove().await;
    }

    /// Takes over what an earlier process wrote into the status.
    fn remember(&mut self) {
        let statuses = self.written.init_container_statuses.iter().flatten();
        let statuses = statuses.chain(self.written.container_statuses.iter().flatten());
        for status in statuses {
            let Some(slot) = self.slots.iter_mut().find(|s| s.name == status.name) else {
                continue;
            };
            slot.restarts = u32::try_from(status.restart_count).unwrap_or(0);
            slot.image_id = Some(status.image_id.clone()).filter(|id| !id.is_empty());
            let state = |s: &Option<k8s_openapi::api::core::v1::ContainerState>| {
                s.as_ref().and_then(|s| s.terminated.clone()).map(|t| Ended {
                    exit_code: t.exit_code,
                    signal: t.signal,
                    reason: t.reason.unwrap_or_default(),
                    message: t.message,
                    started_at: t.started_at.map(|t| t.0),
                    finished_at: t.finished_at.map_or_else(Timestamp::now, |t| t.0),
                    container_id: t.container_id,
                })
            };
            slot.last = state(&status.last_state);
            slot.attempt = slot.restarts;
            if let Some(ended) = state(&status.state) {
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
    fn adopt(&mut self, held: &PodState) {
        self.base = Base::There;
        self.ips = held.ips.clone();
        self.board.set_ips(&self.ips);
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
            slot.restarts = before.map_or(0, |s| u32::try_from(s.restart_count).unwrap_or(0));
            if container.exit.is_none() {
                slot.last = slot.last.take().filter(|l| l.reason != "ContainerStatusUnknown");
            }
            slot.adopt(container, &uid);
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

    fn handle(&mut self, message: Message) {
        match message {
            Message::Object(pod) => self.pod = Arc::new(*pod),
            Message::SetUp(answer) => self.handle_set_up(answer),
            Message::Started(name, answer) => self.handle_started(&name, *answer),
            Message::Exited(name, exit) => self.handle_exit(&name, &exit),
            Message::Lost => self.handle_lost(),
            Message::Probed(name, attempt, kind, report) => {
                self.handle_probe(&name, attempt, kind, report);
            }
            Message::Gone | Message::Stopped => {}
        }
    }

    fn handle_set_up(&mut self, answer: Result<Vec<IpAddr>, SetUpError>) {
        match answer {
            Ok(ips) => {
                (self.base, self.trouble, self.ips) = (Base::There, None, ips);
                self.backoff.reset();
                self.board.set_ips(&self.ips);
            }
            Err(error) => {
                let (reason, message) = (error.reason(), error.to_string());
                self.note(None, Severity::Warning, reason, &message);
                self.base = if error.is_final() {
                    Base::Refused
                } else {
                    let retry_at = match error {
                        SetUpError::Volume(_) | SetUpError::Claim(_) => {
                            Timestamp::now() + TRY_AGAIN
                        }
                        _ => self.backoff.failed(Timestamp::now(), Duration::ZERO),
                    };
                    Base::Absent { retry_at: Some(retry_at) }
                };
                if self.base == Base::Refused {
                    for slot in &mut self.slots {
                        slot.state = State::Waiting { reason, message: Some(message.clone()) };
                    }
                }
                self.trouble = Some((reason, message));
            }
        }
    }

    fn handle_started(&mut self, name: &str, answer: Result<Started, StartError>) {
        let now = Timestamp::now();
        let early = self.early_exits.remove(name);
        let Some(container) = self.container(name).cloned() else { return };
        let (policy, uid) = (self.policy, self.uid.clone());
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        match answer {
            Ok(Started { state, image_id }) => {
                slot.state = State::Running { started_at: state.started_at };
                slot.image_id = Some(image_id);
                slot.pulls.reset();
                slot.retry_at = None;
                slot.started = container.startup_probe.is_none();
                slot.ready = slot.started && container.readiness_probe.is_none();
                self.board.began(name, slot.attempt);
                self.watch_health(name);
                if let Some(exit) = early.or(state.exit) {
                    self.handle_exit(name, &exit);
                }
            }
            Err(StartError::Runtime(RuntimeError::NotExecutable { program, reason })) => {
                // The way container engines report a command that can't be executed: it ran, and ended with 128.
                let message = format!("exec {program:?}: {reason}");
                let ended = Ended {
                    exit_code: 128,
                    signal: None,
                    reason: "StartError".into(),
                    message: Some(message.clone()),
                    started_at: Some(now),
                    finished_at: now,
                    container_id: Some(slot.container_id(&uid)),
                };
                slot.ended(ended, policy, now);
                self.note(Some(name), Severity::Warning, "Failed", &format!("Error: {message}"));
            }
            Err(error) => {
                let (reason, message) = (error.reason(), error.to_string());
                let event = match &error {
                    StartError::Pull(_) => {
                        let image = container.image.as_deref().unwrap_or_default();
                        format!("Failed to pull image {image:?}: {message}")
                    }
                    _ => format!("Error: {message}"),
                };
                let retry_at = match &error {
                    StartError::Pull(_) => slot.pulls.failed(now, Duration::ZERO),
                    StartError::Runtime(_) => slot.crashes.failed(now, Duration::ZERO),
                    _ => now + TRY_AGAIN,
                };
                slot.failed_to_start(reason, message, retry_at);
                self.note(Some(name), Severity::Warning, "Failed", &event);
            }
        }
    }

    fn handle_exit(&mut self, name: &str, exit: &Exit) {
        let (policy, uid, now) = (self.policy, self.uid.clone(), Timestamp::now());
        let Some(container) = self.container(name).cloned() else { return };
        let pod_dir = self.context.pod_dir(&uid);
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        let started_at = match slot.state {
            State::Running { started_at } => started_at,
            State::Starting => {
                self.early_exits.insert(name.to_owned(), exit.clone());
                return;
            }
            _ => return,
        };
        let mut ended = Ended::of(exit, Some(started_at), Some(slot.container_id(&uid)));
        let bundle = pod_dir.join("containers").join(name).join(slot.attempt.to_string());
        let log = self.context.log_path(&uid, name, slot.attempt);
        ended.message = last_words(&bundle, &log, &container, exit.code);
        self.stop_probes(name);
        self.board.ended(name);
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        if self.stopping.is_some() || self.outcome.is_some() {
            slot.state = State::Ended(ended);
            (slot.ready, slot.started) = (false, false);
            return;
        }
        slot.ended(ended, policy, now);
        if let (State::Waiting { message, .. }, Some(_)) = (&mut slot.state, slot.retry_at) {
            let text = format!(
                "back-off {} restarting failed container={name} pod={}_{}({uid})",
                short(slot.crashes.delay()),
                self.pod.metadata.name.as_deref().unwrap_or_default(),
                self.pod.metadata.namespace.as_deref().unwrap_or_default(),
            );
            *message = Some(text.clone());
            self.note(Some(name), Severity::Warning, "BackOff", &text);
        }
    }

    /// The pod's processes are gone without a word: each is taken to have failed, and the restart policy decides.
    fn handle_lost(&mut self) {
        if self.base != Base::There || self.outcome.is_some() {
            return;
        }
        self.base = Base::Absent { retry_at: None };
        let names: Vec<String> =
            self.slots.iter().filter(|s| s.is_running()).map(|s| s.name.clone()).collect();
        for name in names {
            self.stop_probes(&name);
            self.board.ended(&name);
            let id = self.slots.iter().find(|s| s.name == name).map(|s| s.container_id(&self.uid));
            let ended = self.unknown_end(id);
            let policy = self.policy;
            if let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) {
                slot.ended(ended, policy, Timestamp::now());
            }
        }
        self.note(
            None,
            Severity::Normal,
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        );
    }

    fn handle_probe(&mut self, name: &str, attempt: u32, kind: ProbeKind, report: Report) {
        let Some(container) = self.container(name).cloned() else { return };
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        if slot.attempt != attempt || !slot.is_running() {
            return;
        }
        match (&report, kind) {
            (Report::Passed, ProbeKind::Startup) => {
                slot.started = true;
                slot.ready = container.readiness_probe.is_none();
                self.watch_health(name);
            }
            (Report::Passed, ProbeKind::Readiness) => slot.ready = true,
            (Report::Failed(_), ProbeKind::Readiness) => slot.ready = false,
            _ => {}
        }
        if let Report::Missed(why) | Report::Failed(why) = &report {
            let message = format!("{} probe failed: {why}", kind.name());
            self.note(Some(name), Severity::Warning, "Unhealthy", &message);
        }
        if matches!(report, Report::Failed(_)) && kind != ProbeKind::Readiness {
            let word = kind.name().to_lowercase();
            let message = format!("Container {name} failed {word} probe, will be restarted");
            self.note(Some(name), Severity::Normal, "Killing", &message);
            self.stop_probes(name);
            let grace = kind.of(&container).and_then(|p| p.termination_grace_period_seconds);
            self.end_container(container, grace);
        }
    }

    /// Ends a container whose pod goes on.
    fn end_container(&self, container: Container, grace: Option<i64>) {
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

    /// Does what is due; answers when to look again.
    fn step(&mut self) -> Option<Instant> {
        let now = Timestamp::now();
        if self.pod.metadata.deletion_timestamp.is_some() {
            self.begin_stop(now);
            self.plan_write();
            return None;
        }
        let mut wake = None;
        if self.outcome.is_none() {
            let plan = next(&self.slots, self.policy, now);
            wake = plan.wake_at;
            match (&self.base, plan.over) {
                (_, Some(outcome)) => self.end_of_pod(outcome),
                (Base::There, None) => self.start_containers(&plan),
                (Base::Absent { retry_at }, None) => match retry_at {
                    Some(at) if *at > now => wake = Some(*at),
                    _ => self.begin_set_up(),
                },
                (Base::Coming | Base::Refused, None) => wake = None,
            }
            wake = [wake, self.show_backoff(now), self.deadline(now)].into_iter().flatten().min();
        }
        self.plan_write();
        wake.map(|at| {
            let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            Instant::now() + left
        })
    }

    fn begin_set_up(&mut self) {
        self.base = Base::Coming;
        let (context, pod, me) = (self.context.clone(), self.pod.clone(), self.me.clone());
        tokio::spawn(async move {
            // Only a pod that is gone does not want the answer.
            let _ = me.send(Message::SetUp(set_up(&context, &pod).await));
        });
    }

    fn start_containers(&mut self, plan: &Next) {
        for &i in &plan.start {
            let Some(slot) = self.slots.get_mut(i) else { continue };
            slot.state = State::Starting;
            let (name, attempt) = (slot.name.clone(), slot.attempt);
            let Some(container) = self.container(&name).cloned() else { continue };
            let (context, pod, me) = (self.context.clone(), self.pod.clone(), self.me.clone());
            let ips = self.ips.clone();
            tokio::spawn(async move {
                let answer = start(&context, &pod, &container, attempt, &ips).await;
                // Only a pod that is gone does not want the answer.
                let _ = me.send(Message::Started(name, Box::new(answer)));
            });
        }
    }

    /// ErrImagePull is the news, ImagePullBackOff the state that follows.
    fn show_backoff(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut wake = None;
        let mut told = Vec::new();
        for slot in &mut self.slots {
            let State::Waiting { reason: "ErrImagePull", message } = &slot.state else { continue };
            let shown_until = match slot.retry_at {
                Some(at) => {
                    let delay = SignedDuration::try_from(slot.pulls.delay()).unwrap_or_default();
                    at - delay + PULL_ERROR_SHOWS
                }
                None => now,
            };
            if shown_until > now {
                wake = Some(wake.map_or(shown_until, |w: Timestamp| w.min(shown_until)));
                continue;
            }
            let why = message.clone().unwrap_or_default();
            told.push((slot.name.clone(), why));
        }
        for (name, why) in told {
            let image = self.container(&name).and_then(|c| c.image.clone()).unwrap_or_default();
            let text = format!("Back-off pulling image {image:?}: ErrImagePull: {why}");
            self.note(
                Some(&name),
                Severity::Normal,
                "BackOff",
                &format!("Back-off pulling image {image:?}"),
            );
            if let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) {
                slot.state = State::Waiting { reason: "ImagePullBackOff", message: Some(text) };
            }
        }
        wake
    }

    /// `activeDeadlineSeconds`: the pod has failed when it runs longer.
    fn deadline(&mut self, now: Timestamp) -> Option<Timestamp> {
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        let at = self.start_time + SignedDuration::from_secs(seconds);
        if at > now {
            return Some(at);
        }
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        self.note(None, Severity::Normal, "DeadlineExceeded", &message);
        self.trouble = Some(("DeadlineExceeded", message));
        self.end_of_pod(Outcome::Failed);
        None
    }

    /// The pod is over: what still runs (sidecars) is ended, and everything it held is given back.
    fn end_of_pod(&mut self, outcome: Outcome) {
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
    fn begin_stop(&mut self, now: Timestamp) {
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
    async fn finish(&mut self) -> bool {
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
    async fn remove(mut self) {
        let names: Vec<String> = self.probes.keys().cloned().collect();
        for name in names {
            self.stop_probes(&name);
        }
        if let Err(error) = self.context.runtime.remove_pod(&PodId(self.uid.clone())).await {
            debug!(%error, pod = self.uid, "removing a pod");
        }
        self.clear_away().await;
    }

    async fn clear_away(&self) {
        crate::image::discard(&self.context.pod_dir(&self.uid), &self.context.trash());
    }

    /// Computes the status; if it differs from what is written, says by when it must be.
    fn plan_write(&mut self) {
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

    fn was_ready(&self, name: &str) -> bool {
        let mut statuses = self.written.container_statuses.iter().flatten();
        statuses.any(|s| s.name == name && s.ready)
    }

    fn status(&self) -> PodStatus {
        // Ours as last written; those of others as last seen.
        let mut before = self.written.clone();
        let conditions = before.conditions.get_or_insert_default();
        conditions.retain(|c| is_ours(c));
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
            before: &before,
            now: Timestamp::now(),
        })
    }

    /// Writes the status; false if the pod isn't there any more.
    async fn write(&mut self) -> bool {
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

    async fn refresh(&mut self) {
        if self.refresh_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.refresh_at = Some(Instant::now() + REFRESH);
        if self.base != Base::There || self.outcome.is_some() {
            return;
        }
        let host = Some(self.context.options.address);
        let addresses = Addresses { pod: self.ips.clone(), host };
        if let Err(error) = prepare(&self.context, &self.pod, &addresses).await {
            // The files stay as they are: a removed configMap does not take its files from a running pod.
            debug!(%error, pod = self.uid, "refreshing volumes");
        }
    }

    /// Starts the probes that a running container needs now.
    fn watch_health(&mut self, name: &str) {
        let Some(container) = self.container(name).cloned() else { return };
        let Some(slot) = self.slots.iter().find(|s| s.name == name) else { return };
        let kinds: &[ProbeKind] = if slot.started {
            &[ProbeKind::Liveness, ProbeKind::Readiness]
        } else {
            &[ProbeKind::Startup]
        };
        let attempt = slot.attempt;
        let host = self.pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
        let address =
            if host { Some(self.context.options.address) } else { self.ips.first().copied() };
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

    fn stop_probes(&mut self, name: &str) {
        for task in self.probes.remove(name).into_iter().flatten() {
            task.abort();
        }
    }

    /// How a container ended that nobody saw ending.
    fn unknown_end(&self, container_id: Option<String>) -> Ended {
        Ended {
            exit_code: 137,
            signal: None,
            reason: "ContainerStatusUnknown".into(),
            message: Some("The container could not be located when the pod was adopted".into()),
            started_at: None,
            finished_at: Timestamp::now(),
            container_id,
        }
    }

    fn container(&self, name: &str) -> Option<&Container> {
        let spec = self.pod.spec.as_ref()?;
        spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name)
    }

    fn note(
        &self,
        container: Option<&str>,
        severity: Severity,
        reason: &'static str,
        message: &str,
    ) {
        self.context.recorder.note(&self.pod, container, severity, reason, message);
    }
}

/// Whether two statuses differ in anything that is ours to say.
fn differs(new: &PodStatus, old: &PodStatus) -> bool {
    let mut old = old.clone();
    // The class of service is the API server's word.
    old.qos_class = None;
    *new != old
}

/// `10s`, `1m20s`: as people know it from messages.
fn short(delay: Duration) -> String {
    match (delay.as_secs() / 60, delay.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
