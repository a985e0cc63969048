//! Events are news, not records: an hour after its last write one is forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};

use crate::{
    object::{Key, Object, ResourceId, Revision},
    server::Api,
    store::{Effect, Operation, Query, WriteError},
};

/// The default of every Kubernetes server; `kubectl describe` shows about this much of the past.
const EVENT_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// How much later than its time an event may go, so that a burst of them goes in a few commits.
const SLACK: SignedDuration = SignedDuration::from_secs(10);

/// Expired events deleted at once; a server that was down for an hour has all of them to delete.
const IN_FLIGHT: usize = 256;

/// Removes expired events until the server stops.
pub(crate) async fn run(api: Api) {
    tokio::select! {
        biased;
        () = api.stopping.cancelled() => {}
        () = expire(&api) => {}
    }
}

async fn expire(api: &Api) {
    let events = ResourceId::new("", "events");
    loop {
        let (listing, mut watch) = api.store.list_and_watch(&Query::all(&events));
        let mut calendar = Calendar::default();
        for event in listing.items {
            let key = key(&events, &event);
            // When it was written last is not known after a restart; its own times are close enough.
            let written = last_seen(&event).unwrap_or_else(|| api.clock.now());
            calendar.enter(key, event.revision(), written + EVENT_LIFE);
        }
        loop {
            let next = calendar.next().map(|due| wait_for(api, due));
            tokio::select! {
                biased;
                changes = watch.next() => match changes {
                    Ok(changes) if changes.is_empty() => return,
                    Ok(changes) => {
                        let due = api.clock.now() + EVENT_LIFE;
                        for change in changes {
                            match change.effect {
                                Effect::Written => {
                                    calendar.enter(change.key.clone(), change.revision, due);
                                }
                                Effect::Removed => calendar.forget(&change.key),
                            }
                        }
                    }
                    // Too much happened at once: begin again with what is there.
                    Err(_) => break,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    remove(api, calendar.due(api.clock.now())).await;
                }
            }
        }
    }
}

/// Which event goes when.
#[derive(Default)]
struct Calendar {
    by_key: BTreeMap<Key, (Timestamp, Revision)>,
    by_time: BTreeSet<(Timestamp, Key)>,
}

impl Calendar {
    fn enter(&mut self, key: Key, revision: Revision, due: Timestamp) {
        self.forget(&key);
        self.by_time.insert((due, key.clone()));
        self.by_key.insert(key, (due, revision));
    }

    fn forget(&mut self, key: &Key) {
        if let Some((due, _)) = self.by_key.remove(key) {
            self.by_time.remove(&(due, key.clone()));
        }
    }

    /// When something is to be done next.
    fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(due, _)| *due + SLACK)
    }

    /// Takes out what has expired.
    fn due(&mut self, now: Timestamp) -> Vec<(Key, Revision)> {
        let mut expired = Vec::new();
        while self.by_time.first().is_some_and(|(due, _)| *due <= now) {
            let Some((_, key)) = self.by_time.pop_first() else { break };
            if let Some((_, revision)) = self.by_key.remove(&key) {
                expired.push((key, revision));
            }
        }
        expired
    }
}

/// Deletes events in the state in which they expired; one that was written since has a new hour.
async fn remove(api: &Api, expired: Vec<(Key, Revision)>) {
    use futures::{StreamExt, stream};
    tracing::debug!(events = expired.len(), "removing expired events");
    stream::iter(expired)
        .map(|(key, expected)| api.store.write(Operation::Delete { key, expected }))
        .buffer_unordered(IN_FLIGHT)
        .for_each(|outcome| async move {
            match outcome {
                Ok(_)
                | Err(WriteError::Stale { .. } | WriteError::Missing(_) | WriteError::Closed) => {}
                // It stays until the next start; nothing depends on its going.
                Err(error) => tracing::warn!(%error, "can't remove an expired event"),
            }
        })
        .await;
}

/// The moment on the runtime's clock at which the API's clock will read `due`.
fn wait_for(api: &Api, due: Timestamp) -> Instant {
    let left = due.duration_since(api.clock.now());
    Instant::now() + Duration::try_from(left).unwrap_or_default()
}

fn key(events: &ResourceId, event: &Object) -> Key {
    let meta = event.meta();
    Key::new(events.clone(), meta.namespace.clone(), meta.name.clone())
}

fn last_seen(event: &Object) -> Option<Timestamp> {
    let value = event.value();
    let times = [
        &value["series"]["lastObservedTime"],
        &value["lastTimestamp"],
        &value["eventTime"],
        &value["metadata"]["creationTimestamp"],
    ];
    times.into_iter().filter_map(|time| time.as_str()?.parse().ok()).max()
}

#[cfg(test)]
mod tests;
