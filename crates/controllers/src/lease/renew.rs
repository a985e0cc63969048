//! The loop that keeps the Lease object and the [`Term`] in step.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Observation, Record, Step, Term, evaluate};
use crate::clock::Clock;

/// How this process takes part in the election.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Its name; see [`super::LEASE_NAME`].
    pub name: String,
    /// Who we are. Must differ between replicas and between starts, or a restarted process would take itself for its predecessor.
    pub identity: String,
    /// How long a renewal is good. 15 s survives a short outage of the API server and bounds a take-over after a crash to about that; a clean exit
    /// releases the lease and needs none of it.
    pub term: Duration,
}

impl LeaseOptions {
    /// The usual lease in the given namespace.
    #[must_use]
    pub fn new(namespace: &str, identity: &str) -> Self {
        LeaseOptions {
            namespace: namespace.to_string(),
            name: super::LEASE_NAME.to_string(),
            identity: identity.to_string(),
            term: Duration::from_secs(15),
        }
    }

    fn renew_every(&self) -> Duration {
        self.term / 3
    }

    fn write_for(&self) -> Duration {
        self.term * 2 / 3
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }
}

/// Why the election ended.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// We led and could not renew in time, or somebody else took the lease. The process must end: what it still has in flight is not to be continued.
    #[error("leadership was lost: the lease {0} was not renewed in time")]
    Lost(String),
    /// A request could not be built from the options.
    #[error("build a request for the lease")]
    Build(#[source] kube::core::request::Error),
}

#[derive(Debug, Deserialize)]
struct LeaseObject {
    metadata: LeaseMeta,
    #[serde(default)]
    spec: LeaseSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaseMeta {
    #[serde(default)]
    resource_version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeaseSpec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<u64>,
    renew_time: Option<String>,
    acquire_time: Option<String>,
    lease_transitions: Option<i32>,
}

impl LeaseSpec {
    fn record(&self, default_term: Duration) -> Record {
        Record {
            holder: self.holder_identity.clone().filter(|h| !h.is_empty()),
            term: self.lease_duration_seconds.map_or(default_term, Duration::from_secs),
            renewed: self.renew_time.clone().unwrap_or_default(),
            transitions: self.lease_transitions.unwrap_or_default(),
        }
    }
}

/// Takes part in the election until `shutdown`, then releases the lease if it is ours. Returns an error when leadership is lost.
///
/// # Errors
/// [`LeaseError::Lost`] when we led and may not write any more.
pub async fn run(
    client: kube::Client,
    options: LeaseOptions,
    clock: Clock,
    terms: watch::Sender<Term>,
    shutdown: CancellationToken,
) -> Result<(), LeaseError> {
    let mut election = Election { client, clock, seen: None, acquired: None, options };
    loop {
        let pause = election.step(&terms).await?;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    let led = matches!(*terms.borrow(), Term::Leading { .. });
    terms.send_replace(Term::Following);
    if led {
        election.release().await;
    }
    Ok(())
}

struct Election {
    client: kube::Client,
    clock: Clock,
    options: LeaseOptions,
    seen: Option<Observation>,
    acquired: Option<String>,
}

impl Election {
    /// One reading and, if it is our turn, one write. Returns how long to wait.
    async fn step(&mut self, terms: &watch::Sender<Term>) -> Result<Duration, LeaseError> {
        // The term counts from before the request: the answer may have been on its way for long.
        let asked = Instant::now();
        let (version, step) = match self.read().await? {
            Reading::Found(object) => {
                let record = object.spec.record(self.options.term);
                self.seen = Some(Observation::observe(self.seen.take(), record, asked));
                self.acquired = object.spec.acquire_time.clone();
                (
                    Some(object.metadata.resource_version),
                    evaluate(self.seen.as_ref(), &self.options.identity, asked),
                )
            }
            Reading::Absent => {
                self.seen = None;
                (None, evaluate(None, &self.options.identity, asked))
            }
            Reading::Failed(why) => {
                tracing::warn!(lease = %self.options.name, reason = %why, "the lease could not be read");
                return self.after_failure(terms);
            }
        };
        let wrote = match step {
            Step::Create | Step::TakeOver | Step::Renew => {
                self.write(&step, version.as_deref()).await?
            }
            Step::Wait(_) => Outcome::NotOurs,
        };
        match wrote {
            Outcome::Written => {
                if !matches!(*terms.borrow(), Term::Leading { .. }) {
                    tracing::info!(lease = %self.options.name, identity = %self.options.identity, "leading");
                }
                terms.send_replace(Term::Leading { write_until: asked + self.options.write_for() });
                Ok(self.options.renew_every())
            }
            Outcome::NotOurs if matches!(*terms.borrow(), Term::Leading { .. }) => self.lost(terms),
            Outcome::NotOurs => {
                let until = match step {
                    Step::Wait(free) => free.saturating_duration_since(Instant::now()),
                    _ => Duration::ZERO,
                };
                // Looking at a third of the term notices a release soon.
                Ok(until.min(self.options.renew_every()).max(self.options.term / 30))
            }
            Outcome::Failed(why) => {
                tracing::warn!(lease = %self.options.name, reason = %why, "the lease could not be written");
                self.after_failure(terms)
            }
        }
    }

    fn after_failure(&self, terms: &watch::Sender<Term>) -> Result<Duration, LeaseError> {
        match *terms.borrow() {
            Term::Leading { write_until } if Instant::now() >= write_until => {}
            _ => return Ok(self.options.term / 15),
        }
        self.lost(terms)
    }

    fn lost(&self, terms: &watch::Sender<Term>) -> Result<Duration, LeaseError> {
        terms.send_replace(Term::Following);
        Err(LeaseError::Lost(self.options.name.clone()))
    }

    async fn read(&self) -> Result<Reading, LeaseError> {
        let request = kube::core::Request::new(self.options.collection())
            .get(&self.options.name, &kube::api::GetParams::default())
            .map_err(LeaseError::Build)?;
        let answer = tokio::time::timeout(
            self.options.renew_every(),
            self.client.request::<LeaseObject>(request),
        )
        .await;
        Ok(match answer {
            Ok(Ok(object)) => Reading::Found(object),
            Ok(Err(kube::Error::Api(status))) if status.code == StatusCode::NOT_FOUND.as_u16() => {
                Reading::Absent
            }
            Ok(Err(why)) => Reading::Failed(why.to_string()),
            Err(_) => Reading::Failed("no answer in time".to_string()),
        })
    }

    async fn write(&self, step: &Step, version: Option<&str>) -> Result<Outcome, LeaseError> {
        let now = micro_time(self.clock.now());
        let transitions = self.seen.as_ref().map_or(0, |seen| seen.record.transitions);
        let (acquired, transitions) = match step {
            Step::Renew => (self.acquired.clone().unwrap_or_else(|| now.clone()), transitions),
            _ => (now.clone(), transitions + i32::from(version.is_some())),
        };
        let spec = json!({
            "holderIdentity": self.options.identity,
            "leaseDurationSeconds": self.options.term.as_secs().max(1),
            "acquireTime": acquired,
            "renewTime": now,
            "leaseTransitions": transitions,
        });
        self.put(spec, version).await
    }

    async fn put(
        &self,
        spec: serde_json::Value,
        version: Option<&str>,
    ) -> Result<Outcome, LeaseError> {
        let mut metadata =
            json!({ "name": self.options.name, "namespace": self.options.namespace });
        if let Some(version) = version {
            metadata["resourceVersion"] = version.into();
        }
        let body = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec });
        let path = kube::core::Request::new(self.options.collection());
        let params = kube::api::PostParams::default();
        let bytes = body.to_string().into_bytes();
        let request = match version {
            Some(_) => path.replace(&self.options.name, &params, bytes),
            None => path.create(&params, bytes),
        }
        .map_err(LeaseError::Build)?;
        let answer = tokio::time::timeout(
            self.options.renew_every(),
            self.client.request::<LeaseObject>(request),
        )
        .await;
        Ok(match answer {
            Ok(Ok(_)) => Outcome::Written,
            Ok(Err(why)) => Outcome::Failed(why.to_string()),
            Err(_) => Outcome::Failed("no answer in time".to_string()),
        })
    }

    /// Gives the lease back so that the next leader need not wait for the term. Best effort: if it fails, the term runs out.
    async fn release(&mut self) {
        let Ok(Reading::Found(object)) = self.read().await else { return };
        if object.spec.holder_identity.as_deref() != Some(self.options.identity.as_str()) {
            return;
        }
        let spec = json!({
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": object.spec.acquire_time,
            "renewTime": micro_time(self.clock.now()),
            "leaseTransitions": object.spec.lease_transitions.unwrap_or_default(),
        });
        match self.put(spec, Some(&object.metadata.resource_version)).await {
            Ok(Outcome::Written) => tracing::info!(lease = %self.options.name, "released"),
            Ok(_) | Err(_) => {
                tracing::info!(lease = %self.options.name, "not released; it will run out")
            }
        }
    }
}

enum Reading {
    Found(LeaseObject),
    Absent,
    Failed(String),
}

#[derive(Debug)]
enum Outcome {
    Written,
    NotOurs,
    Failed(String),
}

/// Kubernetes' MicroTime: exactly six digits.
fn micro_time(at: Timestamp) -> String {
    format!("{at:.6}")
}
