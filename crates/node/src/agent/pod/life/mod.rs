//! The life of one pod: messages in, steps and status writes out.

mod adopt;
mod end;
mod health;
mod hear;
mod replace;
mod resize;
mod step;
mod tell;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use tracing::debug;

pub(crate) use resize::Resized;
use resize::Resizing;

use super::{
    Board,
    set_up::{SetUpError, prepare},
    slot::{Outcome, RestartPolicy, Slot},
    start::{StartError, Started},
};
use crate::{
    agent::{context::Context, recorder::Severity},
    downward::Addresses,
    probe::{ProbeKind, Report},
    runtime::{Exit, PodState, Runtime},
    schedule::Request,
    volume,
};

/// What a pod's task is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// The object as it is now.
    Object(Arc<Pod>),
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
    /// Limits were changed, or not: of the pod, and of containers.
    Resized(Box<Resized>),
    /// Room that others had is free.
    Room,
    /// News of a container's health, for one run of it.
    Probed(String, u32, ProbeKind, Report),
    /// Nothing of a pod that is over runs any more.
    Over,
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
    resizing: Resizing,
    refresh_at: Option<Instant>,
}

impl<R: Runtime> Life<R> {
    /// A pod that is bound to this node; `held` is what the runtime has of it from before this process.
    pub(crate) fn new(
        context: Arc<Context<R>>,
        pod: Arc<Pod>,
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
            resizing: Resizing::default(),
            refresh_at: volume::changes(&pod).then(|| Instant::now() + REFRESH),
            context,
            pod,
            me,
            board,
            written,
        };
        life.remember();
        if let Some(held) = held {
            life.adopt(&held);
        }
        match life.outcome {
            // The agent before this one was stopped while it ended the pod.
            Some(outcome) if life.base == Base::There => life.end_of_pod(outcome),
            Some(_) => {}
            None => life.hold_room(),
        }
        life
    }

    /// A bound pod has its room, whether it fits or not.
    fn hold_room(&self) {
        let granted = self.granted();
        let request = granted.spec.as_ref().map(Request::of_pod).unwrap_or_default();
        self.context.room.hold(&self.uid, request);
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

    fn container(&self, name: &str) -> Option<&Container> {
        named(&self.pod, name)
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

/// A container of a pod.
fn named<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name)
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
