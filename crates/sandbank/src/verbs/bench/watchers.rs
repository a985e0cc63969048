//! What a measurement watches: claims that become ready, and how many sandboxes of the pool are.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dialects::condition::Condition;
use dialects::x_k8s::keys;
use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{oneshot, watch};

use super::report::Start;
use crate::exit::Error;
use crate::verbs::connect::Server;
use crate::verbs::objects::{
    Claim, Pool, Sandbox, Scope, claim_ready, claim_sandbox, sandbox_is_claimed, sandbox_is_ready,
};

/// A claim was seen to be ready.
#[derive(Debug)]
pub struct Arrival {
    /// When the watch showed it.
    pub at: Instant,
    /// How it got its sandbox.
    pub start: Start,
}

type Expected = Arc<Mutex<HashMap<String, oneshot::Sender<Arrival>>>>;

/// One watch over all claims of a run; it must be open before the first claim is made.
pub struct Arrivals {
    expected: Expected,
    task: tokio::task::JoinHandle<()>,
}

impl Arrivals {
    /// Opens the watch and returns once it is in place.
    pub async fn watch(server: &Server, selector: &str) -> Result<Self, Error> {
        let expected = Expected::default();
        let (opened_tx, opened) = oneshot::channel();
        let events = watcher::watcher(
            server.claims(Scope::Namespace),
            watcher::Config::default().labels(selector),
        );
        let task = tokio::spawn(dispatch(events, expected.clone(), opened_tx));
        let explain = |e| server.explain("watching claims", "`sandbank crds` prints the kinds", e);
        match opened.await {
            Ok(Ok(())) => Ok(Self { expected, task }),
            Ok(Err(watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e))) => {
                Err(explain(e))
            }
            Ok(Err(e)) => Err(Error::Failed(anyhow::Error::new(e).context("watching claims"))),
            Err(_) => Err(server.unreachable("the watch of claims ended".into())),
        }
    }

    /// Promises to tell when the claim `name` is ready. Ask before making the claim.
    pub fn expect(&self, name: &str) -> oneshot::Receiver<Arrival> {
        let (tx, rx) = oneshot::channel();
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), tx);
        rx
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn dispatch(
    events: impl futures::Stream<Item = watcher::Result<Event<Claim>>>,
    expected: Expected,
    opened: oneshot::Sender<watcher::Result<()>>,
) {
    let mut events = pin!(events);
    let mut opened = Some(opened);
    while let Some(event) = events.next().await {
        let claim = match event {
            Ok(Event::Apply(claim) | Event::InitApply(claim)) => claim,
            Ok(Event::InitDone) => {
                opened.take().map(|tx| tx.send(Ok(())));
                continue;
            }
            Ok(Event::Init | Event::Delete(_)) => continue,
            // Before the first claim an error ends the run; after it the watcher repairs itself.
            Err(e) => match opened.take() {
                Some(tx) => {
                    let _ = tx.send(Err(e));
                    return;
                }
                None => continue,
            },
        };
        if claim_ready(&claim).is_some_and(Condition::is_true) {
            let name = claim.name_any();
            let waiting = expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            if let Some(tx) = waiting {
                let _ = tx.send(Arrival { at: Instant::now(), start: start_of(&claim) });
            }
        }
    }
}

/// A sandbox made for a claim has the claim's name; one of a pool has its own.
fn start_of(claim: &Claim) -> Start {
    match claim_sandbox(claim) {
        Some(bound) if bound.name == claim.name_any() => Start::Cold,
        _ => Start::Warm,
    }
}

/// A watch of a pool's sandboxes: are as many ready to be claimed as it shall have?
///
/// The pool's own status is not asked: it follows a claim a moment later, and the next claim of a run would be made from a pool that only says it is full.
pub struct Fullness {
    pool: String,
    wanted: usize,
    ready: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

impl Fullness {
    /// Opens the watch.
    pub fn watch(server: &Server, pool: &Pool) -> Self {
        let name = pool.name_any();
        let selector = format!("{}={}", keys::POOL, keys::hash(&name));
        let events = watcher::watcher(
            server.sandboxes(Scope::Namespace),
            watcher::Config::default().labels(&selector),
        );
        let (tx, ready) = watch::channel(0);
        let task = tokio::spawn(count(events, tx));
        let wanted = usize::try_from(pool.spec.replicas.unwrap_or(1)).unwrap_or_default().max(1);
        Self { pool: name, wanted, ready, task }
    }

    /// Returns when the pool is full.
    pub async fn wait_until_full(&mut self, patience: Duration) -> Result<(), Error> {
        let wanted = self.wanted;
        let full =
            tokio::time::timeout(patience, self.ready.wait_for(|ready| *ready >= wanted)).await;
        match full {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::NotReady {
                what: format!("pool {}", self.pool),
                reason: format!("it was not full within {patience:?}"),
                next: format!("`sandbank why pool/{}` explains", self.pool),
            }),
        }
    }
}

impl Drop for Fullness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts the ready sandboxes that no claim holds. The write that gives one to a claim takes the pool's label off it, which ends it for this watch.
async fn count(
    events: impl futures::Stream<Item = watcher::Result<Event<Sandbox>>>,
    counted: watch::Sender<usize>,
) {
    let mut events = pin!(events);
    let mut ready = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(sandbox) | Event::InitApply(sandbox)) => {
                let name = sandbox.name_any();
                if sandbox_is_ready(&sandbox) && !sandbox_is_claimed(&sandbox) {
                    ready.insert(name);
                } else {
                    ready.remove(&name);
                }
            }
            Ok(Event::Delete(sandbox)) => {
                ready.remove(&sandbox.name_any());
            }
            // A new list, or an error that the watcher repairs with one; until then the pool counts as empty.
            Ok(Event::Init) | Err(_) => ready.clear(),
            Ok(Event::InitDone) => {}
        }
        counted.send_replace(ready.len());
    }
}
