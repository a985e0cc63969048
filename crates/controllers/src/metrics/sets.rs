//! What `agents.kruise.io` counts. Names and labels are interface: dashboards of that family read them.
//!
//! What has a series for each sandbox or claim is left out. At a hundred thousand sandboxes those series would be most of what a monitoring system stores, and a
//! listing answers the same questions.

use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Metrics;

/// Seconds of a claim, doubling from ten milliseconds, which a warm one takes over a network, to five minutes, the longest that anybody waits.
const CLAIM_SECONDS: [f64; 16] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SetLabels {
    namespace: String,
    name: String,
}

impl SetLabels {
    fn of(namespace: &str, name: &str) -> Self {
        SetLabels { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabels {
    namespace: String,
}

/// What a set reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetNumbers {
    /// When it was created.
    pub created: Timestamp,
    /// How many unclaimed sandboxes it wants.
    pub desired: u32,
    /// How many it has.
    pub replicas: u32,
    /// How many of them can be claimed.
    pub available: u32,
    /// How many of them are of the current revision.
    pub updated: u32,
    /// How many of those can be claimed.
    pub updated_available: u32,
}

#[derive(Clone)]
pub(super) struct Sets {
    created: Family<SetLabels, Gauge>,
    desired: Family<SetLabels, Gauge>,
    replicas: Family<SetLabels, Gauge>,
    available: Family<SetLabels, Gauge>,
    updated: Family<SetLabels, Gauge>,
    updated_available: Family<SetLabels, Gauge>,
    made: Family<SetLabels, Counter>,
    claimed: Family<SetLabels, Counter>,
    claim_seconds: Family<NamespaceLabels, Histogram, fn() -> Histogram>,
    expired: Family<NamespaceLabels, Counter>,
}

impl Sets {
    pub(super) fn register(r: &mut Registry) -> Self {
        let sets = Sets {
            created: Family::default(),
            desired: Family::default(),
            replicas: Family::default(),
            available: Family::default(),
            updated: Family::default(),
            updated_available: Family::default(),
            made: Family::default(),
            claimed: Family::default(),
            claim_seconds: Family::new_with_constructor(|| Histogram::new(CLAIM_SECONDS)),
            expired: Family::default(),
        };
        let gauges = [
            ("created", "When a set was created", &sets.created),
            ("desired_replicas", "Sandboxes a set wants unclaimed", &sets.desired),
            ("replicas", "Unclaimed sandboxes of a set", &sets.replicas),
            ("available_replicas", "Sandboxes of a set that can be claimed", &sets.available),
            ("updated_replicas", "Sandboxes of a set's current revision", &sets.updated),
            (
                "updated_available_replicas",
                "Sandboxes of a set's current revision that can be claimed",
                &sets.updated_available,
            ),
        ];
        for (name, help, gauge) in gauges {
            r.register(format!("sandboxset_{name}"), help, gauge.clone());
        }
        r.register("sandboxset_sandboxes_created", "Sandboxes made for a set", sets.made.clone());
        r.register(
            "sandboxset_sandboxes_claimed",
            "Sandboxes of a set that were claimed",
            sets.claimed.clone(),
        );
        r.register(
            "sandbox_claim_duration_seconds",
            "From a claim's first sight to its completion",
            sets.claim_seconds.clone(),
        );
        r.register(
            "sandboxclaim_expired",
            "Claims whose time was over before they had all",
            sets.expired.clone(),
        );
        sets
    }

    fn gauges(&self) -> [&Family<SetLabels, Gauge>; 6] {
        [
            &self.created,
            &self.desired,
            &self.replicas,
            &self.available,
            &self.updated,
            &self.updated_available,
        ]
    }
}

impl Metrics {
    /// What a set reports.
    pub fn set(&self, namespace: &str, name: &str, numbers: &SetNumbers) {
        let labels = SetLabels::of(namespace, name);
        let counts = [
            numbers.desired,
            numbers.replicas,
            numbers.available,
            numbers.updated,
            numbers.updated_available,
        ];
        let values = std::iter::once(numbers.created.as_second()).chain(counts.map(i64::from));
        for (gauge, value) in self.sets.gauges().into_iter().zip(values) {
            gauge.get_or_create(&labels).set(value);
        }
    }

    /// A set is gone.
    pub fn set_gone(&self, namespace: &str, name: &str) {
        let labels = SetLabels::of(namespace, name);
        for gauge in self.sets.gauges() {
            gauge.remove(&labels);
        }
        self.sets.made.remove(&labels);
        self.sets.claimed.remove(&labels);
    }

    /// Sandboxes were made for a set.
    pub fn set_made(&self, namespace: &str, name: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.sets.made.get_or_create(&SetLabels::of(namespace, name)).inc_by(count);
    }

    /// Sandboxes of a set were claimed.
    pub fn set_claimed(&self, namespace: &str, name: &str, count: u32) {
        self.sets.claimed.get_or_create(&SetLabels::of(namespace, name)).inc_by(count.into());
    }

    /// A claim is over, with all it asked for.
    pub fn claim_completed(&self, namespace: &str, took: Duration) {
        let labels = NamespaceLabels { namespace: namespace.to_owned() };
        self.sets.claim_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A claim's time was over before it had all.
    pub fn claim_expired(&self, namespace: &str) {
        let labels = NamespaceLabels { namespace: namespace.to_owned() };
        self.sets.expired.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_set_come_and_go_with_it() {
        let metrics = Metrics::new();
        let numbers = SetNumbers {
            created: Timestamp::UNIX_EPOCH,
            desired: 3,
            replicas: 3,
            available: 2,
            updated: 3,
            updated_available: 2,
        };
        metrics.set("ns", "s", &numbers);
        metrics.set_made("ns", "s", 3);
        metrics.set_claimed("ns", "s", 1);
        metrics.claim_completed("ns", Duration::from_millis(15));
        metrics.claim_expired("ns");
        let text = metrics.encode();
        for line in [
            r#"sandboxset_desired_replicas{namespace="ns",name="s"} 3"#,
            r#"sandboxset_available_replicas{namespace="ns",name="s"} 2"#,
            r#"sandboxset_sandboxes_created_total{namespace="ns",name="s"} 3"#,
            r#"sandboxset_sandboxes_claimed_total{namespace="ns",name="s"} 1"#,
            r#"sandbox_claim_duration_seconds_bucket{le="0.02",namespace="ns"} 1"#,
            r#"sandboxclaim_expired_total{namespace="ns"} 1"#,
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
        metrics.set_gone("ns", "s");
        assert!(!metrics.encode().contains(r#"name="s""#));
    }
}
