//! Starting and stopping everything.

use std::sync::Arc;

use dialects::pod::Pod;
use dialects::x_k8s::{Sandbox, SandboxClaim, SandboxTemplate, SandboxWarmPool, keys};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::act::{Permits, Writer};
use crate::clock::Clock;
use crate::events::{self, Events};
use crate::index::child::{NetworkPolicy, Service, Volume};
use crate::index::watch::{Listing, Scope, WatchOptions, follow};
use crate::index::{Index, Indexed, World};
use crate::lease::{self, Leadership, LeaseError, LeaseOptions};
use crate::metrics::Metrics;
use crate::queue::{Backoff, Lane, Queue};
use crate::reconcile::{Reconciler, Tuning};
use crate::subject::Subject;
use crate::work;

/// How the controllers run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which namespaces are looked after.
    pub scope: Scope,
    /// How the first listing is made.
    pub listing: Listing,
    /// How many subjects are looked at at once. A look mostly waits for the API, so this may be far more than there are processors; a quarter of them serve
    /// claims only.
    pub workers: usize,
    /// How many writes may be in flight at once.
    pub writes: usize,
    /// What the API family lets an installation choose.
    pub dialect: dialects::x_k8s::Options,
    /// The numbers of the pools and claims.
    pub tuning: Tuning,
    /// Whether Kubernetes events are written.
    pub events: EventsSwitch,
    /// Whom to share with. `None` where there can be only one.
    pub election: Option<LeaseOptions>,
    /// What time it is.
    pub clock: Clock,
    /// Where jitter and names come from.
    pub seed: u64,
    /// Where numbers are kept. The caller may serve them.
    pub metrics: Metrics,
}

/// Whether Kubernetes events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventsSwitch {
    /// They are.
    #[default]
    On,
    /// They are not.
    Off,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            scope: Scope::default(),
            listing: Listing::default(),
            workers: 64,
            writes: Permits::DEFAULT,
            dialect: dialects::x_k8s::Options::default(),
            tuning: Tuning::default(),
            events: EventsSwitch::default(),
            election: None,
            clock: Clock::system(),
            seed: fastrand::u64(..),
            metrics: Metrics::new(),
        }
    }
}

/// Why the controllers stopped although nobody asked them to.
#[derive(Debug, Error)]
pub enum RunError {
    /// Leadership was lost; the process has to end.
    #[error("take part in the election")]
    Election(#[source] LeaseError),
    /// A part of the controllers panicked. The others are stopped: half a controller is worse than none.
    #[error("{0} ended unexpectedly")]
    Part(&'static str),
}

/// Whether the first listing of every kind is complete.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Receiver<bool>);

impl Readiness {
    /// A sender and its handle; not ready at first.
    #[must_use]
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Readiness(receiver))
    }

    /// Ready now?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.borrow()
    }
}

/// Runs the controllers against an API server until `shutdown`.
///
/// # Errors
/// If leadership is lost or a part of them fails.
pub async fn run(
    client: kube::Client,
    options: Options,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    start(client, options, shutdown).finished().await
}

/// Starts the controllers. Needs a tokio runtime; a current-thread one with paused time will do.
#[must_use]
pub fn start(client: kube::Client, options: Options, shutdown: CancellationToken) -> Running {
    // Cancelled when the caller says so, or when a part of us ended.
    let stop = shutdown.child_token();
    let metrics = options.metrics.clone();
    let queue = Arc::new(Queue::new(Backoff::seeded(options.seed)));
    let world = World::new(options.dialect.clone(), options.clock.clone());
    let index = Arc::new(Index::new(world, queue.clone(), metrics.clone()));
    let mut parts: JoinSet<Result<&'static str, RunError>> = JoinSet::new();

    let events = match options.events {
        EventsSwitch::Off => Events::off(metrics.clone()),
        EventsSwitch::On => {
            let (events, notes) = Events::channel(metrics.clone());
            let writer = events::run(
                client.clone(),
                notes,
                options.clock.clone(),
                options.seed,
                metrics.clone(),
                stop.clone(),
            );
            parts.spawn(async move {
                writer.await;
                Ok("the event writer")
            });
            events
        }
    };
    // The lease is released last, when the workers have made their last write.
    let release = CancellationToken::new();
    let leadership = match options.election.clone() {
        None => Leadership::always(),
        Some(election) => {
            let (terms, leadership) = Leadership::following();
            let election =
                lease::run(client.clone(), election, options.clock.clone(), terms, release.clone());
            parts.spawn(async move {
                election.await.map_err(RunError::Election)?;
                Ok("the election")
            });
            leadership
        }
    };
    let (ready, readiness) = Readiness::channel();
    let synced = watch_all(&client, &index, &options, &events, &stop, &mut parts);
    let writer =
        Writer::new(client, Permits::new(options.writes), leadership.clone(), metrics.clone());
    let reconciler = Arc::new(Reconciler::new(
        index.clone(),
        writer,
        events,
        metrics.clone(),
        options.clock.clone(),
        options.tuning,
        options.seed,
    ));
    let workers = options.workers.max(2);
    let (queue_of_workers, stop_workers) = (queue.clone(), stop.clone());
    parts.spawn(async move {
        let _release = release.drop_guard();
        let begin = begin(synced, ready, leadership);
        tokio::select! {
            biased;
            () = stop_workers.cancelled() => return Ok("the workers"),
            () = begin => {}
        }
        work::run(reconciler, queue_of_workers, workers, stop_workers).await;
        Ok("the workers")
    });
    Running { parts, stop, queue, index, metrics, readiness }
}

/// Waits until everything was listed once and we lead. Before that, "it does not exist" can't be told from "not seen yet".
async fn begin(
    synced: Vec<watch::Receiver<bool>>,
    ready: watch::Sender<bool>,
    mut leadership: Leadership,
) {
    for mut kind in synced {
        if kind.wait_for(|synced| *synced).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
    tracing::info!("the first listing is complete");
    ready.send_replace(true);
    leadership.acquired().await;
}

fn watch_all(
    client: &kube::Client,
    index: &Arc<Index>,
    options: &Options,
    events: &Events,
    stop: &CancellationToken,
    parts: &mut JoinSet<Result<&'static str, RunError>>,
) -> Vec<watch::Receiver<bool>> {
    let mut watches = Watches { client, index, options, events, stop, parts, synced: Vec::new() };
    watches.add::<SandboxTemplate>(None);
    watches.add::<SandboxWarmPool>(None);
    watches.add::<Sandbox>(None);
    watches.add::<SandboxClaim>(None);
    // Everything else in a cluster has pods, services and volumes too; what is ours carries this label. A stranger's that is in the way is looked up when it is.
    watches.add::<Pod>(Some(keys::NAME_HASH));
    watches.add::<Service>(Some(keys::NAME_HASH));
    watches.add::<Volume>(Some(keys::NAME_HASH));
    watches.add::<NetworkPolicy>(None);
    watches.synced
}

struct Watches<'a> {
    client: &'a kube::Client,
    index: &'a Arc<Index>,
    options: &'a Options,
    events: &'a Events,
    stop: &'a CancellationToken,
    parts: &'a mut JoinSet<Result<&'static str, RunError>>,
    synced: Vec<watch::Receiver<bool>>,
}

impl Watches<'_> {
    fn add<T: Indexed>(&mut self, labels: Option<&'static str>) {
        let (sender, receiver) = watch::channel(false);
        self.synced.push(receiver);
        let options = WatchOptions {
            scope: self.options.scope.clone(),
            listing: self.options.listing,
            labels,
        };
        let metrics = self.options.metrics.clone();
        let watch = follow::<T>(
            self.client.clone(),
            self.index.clone(),
            options,
            self.events.clone(),
            metrics,
            sender,
            self.stop.clone(),
        );
        self.parts.spawn(async move {
            watch.await;
            Ok("a watch")
        });
    }
}

/// Controllers that run.
#[derive(Debug)]
pub struct Running {
    parts: JoinSet<Result<&'static str, RunError>>,
    stop: CancellationToken,
    queue: Arc<Queue<Subject>>,
    index: Arc<Index>,
    metrics: Metrics,
    readiness: Readiness,
}

impl Running {
    /// Whether everything was listed once.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// The numbers.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether there is nothing to do until `horizon`, as far as is known now: nothing waits, nothing is being worked on, and all our writes were seen.
    #[must_use]
    pub fn is_quiet(&self, horizon: tokio::time::Instant) -> bool {
        self.queue.is_quiet(horizon) && self.index.world().ledger.unsettled() == 0
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// If they ended although nobody asked them to.
    pub async fn finished(mut self) -> Result<(), RunError> {
        let mut first = Ok(());
        while let Some(part) = self.parts.join_next().await {
            let asked = self.stop.is_cancelled();
            let outcome = match part {
                Ok(Ok(_)) if asked => Ok(()),
                Ok(Ok(name)) => Err(RunError::Part(name)),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(RunError::Part("a task")),
            };
            if first.is_ok() {
                first = outcome;
            }
            self.stop.cancel();
        }
        first
    }
}

/// How many of the workers serve urgent subjects only.
pub(crate) fn lanes(workers: usize) -> impl Iterator<Item = Lane> {
    let reserved = workers / 4;
    (0..workers).map(move |n| if n < reserved { Lane::UrgentOnly } else { Lane::Any })
}
