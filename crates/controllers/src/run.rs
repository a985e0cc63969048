//! Starting and stopping everything.

use tokio::sync::watch;

/// Whether the first listing of every kind is complete.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Receiver<bool>);

impl Readiness {
    /// A sender and its handle; not ready at first.
    #[must_use]
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Readiness(receiver))
    }

    /// Ready now?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.borrow()
    }
}
