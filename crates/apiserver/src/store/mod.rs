//! The store: every object in memory to read, a log behind it to survive.
//!
//! The contract, held against a model by a property test for each kind of log:
//!
//! 1. revisions grow by one per changed object, over the whole store;
//! 2. a list at revision R followed by a watch from R shows every change once, in order;
//! 3. a write that changes nothing gets no revision and wakes nobody;
//! 4. a crash loses only writes that were not acknowledged;
//! 5. a watch from a forgotten revision fails distinctly ([`Forgotten`]);
//! 6. a slow watcher is cut off; it never stalls the writer.

mod bell;
mod durable;
mod feed;
mod log;
mod state;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use durable::OpenError;
pub use watch::Watch;

use crate::object::{Draft, Key, Object, ResourceId, Revision};
use bell::{Bell, Ear};
use log::Log;
use state::{HISTORY_CHANGES, State};
use writer::Submission;

/// Submissions that may wait for the writer. A full queue makes callers wait, which is the only brake a store in trouble
/// has; a commit takes 256 of them.
const QUEUE: usize = 4096;

/// Where objects survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOptions {
    /// Nowhere: for tests and simulations. One thread, no file, no clock.
    Memory,
    /// In one file, made durable before a write is acknowledged.
    Durable {
        /// The file; its folder must exist.
        path: PathBuf,
    },
}

/// A set of writes that happen together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// What must hold beside the conditions of the operations themselves.
    pub requires: Vec<Require>,
    /// The writes, each on a different key.
    pub operations: Vec<Operation>,
}

/// A condition on an object that the transaction does not write.
#[derive(Debug, Clone)]
pub enum Require {
    /// The object is there and nobody asked for its deletion: a namespace one creates in.
    Alive(Key),
    /// The object is not there.
    Absent(Key),
}

/// One write.
#[derive(Debug, Clone)]
pub enum Operation {
    /// The key must be free.
    Create {
        /// Where.
        key: Key,
        /// What.
        draft: Draft,
    },
    /// The key must hold the revision that the new state was computed from.
    Update {
        /// Where.
        key: Key,
        /// The revision read.
        expected: Revision,
        /// The new state.
        draft: Draft,
    },
    /// The key must hold this revision.
    Delete {
        /// Where.
        key: Key,
        /// The revision read.
        expected: Revision,
    },
}

impl Operation {
    /// The key it writes.
    pub fn key(&self) -> &Key {
        match self {
            Self::Create { key, .. } | Self::Update { key, .. } | Self::Delete { key, .. } => key,
        }
    }
}

/// Why a transaction wrote nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// A create found the key taken.
    #[error("{0} exists already")]
    Exists(Key),
    /// An update or a delete found the key free.
    #[error("{0} does not exist")]
    Missing(Key),
    /// An update or a delete found another revision.
    #[error("{key} is at revision {found}, not {expected}")]
    Stale {
        /// Where.
        key: Key,
        /// What the writer had read.
        expected: Revision,
        /// What is there.
        found: Revision,
    },
    /// A [`Require`] does not hold.
    #[error("{0} is gone or going")]
    NotAlive(Key),
    /// A [`Require::Absent`] does not hold.
    #[error("{0} is there")]
    NotAbsent(Key),
    /// Two operations of one transaction name this key.
    #[error("{0} is written twice by one transaction")]
    Twice(Key),
    /// The disk is full. Nothing was written; reading goes on, and so does writing once there is room.
    #[error("no space left for the log: {0}")]
    NoSpace(String),
    /// The log failed otherwise.
    #[error("append to the log: {0}")]
    Log(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// What one change did to one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The revision of the change.
    pub revision: Revision,
    /// Where.
    pub key: Key,
    /// The state before; none for a create.
    pub old: Option<Object>,
    /// The state after. For a delete the last state under the revision of the deletion.
    pub new: Object,
    /// Whether the object is gone.
    pub effect: Effect,
}

/// Whether a change left the object there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Created or updated.
    Written,
    /// Deleted.
    Removed,
}

/// The history asked for is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is forgotten; the oldest known is {oldest}")]
pub struct Forgotten {
    /// What was asked for.
    pub asked: Revision,
    /// The oldest revision that can be answered.
    pub oldest: Revision,
}

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Of which resource.
    pub resource: &'a ResourceId,
    /// Inside which namespace; none for all, and for cluster-scoped resources.
    pub namespace: Option<&'a str>,
    /// Namespace and name after which to begin.
    pub after: Option<(&'a str, &'a str)>,
    /// How many at most.
    pub limit: Option<usize>,
}

impl<'a> Query<'a> {
    /// Everything of a resource.
    pub fn all(resource: &'a ResourceId) -> Self {
        Self { resource, namespace: None, after: None, limit: None }
    }

    /// Everything of a resource in one namespace.
    pub fn within(resource: &'a ResourceId, namespace: &'a str) -> Self {
        Self { namespace: Some(namespace), ..Self::all(resource) }
    }
}

/// Objects at one revision, ordered by namespace and name.
#[derive(Debug, Default)]
pub struct Listing {
    /// The revision of the whole store they were read at.
    pub revision: Revision,
    /// The objects.
    pub items: Vec<Object>,
    /// How many more there are after the last.
    pub remaining: usize,
}

#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
    /// Rung when a revision is published.
    reached: Bell,
    /// Turns true when the store closes: ends watches.
    closed: tokio::sync::watch::Sender<bool>,
}

/// The store. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    queue: Arc<Mutex<Option<mpsc::Sender<Submission>>>>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Store {
    /// Opens the store and starts its writer on the current runtime.
    pub async fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        Self::open_with_history(options, HISTORY_CHANGES).await
    }

    /// As [`Store::open`], remembering `history` changes of each resource.
    pub async fn open_with_history(
        options: &StoreOptions,
        history: usize,
    ) -> Result<Self, OpenError> {
        match options {
            StoreOptions::Memory => {
                // Clients read revision zero as "anything you have", so the first state is one.
                Ok(Self::start(State::new(Revision(1), [], history), None))
            }
            StoreOptions::Durable { path } => {
                let (log, recovered) = durable::DurableLog::open(path.clone()).await?;
                let revision = recovered.revision.max(Revision(1));
                let state = State::new(revision, recovered.objects, history);
                Ok(Self::start(state, Some(Box::new(log))))
            }
        }
    }

    fn start(state: State, log: Option<Box<dyn Log>>) -> Self {
        let shared = Arc::new(Shared {
            reached: Bell::default(),
            closed: tokio::sync::watch::channel(false).0,
            state: RwLock::new(state),
        });
        let (queue, submissions) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(writer::run(shared.clone(), submissions, log));
        Self {
            shared,
            queue: Arc::new(Mutex::new(Some(queue))),
            writer: Arc::new(Mutex::new(Some(writer))),
        }
    }

    /// The revision of the newest change.
    pub fn revision(&self) -> Revision {
        self.shared.state.read().revision
    }

    /// Waits until the store has reached `revision`.
    pub async fn reached(&self, revision: Revision) {
        let mut reached = self.shared.reached.listen();
        while self.revision() < revision {
            reached.rung().await;
        }
    }

    /// The object at a key.
    pub fn get(&self, key: &Key) -> Option<Object> {
        self.shared.state.read().get(key).cloned()
    }

    /// Objects as they are now.
    pub fn list(&self, query: &Query<'_>) -> Listing {
        self.shared.state.read().list(query)
    }

    /// Objects as they were at `revision`.
    pub fn list_at(&self, query: &Query<'_>, revision: Revision) -> Result<Listing, Forgotten> {
        self.shared.state.read().list_at(query, revision)
    }

    /// The changes of a resource after `from`. A `from` in the future waits in silence.
    pub fn watch(&self, resource: &ResourceId, from: Revision) -> Result<Watch, Forgotten> {
        let wake = self.shared.state.write().subscribe(resource, from)?;
        Ok(self.watch_with(resource, from, wake))
    }

    /// A list and the changes after it, with nothing between.
    pub fn list_and_watch(&self, query: &Query<'_>) -> (Listing, Watch) {
        let mut state = self.shared.state.write();
        let listing = state.list(query);
        let wake = state
            .subscribe(query.resource, listing.revision)
            .expect("the present is always inside the history");
        drop(state);
        let watch = self.watch_with(query.resource, listing.revision, wake);
        (listing, watch)
    }

    fn watch_with(&self, resource: &ResourceId, cursor: Revision, wake: Ear) -> Watch {
        Watch { shared: self.shared.clone(), resource: resource.clone(), cursor, wake }
    }

    /// Writes all of a transaction or none of it; returns once it is durable and published, with one object per
    /// operation. An update that changes nothing returns the object as it was. A caller that gives up waiting does not
    /// take the write back.
    pub async fn commit(&self, transaction: Transaction) -> Result<Vec<Object>, WriteError> {
        let queue = self.queue.lock().clone().ok_or(WriteError::Closed)?;
        let (reply, outcome) = oneshot::channel();
        queue.send(Submission { transaction, reply }).await.map_err(|_| WriteError::Closed)?;
        outcome.await.map_err(|_| WriteError::Closed)?
    }

    /// Commits a transaction of one operation.
    pub async fn write(&self, operation: Operation) -> Result<Object, WriteError> {
        let operations = vec![operation];
        let mut objects = self.commit(Transaction { requires: Vec::new(), operations }).await?;
        objects.pop().ok_or(WriteError::Closed)
    }

    /// Finishes what is queued, ends all watches and lets go of the file. Later writes answer [`WriteError::Closed`].
    pub async fn close(&self) {
        self.queue.lock().take();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer {
            let _ = writer.await;
        }
        self.shared.closed.send_replace(true);
    }
}
