//! What can be counted and timed.
//!
//! The names and labels of the first group are interface: dashboards and scale gates of the agents.x-k8s.io family read them, and `sets.rs` has those of
//! agents.kruise.io. The second group is ours, under `sandbank_`: it says what a claim costs and where its time goes.
//!
//! Everything is kept incrementally. A scrape costs the number of series, never a walk over the sandboxes.

mod families;
mod http;
mod sets;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;

pub use families::{CreationLabels, LatencyLabels, SandboxLabels, SandboxLatencyLabels, Verb};
pub use http::{ServeError, serve};
pub use sets::SetNumbers;

use crate::act::WriteError;
use crate::kinds::Kind;
use families::{
    AdoptionLabels, EventLabels, Families, FamilyLabels, KindLabels, PoolLabels, SubjectLabels,
    WriteLabels,
};

/// Where an observed wait of a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// A warm sandbox was there and was taken.
    Hit,
    /// Another writer was faster; the next candidate was tried.
    Conflict,
    /// A sandbox had to be started for the claim.
    Cold,
}

/// All metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    families: Families,
    sets: sets::Sets,
    registry: Arc<Registry>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Fresh metrics in a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let families = Families::register(&mut registry);
        let sets = sets::Sets::register(&mut registry);
        Metrics { families, sets, registry: Arc::new(registry) }
    }

    /// The text a scrape gets.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Encoding only fails when the writer does, and a String never does.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    /// One write, and how it ended.
    pub fn write(&self, verb: Verb, kind: Kind, error: Option<&WriteError>, took: Duration) {
        let labels =
            WriteLabels { verb, kind: kind.name(), result: error.map_or("ok", WriteError::label) };
        self.families.writes.get_or_create(&labels).inc();
        self.families
            .write_seconds
            .get_or_create(&KindLabels { kind: kind.name() })
            .observe(took.as_secs_f64());
    }

    /// How many writes were made so far, of the given verb and kind, with whatever result. For tests that count.
    #[must_use]
    pub fn writes(&self, verb: Verb, kind: Kind) -> u64 {
        [
            "ok",
            "gone",
            "conflict",
            "already_exists",
            "refused",
            "unavailable",
            "timed_out",
            "unreachable",
        ]
        .into_iter()
        .filter_map(|result| {
            let labels = WriteLabels { verb, kind: kind.name(), result };
            self.families.writes.get(&labels).map(|counter| counter.get())
        })
        .sum()
    }

    /// One look at a subject, and how long it waited to be looked at.
    pub fn reconcile(&self, subject: &'static str, waited: Duration, took: Duration) {
        let labels = SubjectLabels { subject };
        self.families.reconciles.get_or_create(&labels).inc();
        self.families.queue_seconds.get_or_create(&labels).observe(waited.as_secs_f64());
        self.families.reconcile_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// How many looks a kind of subject got so far.
    #[must_use]
    pub fn reconciles(&self, subject: &'static str) -> u64 {
        self.families.reconciles.get(&SubjectLabels { subject }).map_or(0, |counter| counter.get())
    }

    /// A look that ended in an error and is repeated after a pause.
    pub fn reconcile_failed(&self, subject: &'static str) {
        self.families.reconcile_failures.get_or_create(&SubjectLabels { subject }).inc();
    }

    /// How a claim came, or failed to come, to its sandbox; and how long the commit took.
    pub fn adoption(&self, namespace: &str, pool: &str, adoption: Adoption, took: Duration) {
        let result = match adoption {
            Adoption::Hit => "hit",
            Adoption::Conflict => "conflict",
            Adoption::Cold => "cold",
        };
        let labels = AdoptionLabels {
            namespace: namespace.to_string(),
            warmpool_name: pool.to_string(),
            result,
        };
        self.families.adoptions.get_or_create(&labels).inc();
        if adoption == Adoption::Hit {
            self.families.adoption_seconds.observe(took.as_secs_f64());
        }
    }

    /// From the commit of a claim to the moment its status was written.
    pub fn published(&self, took: Duration) {
        self.families.publish_seconds.observe(took.as_secs_f64());
    }

    /// A claim got its first sandbox.
    pub fn claim_created(&self, labels: CreationLabels) {
        self.families.claim_creation.get_or_create(&labels).inc();
    }

    /// From the claim's first sight by its webhook, by us, and by its client, to its readiness; each only if the time is known.
    pub fn claim_ready(
        &self,
        labels: &LatencyLabels,
        webhook: Option<Duration>,
        controller: Option<Duration>,
        client: Option<Duration>,
    ) {
        let f = &self.families;
        for (family, took) in [
            (&f.claim_startup, webhook),
            (&f.claim_controller_startup, controller),
            (&f.claim_client_startup, client),
        ] {
            if let Some(took) = took {
                family.get_or_create(labels).observe(took.as_secs_f64() * 1000.0);
            }
        }
    }

    /// From the creation of a sandbox to its readiness.
    pub fn sandbox_ready(&self, labels: &SandboxLatencyLabels, took: Duration) {
        self.families.sandbox_creation.get_or_create(labels).observe(took.as_secs_f64() * 1000.0);
    }

    /// A sandbox moved from one set of labels to another, appeared, or went.
    pub fn sandbox_moved(&self, from: Option<&SandboxLabels>, to: Option<&SandboxLabels>) {
        if from == to {
            return;
        }
        if let Some(labels) = from {
            let left = self.families.sandboxes.get_or_create(labels).dec();
            // `dec` answers the value before. An empty series is removed: namespaces and templates come and go.
            if left <= 1 {
                self.families.sandboxes.remove(labels);
            }
        }
        if let Some(labels) = to {
            self.families.sandboxes.get_or_create(labels).inc();
        }
    }

    /// What a pool reports.
    pub fn pool(
        &self,
        family: &'static str,
        namespace: &str,
        pool: &str,
        desired: u32,
        available: u32,
    ) {
        let (namespace, warmpool_name) = (namespace.to_owned(), pool.to_owned());
        let labels = PoolLabels { family, namespace, warmpool_name };
        self.families.pool_desired.get_or_create(&labels).set(i64::from(desired));
        self.families.pool_available.get_or_create(&labels).set(i64::from(available));
    }

    /// Whether a family is served: all of its kinds were listed.
    pub fn family_served(&self, family: &'static str, served: bool) {
        self.families.served.get_or_create(&FamilyLabels { family }).set(served.into());
    }

    /// A pool is gone.
    pub fn pool_gone(&self, family: &'static str, namespace: &str, pool: &str) {
        let (namespace, warmpool_name) = (namespace.to_owned(), pool.to_owned());
        let labels = PoolLabels { family, namespace, warmpool_name };
        self.families.pool_desired.remove(&labels);
        self.families.pool_available.remove(&labels);
    }

    /// An object that could not be decoded and is left out until it changes.
    pub fn undecodable(&self, kind: Kind) {
        self.families.undecodable.get_or_create(&KindLabels { kind: kind.name() }).inc();
    }

    /// A watch that broke and was begun again.
    pub fn watch_failed(&self, kind: Kind) {
        self.families.watch_failures.get_or_create(&KindLabels { kind: kind.name() }).inc();
    }

    /// Own writes that were not seen in time, so that planning went on without them.
    pub fn expectation_expired(&self, subject: &'static str) {
        self.families.expectations_expired.get_or_create(&SubjectLabels { subject }).inc();
    }

    /// An event that was written, or why it was not.
    pub fn event(&self, result: &'static str) {
        self.families.events.get_or_create(&EventLabels { result }).inc();
    }
}

#[cfg(test)]
mod tests;
