//! From what is known to what is done.
//!
//! ```text
//! Subject -> view (under the index's lock) -> engine::plan -> actions, status -> Writer
//!                                                                     |
//!                                                                     +-> Ledger: what we wrote, until it is seen
//! ```
//!
//! Pools are looked at by the same code in all families; what a look at a claim, a sandbox or a template is, each family says, out of the parts that are here:
//! conditional binds, children, lost answers, and the memory of all of it.
//!
//! A reconcile decides nothing. It gathers a view, asks the engine, carries the plan out and reports what happened. A failure is never answered on the spot by
//! a second try of the same write: the subject comes back after its backoff and is planned from what is true then. There are two exceptions, because what is
//! true can't be seen in the index: a create, or the write that gives a sandbox to a claim, whose answer was lost, is looked up before anything else is done.

mod bind;
mod children;
mod fill;
mod memory;
mod pool;
mod setback;

use std::sync::Arc;

use engine::Key;
use jiff::Timestamp;
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::act::{WRITE_TIMEOUT, WriteError, Writer, Written};
use crate::clock::Clock;
use crate::events::Events;
use crate::family::{Claim, Family, Looked, Sandbox, Template};
use crate::index::{Index, World};
use crate::kinds::Kind;
use crate::metrics::Metrics;
use crate::queue::Priority;
use crate::subject::Subject;
pub(crate) use bind::{Attempt, Bound, Reshelve};
pub(crate) use children::Made;
pub(crate) use memory::{Memory, Name};
pub(crate) use setback::Asked;

/// The numbers of an installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// The pools' numbers.
    pub pools: engine::pool::Settings,
    /// Whether claims get the annotations that say when they were first seen and first ready.
    pub annotations: Annotations,
}

/// Whether claims are annotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Annotations {
    /// They are, after they are ready.
    #[default]
    Lazily,
    /// They are not: one write less per claim, for installations that don't read them.
    Never,
}

/// Why a reconcile did not get to its end.
#[derive(Debug, Error)]
pub enum Failure {
    /// A write failed.
    #[error("{verb} {kind} {key}")]
    Write {
        /// What was attempted.
        verb: &'static str,
        /// On which kind.
        kind: Kind,
        /// On which object.
        key: Key,
        /// What came back.
        #[source]
        source: WriteError,
    },
    /// Several candidates in a row were taken by others; the index is behind.
    #[error("{tried} sandboxes were taken by others before {claim} could have them")]
    Contended {
        /// The claim.
        claim: Key,
        /// How many it tried.
        tried: u32,
    },
}

impl Failure {
    pub(crate) fn write(verb: &'static str, kind: Kind, key: &Key, source: WriteError) -> Self {
        Failure::Write { verb, kind, key: key.clone(), source }
    }
}

/// Everything a reconcile needs. One for all workers of a family.
pub struct Reconciler<F: Family> {
    pub(crate) index: Arc<Index<F>>,
    pub(crate) writer: Writer,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) tuning: Tuning,
    pub(crate) memory: Memory<F>,
    /// Refills that go on while their pool is planned again.
    pub(crate) fills: TaskTracker,
}

impl<F: Family> Reconciler<F> {
    /// A reconciler that remembers nothing yet. `seed` makes the names of new sandboxes repeatable.
    #[must_use]
    pub fn new(
        index: Arc<Index<F>>,
        writer: Writer,
        events: Events,
        metrics: Metrics,
        clock: Clock,
        tuning: Tuning,
        seed: u64,
    ) -> Self {
        Reconciler {
            index,
            writer,
            events,
            metrics,
            clock,
            tuning,
            memory: Memory::seeded(seed),
            fills: TaskTracker::new(),
        }
    }

    /// Looks at a subject once. Returns when to look again although nothing happened.
    ///
    /// # Errors
    /// When something has to be tried again after a pause.
    pub async fn reconcile(self: &Arc<Self>, subject: &Subject) -> Looked {
        let unknown = self.settle_lost_creates(subject).await?;
        let next = match subject {
            Subject::Claim(key) => F::Claim::reconcile(self, key).await,
            Subject::Sandbox(key) => F::Sandbox::reconcile(self, key).await,
            Subject::Pool(key) => self.pool(key).await,
            Subject::Template(key) => F::Template::reconcile(self, key).await,
        };
        Ok([next?, unknown].into_iter().flatten().min())
    }

    /// Waits for refills that are under way. After the writer lost its leadership they end by themselves.
    pub async fn finish(&self) {
        self.fills.close();
        self.fills.wait().await;
    }

    /// Whether the subject may be planned now; if not, when it may at the latest.
    pub(crate) fn hold_back(&self, subject: &Subject) -> Option<Timestamp> {
        let now = self.clock.now();
        let mut world = self.index.world();
        self.expire(&mut world, subject, now);
        if world.ledger.may_plan(subject) {
            return None;
        }
        now.checked_add(engine::expect::GIVE_UP).ok().or(Some(now))
    }

    /// Notes what a write of this subject made, so that it is not planned again before that is seen.
    pub(crate) fn wrote(&self, subject: &Subject, kind: Kind, written: &Written) {
        self.expect(subject, kind, &written.key, written.version);
    }

    /// The object is known to be in this version; the subject waits until the index knows it too. The object itself does not enter the index by this way: its
    /// deletion may have been seen already, and nothing would ever take it out again.
    pub(crate) fn expect(
        &self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        version: engine::Version,
    ) {
        let mut world = self.index.world();
        let seen = world.seen_version(kind, key);
        world.ledger.wrote(subject, kind, key, version, seen, self.clock.now());
    }

    /// Gives up on own writes that were never seen again.
    pub(crate) fn expire(&self, world: &mut World<F>, subject: &Subject, now: Timestamp) {
        let expired = world.ledger.expire(subject, now);
        if expired > 0 {
            tracing::warn!(%subject, expired, "own writes were never seen again; planning without them");
            self.metrics.expectation_expired(subject.word());
        }
    }

    /// A create whose answer was lost may have happened: before the subject is planned again, each is looked up by its name. It may also still happen, if the
    /// request is late. Under a name that we made up the next attempt would not meet it, so it counts as coming until a second look, a write's time limit after
    /// the first. Returns when that is.
    async fn settle_lost_creates(&self, subject: &Subject) -> Looked {
        let mut again = None;
        for (kind, key, lost) in self.memory.lost_creates(subject) {
            if let Some(at) = lost.look_at().filter(|at| *at > Instant::now()) {
                again = again.into_iter().chain([self.timestamp_of(at)]).min();
                continue;
            }
            let found = self.writer.look::<serde_json::Value>(kind, &key).await;
            match found.map_err(|source| Failure::write("look at", kind, &key, source))? {
                // The watch will show it, and that settles the expectation.
                Some(_) => {
                    tracing::info!(%subject, %kind, object = %key, "a create whose answer was lost had happened")
                }
                None if lost.is_decided() => {
                    self.index.world().ledger.create_refused(subject, kind, &key);
                }
                None => {
                    self.memory.create_missed(subject, kind, &key);
                    let at = self.timestamp_of(Instant::now() + WRITE_TIMEOUT);
                    again = again.into_iter().chain([at]).min();
                    continue;
                }
            }
            self.memory.create_settled(subject, kind, &key);
        }
        Ok(again)
    }

    pub(crate) fn wake(&self, subject: Subject, priority: Priority) {
        self.index.wake(subject, priority);
    }
}
