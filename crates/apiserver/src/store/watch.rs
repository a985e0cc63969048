//! A watch: a cursor into a resource's history.
//!
//! Nothing is queued per watcher. A watcher that reads slowly falls behind in the shared history, and once the history
//! has moved past it, it is cut off; the writer never waits for anyone.

use std::sync::Arc;

use super::bell::Ear;
use super::{Change, Forgotten, Shared};
use crate::object::{ResourceId, Revision};

/// Changes handed over at once: bounds the time the state's lock is held for one watcher.
const CHUNK: usize = 256;

/// The changes of one resource after a revision, in order.
#[derive(Debug)]
pub struct Watch {
    pub(super) shared: Arc<Shared>,
    pub(super) resource: ResourceId,
    pub(super) cursor: Revision,
    pub(super) wake: Ear,
}

impl Watch {
    /// Waits for the next changes. An error means that this watcher was too slow and has missed some. Cancel-safe.
    /// Answers an empty list when the store has closed.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>, Forgotten> {
        loop {
            self.wake.forget();
            let changes =
                self.shared.state.read().changes_after(&self.resource, self.cursor, CHUNK)?;
            if let Some(last) = changes.last() {
                self.cursor = last.revision;
                return Ok(changes);
            }
            if *self.shared.closed.borrow() {
                return Ok(Vec::new());
            }
            let mut closed = self.shared.closed.subscribe();
            tokio::select! {
                biased;
                () = self.wake.rung() => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        }
    }

    /// A revision up to which everything has been handed over, as new as can be: what a bookmark may say. None while
    /// changes wait to be read.
    pub fn position(&mut self) -> Option<Revision> {
        let state = self.shared.state.read();
        match state.changes_after(&self.resource, self.cursor, 1) {
            Ok(changes) if changes.is_empty() => {
                self.cursor = self.cursor.max(state.revision);
                Some(self.cursor)
            }
            _ => None,
        }
    }
}
