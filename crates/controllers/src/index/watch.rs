//! One watch, driven into the index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::decode::Delivered;
use super::{Index, Indexed, relist};
use crate::events::{Events, Note, Severity};
use crate::family::Family;
use crate::metrics::Metrics;

/// Which namespaces are looked after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    Cluster,
    /// One.
    Namespace(String),
}

/// How the first listing is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// In pages; every server can do that.
    #[default]
    Pages,
    /// As the beginning of the watch, which spares the server the memory of a whole list. Servers older than 1.32 may not.
    Streamed,
}

/// A watch is begun again after this long at most when it keeps failing. Upper bound of how late we are after an outage.
const SLOWEST_RETRY: Duration = Duration::from_secs(10);

/// The server ends a watch after this long. A connection that died silently is noticed five seconds later, so shorter is safer; each end costs one request.
const WATCH_SECONDS: u32 = 120;

/// How far the first listing of a kind got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synced {
    /// Nothing is known yet.
    #[default]
    No,
    /// The server does not serve this kind: its definition is not installed. That is an answer too; there are no such objects.
    Absent,
    /// Everything was listed once.
    Listed,
}

/// What a watch is told.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Which namespaces.
    pub scope: Scope,
    /// How the first listing is made.
    pub listing: Listing,
    /// A label selector, to leave out what does not concern us.
    pub labels: Option<&'static str>,
}

/// A kind that is not served is asked for again this often. Nobody who installs definitions waits longer for it, and a 404 costs a server nothing.
const ABSENT_RETRY: Duration = Duration::from_secs(5);

/// Follows one kind until `shutdown`, and says how far the first listing got.
pub async fn follow<F: Family, T: Indexed<F>>(
    client: kube::Client,
    index: Arc<Index<F>>,
    options: WatchOptions,
    events: Events,
    metrics: Metrics,
    synced: watch::Sender<Synced>,
    shutdown: CancellationToken,
) {
    let api: Api<Delivered<T>> = match &options.scope {
        Scope::Cluster => Api::all(client.clone()),
        Scope::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
    };
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS);
    if let Some(labels) = options.labels {
        config = config.labels(labels);
    }
    if options.listing == Listing::Streamed {
        config = config.streaming_lists();
    }
    let mut stream = watcher(api, config).boxed();
    let mut listing: Option<BTreeSet<engine::Key>> = None;
    let mut failures: u32 = 0;
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = stream.next() => event,
        };
        match event {
            Some(Ok(event)) => {
                failures = 0;
                if let Received::Listed(names) =
                    receive(&index, event, &mut listing, &events, &metrics)
                {
                    let left_out = tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return,
                        left_out = relist::settle::<F, T>(&client, &index, options.labels, &names) => left_out,
                    };
                    for delivered in left_out {
                        take(&index, delivered, &events, &metrics);
                    }
                    synced.send_replace(Synced::Listed);
                }
            }
            Some(Err(error)) if is_absent(&error) => {
                if *synced.borrow() == Synced::No {
                    tracing::info!(kind = %T::KIND, group = T::KIND.group(), "this kind is not served here; looked for again from time to time");
                    synced.send_replace(Synced::Absent);
                }
                // A definition that was removed took its objects with it.
                relist::settle::<F, T>(&client, &index, options.labels, &BTreeSet::new()).await;
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(ABSENT_RETRY) => {}
                }
            }
            Some(Err(error)) => {
                failures = failures.saturating_add(1);
                metrics.watch_failed(T::KIND);
                tracing::warn!(kind = %T::KIND, %error, failures, "a watch broke and is begun again");
                let pause = Duration::from_millis(50)
                    .saturating_mul(1 << failures.min(12))
                    .min(SLOWEST_RETRY);
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
            None => return,
        }
    }
}

/// Whether the server says that it does not know the kind. An object that is gone is never asked for by a watch.
fn is_absent(error: &watcher::Error) -> bool {
    let source = match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => source,
        watcher::Error::WatchError(status) => return status.code == 404,
        watcher::Error::NoResourceVersion => return false,
    };
    matches!(source, kube::Error::Api(status) if status.code == 404)
}

/// What an event was.
enum Received {
    /// A part of the story.
    Event,
    /// The end of a listing, with all its names.
    Listed(BTreeSet<engine::Key>),
}

fn receive<F: Family, T: Indexed<F>>(
    index: &Index<F>,
    event: Event<Delivered<T>>,
    listing: &mut Option<BTreeSet<engine::Key>>,
    events: &Events,
    metrics: &Metrics,
) -> Received {
    match event {
        Event::Init => *listing = Some(BTreeSet::new()),
        Event::InitApply(delivered) => {
            if let Some(names) = listing {
                names.insert(delivered.key());
            }
            take(index, delivered, events, metrics);
        }
        Event::InitDone => return Received::Listed(listing.take().unwrap_or_default()),
        Event::Apply(delivered) => take(index, delivered, events, metrics),
        Event::Delete(delivered) => index.gone::<T>(&delivered.key(), delivered.version()),
    }
    Received::Event
}

fn take<F: Family, T: Indexed<F>>(
    index: &Index<F>,
    delivered: Delivered<T>,
    events: &Events,
    metrics: &Metrics,
) {
    let (key, uid) = (delivered.key(), delivered.uid());
    match delivered.object {
        Ok(object) => index.apply(object),
        // What was known of it stays: it is the last thing that made sense.
        Err(error) => {
            metrics.undecodable(T::KIND);
            tracing::warn!(kind = %T::KIND, object = %key, %error, "an object can't be decoded and is left out");
            events.note(Note {
                kind: T::KIND,
                key,
                uid,
                severity: Severity::Warning,
                reason: "Undecodable",
                message: format!("It can't be read and is left out until it is edited: {error}"),
            });
        }
    }
}
