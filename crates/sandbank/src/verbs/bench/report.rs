//! What a measurement found, and under which conditions: a number without them is worth nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::ClaimsArgs;
use crate::exit::Error;
use crate::verbs::connect::Server;
use crate::verbs::duration::latency;
use crate::verbs::objects::{Pool, full_name};

/// How a claim got its sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the pool.
    Warm,
    /// Made for it.
    Cold,
}

/// What became of one claim.
#[derive(Debug)]
pub enum Outcome {
    /// It got its sandbox.
    Ready {
        /// From before the POST to its answer.
        created: Duration,
        /// From before the POST to Ready in a watch.
        ready: Duration,
        /// How.
        start: Start,
    },
    /// It did not.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Where and how it was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conditions {
    server: String,
    server_version: String,
    client_version: &'static str,
    client_build: &'static str,
    cpus: usize,
    kernel: String,
    pool: String,
    pool_replicas: u32,
    pool_ready_at_start: u32,
    /// `None`: one after another, each from a full pool.
    rate: Option<f64>,
}

impl Conditions {
    /// Notes them before the first claim.
    pub async fn observe(server: &Server, pool: &Pool, args: &ClaimsArgs) -> Result<Self, Error> {
        let version = server.client.apiserver_version().await;
        let version = version.map_err(|e| server.explain("the server's version", "", e))?;
        Ok(Self {
            server: server.address.clone(),
            server_version: version.git_version,
            client_version: env!("CARGO_PKG_VERSION"),
            client_build: if cfg!(debug_assertions) { "debug" } else { "release" },
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            pool: full_name(&pool.metadata),
            pool_replicas: pool.spec.replicas.unwrap_or(1),
            pool_ready_at_start: pool.status.as_ref().map_or(0, |s| s.ready_replicas),
            rate: args.rate,
        })
    }
}

/// Milliseconds at the ranks people ask for.
#[derive(Debug, PartialEq, Serialize)]
pub struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    /// By nearest rank: each value is one that was really measured. `None` without values.
    fn of(mut values: Vec<Duration>) -> Option<Self> {
        values.sort_unstable();
        let last = values.len().checked_sub(1)?;
        let rank = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).saturating_sub(1).min(last);
            values[rank].as_secs_f64() * 1e3
        };
        Some(Self { p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) })
    }

    fn render(&self) -> String {
        let [p50, p90, p99, max] = [self.p50, self.p90, self.p99, self.max]
            .map(|ms| latency(Duration::from_secs_f64(ms / 1e3)));
        format!("p50 {p50}, p90 {p90}, p99 {p99}, max {max}")
    }
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    conditions: Conditions,
    claims: usize,
    ready: usize,
    warm: usize,
    cold: usize,
    /// How often each reason was given.
    failures: BTreeMap<String, usize>,
    seconds: f64,
    ready_per_second: f64,
    post_to_answer_ms: Option<Percentiles>,
    post_to_ready_ms: Option<Percentiles>,
    /// The same, of warm starts only.
    post_to_ready_warm_ms: Option<Percentiles>,
}

impl Report {
    /// Adds up the outcomes of a run that took `took`.
    pub fn new(conditions: Conditions, took: Duration, outcomes: Vec<Outcome>) -> Self {
        let (mut answered, mut all, mut warm) = (Vec::new(), Vec::new(), Vec::new());
        let mut failures = BTreeMap::new();
        let claims = outcomes.len();
        for outcome in outcomes {
            match outcome {
                Outcome::Ready { created, ready, start } => {
                    answered.push(created);
                    all.push(ready);
                    if start == Start::Warm {
                        warm.push(ready);
                    }
                }
                Outcome::Failed { reason } => *failures.entry(reason).or_insert(0) += 1,
            }
        }
        let seconds = took.as_secs_f64();
        Self {
            conditions,
            claims,
            ready: all.len(),
            warm: warm.len(),
            cold: all.len() - warm.len(),
            failures,
            seconds,
            ready_per_second: all.len() as f64 / seconds.max(f64::EPSILON),
            post_to_answer_ms: Percentiles::of(answered),
            post_to_ready_ms: Percentiles::of(all),
            post_to_ready_warm_ms: Percentiles::of(warm),
        }
    }

    /// The report for people.
    pub fn render(&self) -> String {
        let c = &self.conditions;
        let pace = match c.rate {
            Some(rate) => format!("{rate} claims a second"),
            None => "one claim after another, each from a full pool".into(),
        };
        let share = |part: usize| 100.0 * part as f64 / self.claims.max(1) as f64;
        let mut lines = vec![
            format!(
                "{} claims of pool {} ({} replicas, {} ready at the start), {pace}",
                self.claims, c.pool, c.pool_replicas, c.pool_ready_at_start
            ),
            format!(
                "ready {} ({:.1} %): {} warm, {} cold; {:.1} a second over {:.2} s",
                self.ready,
                share(self.ready),
                self.warm,
                self.cold,
                self.ready_per_second,
                self.seconds
            ),
        ];
        let of = |title: &str, p: &Option<Percentiles>| {
            p.as_ref().map(|p| format!("{title:<23}{}", p.render()))
        };
        lines.extend(of("POST to answer", &self.post_to_answer_ms));
        lines.extend(of("POST to Ready", &self.post_to_ready_ms));
        if self.cold > 0 {
            lines.extend(of("POST to Ready, warm", &self.post_to_ready_warm_ms));
        }
        lines.extend(self.failures.iter().map(|(reason, n)| format!("failed {n}: {reason}")));
        lines.push(format!(
            "conditions: server {} at {}; client {} ({} build); {} cpus, Linux {}",
            c.server_version, c.server, c.client_version, c.client_build, c.cpus, c.kernel
        ));
        lines.join("\n")
    }

    /// A run with failures is a failed run, after its report.
    pub fn verdict(&self, pool: &str) -> Result<(), Error> {
        match self.claims - self.ready {
            0 => Ok(()),
            failed => Err(Error::NotReady {
                what: format!("{failed} of {} claims", self.claims),
                reason: self.failures.keys().cloned().collect::<Vec<_>>().join("; "),
                next: format!("`sandbank why pool/{pool}` explains"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions() -> Conditions {
        Conditions {
            server: "https://127.0.0.1:6443".into(),
            server_version: "v1.36.0".into(),
            client_version: "0.1.0",
            client_build: "release",
            cpus: 2,
            kernel: "6.18".into(),
            pool: "default/p".into(),
            pool_replicas: 3,
            pool_ready_at_start: 3,
            rate: None,
        }
    }

    fn ready(ms: u64, start: Start) -> Outcome {
        Outcome::Ready {
            created: Duration::from_millis(1),
            ready: Duration::from_millis(ms),
            start,
        }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values = (1..=100).map(Duration::from_millis).collect();
        let expected = Percentiles { p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 };
        assert_eq!(Percentiles::of(values), Some(expected));
        let one = Percentiles::of(vec![Duration::from_millis(7)]);
        assert_eq!(one, Some(Percentiles { p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0 }));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn the_report_says_how_many_were_warm_and_fails_if_one_claim_did() {
        let failed = Outcome::Failed { reason: "not ready after 1s".into() };
        let outcomes = vec![ready(2, Start::Warm), ready(200, Start::Cold), failed];
        let report = Report::new(conditions(), Duration::from_secs(1), outcomes);
        assert_eq!((report.ready, report.warm, report.cold), (2, 1, 1));
        let text = report.render();
        for part in
            ["ready 2 (66.7 %): 1 warm, 1 cold", "failed 1: not ready", "warm    p50 2.00 ms"]
        {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(report.verdict("p").is_err());
    }
}
