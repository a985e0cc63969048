//! A bell: rung when there is something new, heard by everyone who listens, in the order in which they began to wait.
//!
//! tokio's watch channel would do, but it wakes its receivers in an order drawn by chance. A server whose time and ids come from a seed must answer the same
//! requests with the same run, so nothing in it may be woken at random.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Rings.
#[derive(Debug, Default)]
pub(super) struct Bell(Arc<Rings>);

#[derive(Debug, Default)]
struct Rings {
    count: AtomicU64,
    waiting: Notify,
}

impl Bell {
    /// Wakes everyone who listens.
    pub(super) fn ring(&self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.waiting.notify_waiters();
    }

    /// Hears every ring from now on.
    pub(super) fn listen(&self) -> Ear {
        Ear { rings: self.0.clone(), heard: self.0.count.load(Ordering::SeqCst) }
    }
}

/// Listens.
#[derive(Debug)]
pub(crate) struct Ear {
    rings: Arc<Rings>,
    heard: u64,
}

impl Ear {
    /// Forgets the rings so far: the caller is about to look for itself.
    pub(super) fn forget(&mut self) {
        self.heard = self.rings.count.load(Ordering::SeqCst);
    }

    /// Waits for a ring that was not heard yet. Cancel-safe.
    pub(super) async fn rung(&mut self) {
        loop {
            let mut waiting = pin!(self.rings.waiting.notified());
            // Before the count is read, or a ring between the two would be missed.
            waiting.as_mut().enable();
            let count = self.rings.count.load(Ordering::SeqCst);
            if count != self.heard {
                self.heard = count;
                return;
            }
            waiting.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_ring_is_heard_once_by_everyone_and_never_missed() {
        let bell = Bell::default();
        let (mut a, mut b) = (bell.listen(), bell.listen());
        assert!(a.rung().now_or_never().is_none());
        bell.ring();
        bell.ring();
        assert!(a.rung().now_or_never().is_some());
        assert!(a.rung().now_or_never().is_none());
        b.forget();
        assert!(b.rung().now_or_never().is_none());
    }

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let bell = Bell::default();
        let order: Arc<parking_lot::Mutex<Vec<u32>>> = Arc::default();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..20 {
            let (mut ear, order) = (bell.listen(), order.clone());
            tasks.spawn(async move {
                ear.rung().await;
                order.lock().push(n);
            });
        }
        tokio::task::yield_now().await;
        bell.ring();
        tasks.join_all().await;
        assert_eq!(*order.lock(), (0..20).collect::<Vec<_>>());
    }
}
