//! Starting and stopping everything.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::act::{Permits, Writer};
use crate::clock::Clock;
use crate::events::{self, Events};
use crate::family::{Family, Watches};
use crate::index::watch::{Listing, Scope, Synced, WatchOptions, follow};
use crate::index::{Index, Indexed, World};
use crate::kruise::{self, Kruise};
use crate::lease::{self, Leadership, LeaseError, LeaseOptions};
use crate::metrics::Metrics;
use crate::queue::{Backoff, Lane, Queue};
use crate::reconcile::{Reconciler, Tuning};
use crate::subject::Subject;
use crate::work;
use crate::x_k8s::{self, XK8s};

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

/// Whether the first listing of every kind is complete. A kind that the server does not serve has been listed: there is none of it.
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
    let writer = Writer::new(
        client.clone(),
        Permits::new(options.writes),
        leadership.clone(),
        metrics.clone(),
    );
    let mut cast = Cast {
        client,
        options,
        events,
        writer,
        leadership,
        stop: stop.clone(),
        release: Arc::new(release.drop_guard()),
        parts,
        synced: Vec::new(),
        families: Vec::new(),
    };
    let x_k8s = x_k8s::Own::new(cast.options.dialect.clone());
    cast.add::<XK8s>(x_k8s);
    cast.add::<Kruise>(kruise::Own::default());
    let Cast { mut parts, synced, families, .. } = cast;
    let (ready, readiness) = Readiness::channel();
    let tell = tell_ready(synced, ready, stop.clone());
    parts.spawn(async move {
        tell.await;
        Ok("the readiness")
    });
    Running { parts, stop, families, metrics, readiness }
}

/// Says when every kind was listed once, as far as it is served.
async fn tell_ready(
    synced: Vec<watch::Receiver<Synced>>,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let listed = async {
        reach(synced, |synced| *synced != Synced::No).await;
        tracing::info!("the first listing is complete");
        ready.send_replace(true);
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => return,
        () = listed => {}
    }
    stop.cancelled().await;
}

/// Waits until all kinds got so far; for ever if one ended before.
async fn reach(kinds: Vec<watch::Receiver<Synced>>, far_enough: impl Fn(&Synced) -> bool) {
    for mut kind in kinds {
        if kind.wait_for(&far_enough).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What is being started, family by family.
struct Cast {
    client: kube::Client,
    options: Options,
    events: Events,
    writer: Writer,
    leadership: Leadership,
    stop: CancellationToken,
    /// Dropped by the last workers: the lease is released when nobody writes any more.
    release: Arc<DropGuard>,
    parts: JoinSet<Result<&'static str, RunError>>,
    synced: Vec<watch::Receiver<Synced>>,
    families: Vec<Arc<dyn Quiet>>,
}

impl Cast {
    /// Starts a family: its watches, and workers that wait until all of its kinds were listed once and we lead. Before that, "it does not exist" can't be told
    /// from "not seen yet". A family whose definitions are not installed waits, and holds up no other.
    fn add<F: Family>(&mut self, own: F::Own) {
        let options = &self.options;
        // Two families that made up the same names would make pods of the same names for pools of the same name.
        let seed = options.seed.wrapping_add(self.families.len() as u64);
        let queue = Arc::new(Queue::new(Backoff::seeded(seed)));
        let world = World::new(own, options.clock.clone(), options.metrics.clone());
        let index = Arc::new(Index::<F>::new(world, queue.clone()));
        let mut following = Following { cast: self, index: index.clone(), synced: Vec::new() };
        F::watch(&mut following);
        let synced = following.synced;
        self.synced.extend(synced.iter().cloned());
        let options = &self.options;
        let reconciler = Arc::new(Reconciler::new(
            index.clone(),
            self.writer.clone(),
            self.events.clone(),
            options.metrics.clone(),
            options.clock.clone(),
            options.tuning,
            seed,
        ));
        let (metrics, workers) = (options.metrics.clone(), options.workers.max(2));
        metrics.family_served(F::NAME, false);
        let (release, stop) = (self.release.clone(), self.stop.clone());
        let (of_workers, mut leadership) = (queue.clone(), self.leadership.clone());
        self.parts.spawn(async move {
            let _release = release;
            let begin = async {
                reach(synced, |synced| *synced == Synced::Listed).await;
                metrics.family_served(F::NAME, true);
                tracing::info!(family = F::NAME, "all of its kinds are listed");
                leadership.acquired().await;
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok("the workers"),
                () = begin => {}
            }
            work::run(reconciler, of_workers, workers, stop).await;
            Ok("the workers")
        });
        self.families.push(Arc::new(Watched { queue, index }));
    }
}

/// Starts the watches of a family.
struct Following<'a, F: Family> {
    cast: &'a mut Cast,
    index: Arc<Index<F>>,
    synced: Vec<watch::Receiver<Synced>>,
}

impl<F: Family> Watches<F> for Following<'_, F> {
    fn kind<T: Indexed<F>>(&mut self, label: Option<&'static str>) {
        let (sender, receiver) = watch::channel(Synced::No);
        self.synced.push(receiver);
        let cast = &mut *self.cast;
        let options = WatchOptions {
            scope: cast.options.scope.clone(),
            listing: cast.options.listing,
            labels: label,
        };
        let watch = follow::<F, T>(
            cast.client.clone(),
            self.index.clone(),
            options,
            cast.events.clone(),
            cast.options.metrics.clone(),
            sender,
            cast.stop.clone(),
        );
        cast.parts.spawn(async move {
            watch.await;
            Ok("a watch")
        });
    }
}

/// A family as far as one can ask whether it has anything to do.
trait Quiet: Send + Sync + std::fmt::Debug {
    fn is_quiet(&self, horizon: tokio::time::Instant) -> bool;
}

#[derive(Debug)]
struct Watched<F: Family> {
    queue: Arc<Queue<Subject>>,
    index: Arc<Index<F>>,
}

impl<F: Family> Quiet for Watched<F> {
    fn is_quiet(&self, horizon: tokio::time::Instant) -> bool {
        self.queue.is_quiet(horizon) && self.index.world().ledger.unsettled() == 0
    }
}

/// Controllers that run.
#[derive(Debug)]
pub struct Running {
    parts: JoinSet<Result<&'static str, RunError>>,
    stop: CancellationToken,
    families: Vec<Arc<dyn Quiet>>,
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
        self.families.iter().all(|family| family.is_quiet(horizon))
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
