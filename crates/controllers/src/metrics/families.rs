//! The metric families: names, labels and buckets.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Interface: milliseconds of a claim.
const CLAIM_MS: [f64; 15] = [
    100.0, 250.0, 500.0, 750.0, 1000.0, 1250.0, 1500.0, 2000.0, 2500.0, 5000.0, 10_000.0, 30_000.0,
    60_000.0, 120_000.0, 240_000.0,
];

/// Interface: milliseconds of a sandbox.
const SANDBOX_MS: [f64; 14] = [
    50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0, 60_000.0, 120_000.0,
    240_000.0, 300_000.0, 600_000.0,
];

/// Ours, in seconds: from a tenth of a millisecond, because that is where our own steps are, to ten seconds, twice the time limit of a write.
const STEP_SECONDS: [f64; 12] =
    [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 5.0, 10.0];

/// Labels of the claim latencies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LatencyLabels {
    /// `warm`, `cold` or `unknown`.
    pub launch_type: &'static str,
    /// The template's name, or `__unknown__`.
    pub sandbox_template: String,
}

/// Labels of the sandbox creation latency.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SandboxLatencyLabels {
    /// The namespace.
    pub namespace: String,
    /// `warm`, `cold` or `unknown`.
    pub launch_type: &'static str,
    /// The template's name, or `unknown`.
    pub sandbox_template: String,
}

/// Labels of the counter of claims that got a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CreationLabels {
    /// The namespace.
    pub namespace: String,
    /// The template's name, or `__unknown__`.
    pub sandbox_template: String,
    /// `warm` or `cold`.
    pub launch_type: &'static str,
    /// The pool.
    pub warmpool_name: String,
    /// `ready` or `not_ready`.
    pub pod_condition: &'static str,
    /// Who made the claim, normalised.
    pub created_by: &'static str,
}

/// Labels of the gauge of sandboxes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SandboxLabels {
    /// The namespace.
    pub namespace: String,
    /// `true` or `false`.
    pub ready_condition: &'static str,
    /// `true` or `false`.
    pub expired: &'static str,
    /// `warm`, `cold` or `unknown`.
    pub launch_type: &'static str,
    /// The template's name, or `unknown`.
    pub sandbox_template: String,
    /// `SandboxClaim`, `SandboxWarmPool` or `None`.
    pub owned_by: &'static str,
    /// Who made it, normalised.
    pub created_by: &'static str,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Verb {
    /// A POST.
    Create,
    /// A patch of the object.
    Patch,
    /// A patch of its status.
    PatchStatus,
    /// A DELETE.
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WriteLabels {
    pub verb: Verb,
    pub kind: &'static str,
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabels {
    pub kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SubjectLabels {
    pub subject: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AdoptionLabels {
    pub namespace: String,
    pub warmpool_name: String,
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PoolLabels {
    pub family: &'static str,
    pub namespace: String,
    pub warmpool_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FamilyLabels {
    pub family: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EventLabels {
    pub result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    git_version: &'static str,
    git_commit: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    compiler: &'static str,
    platform: String,
}

type Timed<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone)]
pub(super) struct Families {
    pub claim_startup: Timed<LatencyLabels>,
    pub claim_controller_startup: Timed<LatencyLabels>,
    pub claim_client_startup: Timed<LatencyLabels>,
    pub sandbox_creation: Timed<SandboxLatencyLabels>,
    pub claim_creation: Family<CreationLabels, Counter>,
    pub sandboxes: Family<SandboxLabels, Gauge<i64, AtomicI64>>,
    pub writes: Family<WriteLabels, Counter>,
    pub write_seconds: Timed<KindLabels>,
    pub reconciles: Family<SubjectLabels, Counter>,
    pub reconcile_failures: Family<SubjectLabels, Counter>,
    pub queue_seconds: Timed<SubjectLabels>,
    pub reconcile_seconds: Timed<SubjectLabels>,
    pub adoptions: Family<AdoptionLabels, Counter>,
    pub adoption_seconds: Histogram,
    pub publish_seconds: Histogram,
    pub pool_desired: Family<PoolLabels, Gauge>,
    pub pool_available: Family<PoolLabels, Gauge>,
    pub served: Family<FamilyLabels, Gauge>,
    pub undecodable: Family<KindLabels, Counter>,
    pub watch_failures: Family<KindLabels, Counter>,
    pub expectations_expired: Family<SubjectLabels, Counter>,
    pub events: Family<EventLabels, Counter>,
}

fn claim_histogram() -> Histogram {
    Histogram::new(CLAIM_MS)
}

fn sandbox_histogram() -> Histogram {
    Histogram::new(SANDBOX_MS)
}

fn step_histogram() -> Histogram {
    Histogram::new(STEP_SECONDS)
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Families {
            claim_startup: Family::new_with_constructor(claim_histogram),
            claim_controller_startup: Family::new_with_constructor(claim_histogram),
            claim_client_startup: Family::new_with_constructor(claim_histogram),
            sandbox_creation: Family::new_with_constructor(sandbox_histogram),
            claim_creation: Family::default(),
            sandboxes: Family::default(),
            writes: Family::default(),
            write_seconds: Family::new_with_constructor(step_histogram),
            reconciles: Family::default(),
            reconcile_failures: Family::default(),
            queue_seconds: Family::new_with_constructor(step_histogram),
            reconcile_seconds: Family::new_with_constructor(step_histogram),
            adoptions: Family::default(),
            adoption_seconds: step_histogram(),
            publish_seconds: step_histogram(),
            pool_desired: Family::default(),
            pool_available: Family::default(),
            served: Family::default(),
            undecodable: Family::default(),
            watch_failures: Family::default(),
            expectations_expired: Family::default(),
            events: Family::default(),
        };
        families.register_interface(registry);
        families.register_ours(registry.sub_registry_with_prefix("sandbank"));
        families
    }

    fn register_interface(&self, r: &mut Registry) {
        r.register(
            "agent_sandbox_claim_startup_latency_ms",
            "From the claim's admission to its readiness",
            self.claim_startup.clone(),
        );
        r.register(
            "agent_sandbox_claim_controller_startup_latency_ms",
            "From the controller's first sight of a claim to its readiness",
            self.claim_controller_startup.clone(),
        );
        r.register(
            "agent_sandbox_client_claim_startup_latency_ms",
            "From the client's request of a claim to its readiness",
            self.claim_client_startup.clone(),
        );
        r.register(
            "agent_sandbox_creation_latency_ms",
            "From a sandbox's creation to its readiness",
            self.sandbox_creation.clone(),
        );
        r.register(
            "agent_sandbox_claim_creation",
            "Claims that got a sandbox",
            self.claim_creation.clone(),
        );
        r.register("agent_sandboxes", "Sandboxes that exist", self.sandboxes.clone());
        let build = Family::<BuildLabels, Gauge>::default();
        build
            .get_or_create(&BuildLabels {
                git_version: env!("CARGO_PKG_VERSION"),
                git_commit: option_env!("SANDBANK_COMMIT").unwrap_or("unknown"),
                build_date: option_env!("SANDBANK_BUILD_DATE").unwrap_or("unknown"),
                go_version: "",
                compiler: "rustc",
                platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            })
            .set(1);
        r.register("agent_sandbox_build_info", "The build", build);
    }

    fn register_ours(&self, r: &mut Registry) {
        r.register("api_writes", "Writes to the API, by result", self.writes.clone());
        r.register("api_write_seconds", "How long a write took", self.write_seconds.clone());
        r.register("reconciles", "Looks at a subject", self.reconciles.clone());
        r.register(
            "reconcile_failures",
            "Looks that failed and are repeated",
            self.reconcile_failures.clone(),
        );
        r.register(
            "queue_seconds",
            "How long a subject waited to be looked at",
            self.queue_seconds.clone(),
        );
        r.register("reconcile_seconds", "How long a look took", self.reconcile_seconds.clone());
        r.register(
            "pool_claims",
            "Claims served by a pool: hit, conflict or cold",
            self.adoptions.clone(),
        );
        r.register(
            "claim_adoption_seconds",
            "How long the commit of a warm claim took",
            self.adoption_seconds.clone(),
        );
        r.register(
            "claim_publish_seconds",
            "From the commit of a claim to its published status",
            self.publish_seconds.clone(),
        );
        r.register("pool_desired", "Sandboxes a pool wants warm", self.pool_desired.clone());
        r.register("pool_available", "Sandboxes a pool has ready", self.pool_available.clone());
        r.register(
            "family_served",
            "Whether all kinds of an API family are served and listed",
            self.served.clone(),
        );
        r.register(
            "undecodable_objects",
            "Objects that could not be decoded",
            self.undecodable.clone(),
        );
        r.register("watch_failures", "Watches that broke", self.watch_failures.clone());
        r.register(
            "expectations_expired",
            "Own writes not seen in time",
            self.expectations_expired.clone(),
        );
        r.register("events", "Kubernetes events, by result", self.events.clone());
    }
}
