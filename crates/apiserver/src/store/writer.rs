//! The one task that writes.
//!
//! It takes what has queued up while the previous commit ran, checks every condition in memory, gives out consecutive
//! revisions, commits once, publishes in order and only then answers. That is group commit without a timer, and it makes
//! each watch event safe: nothing is seen that could be lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::log::{Batch, Entry, Log};
use super::{Change, Effect, Operation, Require, Shared, Transaction, WriteError};
use crate::object::{Key, Object, Revision};

/// Transactions per commit. Past a few hundred the cost of a sync is spread so thin that more only adds waiting.
const BATCH_LIMIT: usize = 256;

/// What each transaction is answered with: its objects, in the order of its operations.
pub(super) type Outcome = Result<Vec<Object>, WriteError>;

/// A transaction and who waits for it.
pub(super) struct Submission {
    pub(super) transaction: Transaction,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// Runs until every sender is gone, then lets go of the log.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Submission>,
    mut log: Option<Box<dyn Log>>,
) {
    let mut submissions = Vec::with_capacity(BATCH_LIMIT);
    while queue.recv_many(&mut submissions, BATCH_LIMIT).await > 0 {
        let (outcomes, changes) = {
            let state = shared.state.read();
            let mut stage = Stage::new(&state);
            let outcomes: Vec<(Outcome, oneshot::Sender<Outcome>)> = submissions
                .drain(..)
                .map(|submission| (stage.apply(submission.transaction), submission.reply))
                .collect();
            (outcomes, stage.changes)
        };
        let failure = match (&mut log, changes.last()) {
            (Some(log), Some(last)) => {
                let entries = changes.iter().map(entry).collect();
                log.append(Batch { revision: last.revision, entries }).await.err()
            }
            _ => None,
        };
        if let Some(error) = failure {
            tracing::error!(%error, writes = changes.len(), "the log refused a commit; nothing of it counts");
            // Even a refusal inside this batch may rest on a write of the batch, so all get the same answer.
            for (_, reply) in outcomes {
                let _ = reply.send(Err(error.clone().into()));
            }
            continue;
        }
        if !changes.is_empty() {
            shared.state.write().publish(changes);
            shared.reached.ring();
        }
        for (outcome, reply) in outcomes {
            // Whoever asked may have gone; the write stands.
            let _ = reply.send(outcome);
        }
    }
    if let Some(log) = log {
        log.close().await;
    }
}

fn entry(change: &Change) -> Entry {
    let new = match change.effect {
        Effect::Written => Some(change.new.clone()),
        Effect::Removed => None,
    };
    Entry { key: change.key.clone(), old: change.old.clone(), new }
}

/// The state as it will be once this batch is durable.
struct Stage<'a> {
    state: &'a super::state::State,
    /// Keys changed by this batch; none for those deleted.
    ahead: BTreeMap<Key, Option<Object>>,
    changes: Vec<Change>,
    revision: Revision,
}

impl<'a> Stage<'a> {
    fn new(state: &'a super::state::State) -> Self {
        Self { state, ahead: BTreeMap::new(), changes: Vec::new(), revision: state.revision }
    }

    fn get(&self, key: &Key) -> Option<&Object> {
        match self.ahead.get(key) {
            Some(object) => object.as_ref(),
            None => self.state.get(key),
        }
    }

    /// Checks everything before it changes anything, so a refused transaction leaves no trace.
    fn apply(&mut self, transaction: Transaction) -> Outcome {
        for require in &transaction.requires {
            match require {
                Require::Alive(key) => match self.get(key) {
                    Some(object) if !object.meta().is_deleting() => {}
                    _ => return Err(WriteError::NotAlive(key.clone())),
                },
                Require::Absent(key) if self.get(key).is_some() => {
                    return Err(WriteError::NotAbsent(key.clone()));
                }
                Require::Absent(_) => {}
            }
        }
        for (index, operation) in transaction.operations.iter().enumerate() {
            if transaction.operations[..index].iter().any(|other| other.key() == operation.key()) {
                return Err(WriteError::Twice(operation.key().clone()));
            }
            self.check(operation)?;
        }
        Ok(transaction.operations.into_iter().map(|operation| self.perform(operation)).collect())
    }

    fn check(&self, operation: &Operation) -> Result<(), WriteError> {
        let (key, expected) = match operation {
            Operation::Create { key, .. } if self.get(key).is_some() => {
                return Err(WriteError::Exists(key.clone()));
            }
            Operation::Create { .. } => return Ok(()),
            Operation::Update { key, expected, .. } | Operation::Delete { key, expected } => {
                (key, *expected)
            }
        };
        match self.get(key) {
            None => Err(WriteError::Missing(key.clone())),
            Some(object) if object.revision() != expected => {
                let found = object.revision();
                Err(WriteError::Stale { key: key.clone(), expected, found })
            }
            Some(_) => Ok(()),
        }
    }

    fn perform(&mut self, operation: Operation) -> Object {
        let (key, draft) = match operation {
            Operation::Create { key, draft } | Operation::Update { key, draft, .. } => {
                (key, Some(draft))
            }
            Operation::Delete { key, .. } => (key, None),
        };
        let old = self.get(&key).cloned();
        if let (Some(draft), Some(old)) = (&draft, &old)
            && draft.same_as(old)
        {
            return old.clone();
        }
        let revision = self.revision.next();
        let (new, effect) = match (&draft, &old) {
            (Some(draft), _) => (draft.seal(revision), Effect::Written),
            (None, Some(old)) => (old.at_revision(revision), Effect::Removed),
            (None, None) => unreachable!("`check` found the object to delete"),
        };
        self.revision = revision;
        let ahead = (effect == Effect::Written).then(|| new.clone());
        self.ahead.insert(key.clone(), ahead);
        self.changes.push(Change { revision, key, old, new: new.clone(), effect });
        new
    }
}
