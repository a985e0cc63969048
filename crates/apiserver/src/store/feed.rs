//! Everything that happens in the store, for loops that care about all resources at once.

use std::sync::Arc;

use tokio::sync::watch;

use super::bell::Ear;
use super::{Change, Forgotten, Shared, Store};
use crate::object::{Key, Object, Revision};

/// The changes of all resources after a revision, in order.
#[derive(Debug)]
pub(crate) struct Feed {
    shared: Arc<Shared>,
    cursor: Revision,
    reached: Ear,
    closed: watch::Receiver<bool>,
}

impl Store {
    /// Every change from now on.
    pub(crate) fn feed(&self) -> Feed {
        self.feed_after(self.shared.state.read().revision)
    }

    /// Every object, and every change after that, with nothing between.
    pub(crate) fn everything(&self) -> (Vec<(Key, Object)>, Feed) {
        let state = self.shared.state.read();
        (state.everything(), self.feed_after(state.revision))
    }

    fn feed_after(&self, cursor: Revision) -> Feed {
        let reached = self.shared.reached.listen();
        let closed = self.shared.closed.subscribe();
        Feed { shared: self.shared.clone(), cursor, reached, closed }
    }
}

impl Feed {
    /// The changes that are there already; may be none.
    ///
    /// An error means that the feed was read too slowly: begin again with [`Store::everything`].
    pub(crate) fn ready(&mut self) -> Result<Vec<Arc<Change>>, Forgotten> {
        self.reached.forget();
        let changes = self.shared.state.read().all_changes_after(self.cursor)?;
        if let Some(last) = changes.last() {
            self.cursor = last.revision;
        }
        Ok(changes)
    }

    /// Waits until there may be changes. Answers false once the store has closed. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> bool {
        if *self.closed.borrow() {
            return false;
        }
        tokio::select! {
            biased;
            () = self.reached.rung() => true,
            _ = self.closed.changed() => false,
        }
    }
}
