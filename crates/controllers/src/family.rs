//! What an API family brings, so that everything else exists once.
//!
//! ```text
//!               generic over F: Family                         one module per family: x_k8s, kruise
//!   Index<F> World<F> Queue Reconciler<F> pools binds   <---   Family: four object types, `Own` tables, what to watch
//!                                                              Sandbox, Pool, Claim, Template: one trait per kind of object, each in a file of its own
//! ```
//!
//! Generic is what is truly the same: how a watch becomes a table and a table's change a wake-up, what is counted before it is seen, how a pool is filled in
//! waves, how a sandbox is given away by one conditional write and what a lost answer means. Not generic is where families differ: what a claim asks for, what
//! a sandbox is made of, how a status is worded. Where the generic code has to act differently, a family chooses between *named* behaviours ([`Order`],
//! [`Pool::BURST`]); nothing ever asks which family it is.
//!
//! Each family has its own world, queue and workers. They share the writer with its permits, the leadership, the events and the metrics.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use engine::backoff::Backoff;
use engine::pool::{PoolPlan, PoolView, Settings};
use engine::shelf::Pick;
use engine::{Holder, Key, Member, Precondition, Reason, Revision, Strategy, Version};
use jiff::Timestamp;
use serde_json::Value;

use crate::act::WriteError;
use crate::events::Severity;
use crate::index::decode::Watched;
use crate::index::{Indexed, World};
use crate::kinds::Kind;
use crate::metrics::Metrics;
use crate::queue::Priority;
use crate::reconcile::{Failure, Reconciler};
use crate::why::Link;

/// When to look again although nothing happened, or why the look did not get to its end.
pub type Looked = Result<Option<Timestamp>, Failure>;

/// An API family.
pub trait Family: Sized + Debug + Send + Sync + 'static {
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// Its sandboxes.
    type Sandbox: Sandbox<Self>;
    /// Its pools.
    type Pool: Pool<Self>;
    /// Its claims.
    type Claim: Claim<Self>;
    /// Its templates.
    type Template: Template<Self>;
    /// The tables, links and options that only this family keeps in its world.
    type Own: Debug + Send;
    /// What only this family's reconciles remember between two looks. A cache, like all memory.
    type Notes: Default + Send + Sync;

    /// The kind of its sandboxes.
    const SANDBOX: Kind = <Self::Sandbox as Watched>::KIND;
    /// The kind of its pools.
    const POOL: Kind = <Self::Pool as Watched>::KIND;
    /// The kind of its claims.
    const CLAIM: Kind = <Self::Claim as Watched>::KIND;
    /// The kind of its templates.
    const TEMPLATE: Kind = <Self::Template as Watched>::KIND;

    /// Names every kind that it keeps in its world.
    fn watch(watches: &mut impl Watches<Self>);

    /// The version in which an object of a kind that only this family keeps is known.
    fn seen_version(own: &Self::Own, kind: Kind, key: &Key) -> Option<Version>;

    /// Why an object of one of the four kinds is in the state it is in; nothing if the kind is none of them.
    fn explain(world: &World<Self>, kind: Kind, name: &Key, now: Timestamp) -> Option<Link>;
}

/// Takes the kinds of a family, one by one.
pub trait Watches<F: Family> {
    /// Objects of this kind that carry this label are kept; all of them if there is none.
    fn kind<T: Indexed<F>>(&mut self, label: Option<&'static str>);
}

/// A family's sandbox.
pub trait Sandbox<F: Family>: Indexed<F> {
    /// Who controls it.
    fn holder(sandbox: &Self) -> Holder;

    /// As its pool counts it.
    fn member(world: &World<F>, sandbox: &Self) -> Option<Member>;

    /// The pools that count it: the one that holds it, and in some families those that it names.
    fn pools(world: &World<F>, sandbox: &Self) -> Vec<Key> {
        match Self::holder(sandbox) {
            Holder::Pool(uid) => world.pool_of_uid.get(&uid).cloned().into_iter().collect(),
            Holder::Claim(_) | Holder::Other | Holder::Nobody => Vec::new(),
        }
    }

    /// Whether somebody waits for it, which a change from `old` may have made so.
    fn urgency(old: Option<&Self>, new: &Self) -> Priority;

    /// Looks at one sandbox: its pod and whatever else it is made of, and its status.
    fn reconcile(this: &Arc<Reconciler<F>>, key: &Key) -> impl Future<Output = Looked> + Send;
}

/// A family's pool. Pools are reconciled by the same code in all families; this is what it needs to know.
pub trait Pool<F: Family>: Indexed<F> {
    /// Which of several sandboxes a claim gets.
    const PICK: Pick;
    /// What comes first when a plan has both a report and writes.
    const ORDER: Order;
    /// How many reports may follow each other without a pause; at least one. A family whose clients watch single steps needs more.
    const BURST: u32;
    /// The event reasons for a pool that stops getting on, and for one that goes on.
    const STALLED: [&'static str; 2];

    /// What its shelf may hand out.
    fn terms(world: &World<F>, pool: &Self) -> Terms;

    /// A pool and everything that bears on it.
    fn view(world: &World<F>, pool: &Self, backoff: Backoff, settings: Settings) -> PoolView;

    /// What makes the bodies of new members, by name; nothing if the template does not have this revision any more.
    fn blueprint(
        world: &World<F>,
        pool: &Arc<Self>,
        revision: &Revision,
    ) -> Option<impl Fn(&Key) -> Value + Send + Sync + 'static>;

    /// The merge patch that makes the pool the owner of an orphan.
    fn adopt(pool: &Self, precondition: &Precondition) -> Value;

    /// What to write to its status; nothing if it says all that already.
    fn report(world: &World<F>, pool: &Self, plan: &PoolPlan, now: Timestamp) -> Option<Report>;

    /// Counts a pool as this family's dashboards read it, beyond what is counted for all families; without a plan it is gone.
    fn measure(_metrics: &Metrics, _key: &Key, _now: Option<(&Self, &PoolPlan)>) {}

    /// Counts sandboxes that were made for a pool.
    fn made(_metrics: &Metrics, _key: &Key, _count: usize) {}

    /// The event about something that was done for a pool; none unless the family has one.
    fn remark(_deed: &Deed<'_>) -> Option<Remark> {
        None
    }
}

/// Something that was done for a pool.
#[derive(Clone, Copy, Debug)]
pub enum Deed<'a> {
    /// Sandboxes were made.
    Made {
        /// How many.
        count: usize,
        /// One of them.
        example: &'a str,
    },
    /// One could not be made.
    Refused {
        /// Why.
        error: &'a WriteError,
    },
    /// One was removed.
    Removed {
        /// Which.
        sandbox: &'a str,
        /// Why.
        why: &'a Reason,
    },
}

/// An event about a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How it is shown.
    pub severity: Severity,
    /// The reason, in CamelCase.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// A family's claim.
pub trait Claim<F: Family>: Indexed<F> {
    /// Looks at one claim.
    fn reconcile(this: &Arc<Reconciler<F>>, key: &Key) -> impl Future<Output = Looked> + Send;
}

/// A family's template.
pub trait Template<F: Family>: Indexed<F> {
    /// Looks at one template.
    fn reconcile(this: &Arc<Reconciler<F>>, key: &Key) -> impl Future<Output = Looked> + Send;
}

/// What a pool's shelf may hand out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How stale ones are replaced, which decides whether they are handed out meanwhile.
    pub strategy: Strategy,
    /// What is fresh; nothing while there is no template.
    pub revision: Option<Revision>,
}

/// What a pool does first when a plan has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The writes are started, then the status is written beside them: the shortest refill.
    WritesFirst,
    /// The status is written, then the writes are started: whoever watches sees what the plan was made from before its effects.
    ReportFirst,
}

/// A change of a pool's status.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The merge patch, with the new status.
    pub patch: Value,
    /// How soon it has to be written.
    pub weight: Weight,
}

/// How much a report matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Only numbers moved; it may wait until more of them have.
    Counts,
    /// It says something new in words, and is written at once.
    Verdict,
}
