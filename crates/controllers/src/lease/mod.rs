//! One writer at a time, by a coordination Lease.
//!
//! A lease coordinates; it does not fence. Two processes may both believe they lead for a moment when clocks stall, and what keeps that harmless is that
//! every write that matters is conditional. The lease keeps them from working against each other all the time.
//!
//! The rule is a pure function ([`evaluate`]); [`run`] reads and writes the Lease object around it. A leader renews at a third of the term and stops
//! writing at two thirds without a renewal, one third before anybody else may take over. The embedded server has one controller and needs none of this:
//! [`Leadership::always`].

mod evaluate;
mod renew;

use tokio::sync::watch;
use tokio::time::Instant;

pub use evaluate::{Observation, Record, Step, evaluate};
pub use renew::{LeaseError, LeaseOptions, run};

/// The name of the Lease. The same as upstream's, so that the two can never act on one cluster together.
pub const LEASE_NAME: &str = "a3317529.agent-sandbox.x-k8s.io";

/// What this process may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// Somebody else leads, or nobody yet.
    Following,
    /// We lead and may write until the given instant, which every renewal moves.
    Leading {
        /// No write may start at or after this.
        write_until: Instant,
    },
    /// There is nobody to share with.
    Always,
}

/// A handle on the current [`Term`].
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Term>);

impl Leadership {
    /// Leadership that needs no lease.
    #[must_use]
    pub fn always() -> Self {
        Leadership(watch::channel(Term::Always).1)
    }

    /// A handle fed by [`run`].
    #[must_use]
    pub fn following() -> (watch::Sender<Term>, Self) {
        let (sender, receiver) = watch::channel(Term::Following);
        (sender, Leadership(receiver))
    }

    /// May a write start now?
    #[must_use]
    pub fn may_write(&self) -> bool {
        match *self.0.borrow() {
            Term::Following => false,
            Term::Leading { write_until } => Instant::now() < write_until,
            Term::Always => true,
        }
    }

    /// Waits until this process leads. Never returns if the lease task has ended without it.
    pub async fn acquired(&mut self) {
        if self.0.wait_for(|term| !matches!(term, Term::Following)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
