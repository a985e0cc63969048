//! How many writes are in flight, and that refill never takes them all.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Who waits for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A claim, or a sandbox that is claimed.
    Urgent,
    /// A warm sandbox, a pool's status, an annotation that may follow.
    Background,
}

/// The writes that may be in flight at once. kube's client opens one HTTP/1.1 connection per request in flight and sets no limit of its own.
#[derive(Debug)]
pub struct Permits {
    all: Semaphore,
    background: Semaphore,
}

/// Held while a write is in flight.
#[derive(Debug)]
pub struct Permit<'a> {
    _all: SemaphorePermit<'a>,
    _background: Option<SemaphorePermit<'a>>,
}

impl Permits {
    /// 64 at once: enough to keep a commit group full (a durable group commit takes about 1 ms, so this is 64,000 writes a second at most), and few
    /// enough connections for any API server's limits.
    pub const DEFAULT: usize = 64;

    /// At most `total` writes at once, of which a quarter is kept free for urgent ones.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let total = total.max(2);
        Permits { all: Semaphore::new(total), background: Semaphore::new((total * 3 / 4).max(1)) }
    }

    /// Waits for a place.
    pub async fn acquire(&self, urgency: Urgency) -> Permit<'_> {
        // The narrower door first: a background write that waits must not hold a place an urgent one could use.
        let background = match urgency {
            Urgency::Urgent => None,
            Urgency::Background => self.background.acquire().await.ok(),
        };
        let all = self.all.acquire().await.expect("the semaphore is never closed");
        Permit { _all: all, _background: background }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn background_writes_leave_a_quarter_to_urgent_ones() {
        let permits = Permits::new(8);
        let mut held = Vec::new();
        while let Some(permit) = permits.acquire(Urgency::Background).now_or_never() {
            held.push(permit);
        }
        assert_eq!(held.len(), 6);
        held.push(permits.acquire(Urgency::Urgent).now_or_never().unwrap());
        held.push(permits.acquire(Urgency::Urgent).now_or_never().unwrap());
        assert!(permits.acquire(Urgency::Urgent).now_or_never().is_none());
        held.clear();
        assert!(permits.acquire(Urgency::Background).now_or_never().is_some());
    }
}
