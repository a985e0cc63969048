//! Sees every change of the store in the order of revisions, and checks the laws on each.
//!
//! It reads the store itself and not a watch over HTTP: nothing is late, nothing is merged, and a breach is found at the revision that made it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use apiserver::{Effect, ResourceId, Revision, Store, Watch};
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::family::Family;
use super::kruise::Kruise;
use super::laws::{Breach, Grace, Laws};
use super::story;
use super::view::{Change, View};
use super::x_k8s::XK8s;

/// Built-in kinds that the controllers and people write: group, plural and what the view calls it. Leases are seen too, but a renewal is no change of the world.
const BUILT_IN: [(&str, &str, &str); 6] = [
    ("", "pods", "pods"),
    ("", "services", "services"),
    ("", "persistentvolumeclaims", "persistentvolumeclaims"),
    ("networking.k8s.io", "networkpolicies", "networkpolicies"),
    ("", "events", "events"),
    ("coordination.k8s.io", "leases", "leases"),
];

/// How many of the latest changes a report shows.
const REMEMBERED: usize = 60;

/// Somebody who sees everything. Clones share their eyes.
#[derive(Clone)]
pub struct Bystander {
    seen: Arc<Mutex<Seen>>,
    breached: Arc<Notify>,
    changed: Arc<Notify>,
}

struct Seen {
    laws: Laws,
    lately: VecDeque<String>,
    last_change: Instant,
    revision: u64,
    changes: u64,
    hash: DefaultHasher,
}

impl Bystander {
    /// Begins to look. The task ends with the store.
    pub fn begin(store: &Store, grace: Grace) -> (Self, tokio::task::JoinHandle<()>) {
        let now = Instant::now();
        let bystander = Self {
            seen: Arc::new(Mutex::new(Seen {
                laws: Laws::new(grace),
                lately: VecDeque::new(),
                last_change: now,
                revision: 0,
                changes: 0,
                hash: DefaultHasher::new(),
            })),
            breached: Arc::new(Notify::new()),
            changed: Arc::new(Notify::new()),
        };
        let task = tokio::spawn(bystander.clone().look(store.clone(), now));
        (bystander, task)
    }

    async fn look(self, store: Store, begun: Instant) {
        let from = store.revision();
        let kinds = XK8s::KINDS.into_iter().chain(Kruise::KINDS).chain(BUILT_IN);
        let mut watches: Vec<(&str, Watch)> = kinds
            .filter_map(|(group, plural, shown)| {
                Some((shown, store.watch(&ResourceId::new(group, plural), from).ok()?))
            })
            .collect();
        let mut reached = from;
        loop {
            store.reached(Revision(reached.0 + 1)).await;
            reached = store.revision();
            // All up to `reached` is published, and nobody else runs until the next await: sorted, these are all changes in order.
            let mut changes = Vec::new();
            for (shown, watch) in &mut watches {
                while let Some(Ok(found)) = watch.next().now_or_never() {
                    if found.is_empty() {
                        return;
                    }
                    changes.extend(found.into_iter().map(|change| (*shown, change)));
                }
            }
            changes.sort_by_key(|(_, change)| change.revision);
            let at = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            for (shown, change) in changes {
                let key = &change.key;
                let place = (shown.to_owned(), key.namespace.clone(), key.name.clone());
                let change = Change {
                    revision: change.revision.0,
                    place,
                    old: change.old.as_ref().map(apiserver::Object::value),
                    new: (change.effect == Effect::Written).then(|| change.new.value()),
                    at,
                };
                self.take(&change);
            }
        }
    }

    fn take(&self, change: &Change) {
        let mut seen = self.seen.lock();
        let seen = &mut *seen;
        seen.revision = change.revision;
        seen.changes += 1;
        (change.revision, change.at, &change.place).hash(&mut seen.hash);
        change.new.as_ref().map(ToString::to_string).hash(&mut seen.hash);
        // A lease is renewed for ever, and events are swept away when they are old.
        let rest =
            change.place.0 == "leases" || (change.place.0 == "events" && change.new.is_none());
        if !rest {
            seen.last_change = Instant::now();
            if change.place.0 != "events" {
                if seen.lately.len() == REMEMBERED {
                    seen.lately.pop_front();
                }
                seen.lately.push_back(story::tell(change));
            }
        }
        seen.laws.observe(change);
        if !seen.laws.breaches().is_empty() {
            self.breached.notify_one();
        }
        self.changed.notify_one();
    }

    /// Waits for a change, until `limit` at most.
    pub async fn next_change(&self, limit: Instant) {
        tokio::select! {
            biased;
            () = self.changed.notified() => {}
            () = tokio::time::sleep_until(limit) => {}
        }
    }

    /// Notes a breach that no single change shows.
    pub fn accuse(&self, law: u8, what: String) {
        let mut seen = self.seen.lock();
        let revision = seen.revision;
        seen.laws.accuse(Breach { law, revision, what });
    }

    /// Waits for the first breach.
    pub async fn breached(&self) {
        while self.breaches().is_empty() {
            self.breached.notified().await;
        }
    }

    /// The breaches so far.
    pub fn breaches(&self) -> Vec<Breach> {
        self.seen.lock().laws.breaches().to_vec()
    }

    /// When anything but a lease was written last.
    pub fn last_change(&self) -> Instant {
        self.seen.lock().last_change
    }

    /// Checks what must hold when all is quiet.
    pub fn at_rest(&self) {
        let mut seen = self.seen.lock();
        let revision = seen.revision;
        seen.laws.at_rest(revision);
    }

    /// Looks at what was seen.
    pub fn view<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(self.seen.lock().laws.view())
    }

    /// The latest changes as lines.
    pub fn lately(&self) -> Vec<String> {
        self.seen.lock().lately.iter().cloned().collect()
    }

    /// How many changes there were, and a hash of all of them: two runs of one seed must agree on both.
    pub fn fingerprint(&self) -> (u64, u64) {
        let seen = self.seen.lock();
        (seen.changes, seen.hash.finish())
    }
}
