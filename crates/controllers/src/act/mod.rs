//! Writing: bounded, timed, conditional, counted.
//!
//! ```text
//! reconcile -> Writer -> [leader?] -> [a permit] -> [5 s] -> API server -> Written { uid, version } | WriteError
//! ```
//!
//! A writer never retries. What to do after a failure depends on the world, which has changed meanwhile, so every failure goes back to planning. It only
//! says precisely what happened, because the difference between "somebody was faster" and "nobody knows" decides what may be assumed next.

mod exec;
mod failure;
mod permits;
mod request;

use std::sync::Arc;
use std::time::Duration;

use engine::{Key, Precondition, Uid, Version};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

pub use exec::ExecError;
pub use failure::WriteError;
pub use permits::{Permits, Urgency};
pub use request::{Grace, Part, Propagation, Style};

use crate::kinds::Kind;
use crate::lease::Leadership;
use crate::metrics::{Metrics, Verb};

/// How long one write may take. kube's client retries 429 and 5xx answers on its own for a very long time, and a dead connection hangs; both would hold a
/// worker. In process a write takes 10 us to 1 ms, over a network 1 to 100 ms; an API server that needs more than five seconds is better asked again from a newer plan.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a write left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The object's life.
    pub uid: Uid,
    /// The version this write made; the index has caught up once it has seen it.
    pub version: Version,
    /// The name, which the server may have chosen.
    pub key: Key,
    /// The whole object, as the server answered it.
    text: String,
}

impl Written {
    /// The object as the write left it, newer than any watch has shown it.
    ///
    /// # Errors
    /// [`WriteError::Answer`] if it does not fit the type.
    pub fn object<T: DeserializeOwned>(&self) -> Result<T, WriteError> {
        serde_json::from_str(&self.text).map_err(WriteError::Answer)
    }
}

/// The only way the controllers change the cluster.
#[derive(Clone)]
pub struct Writer {
    client: kube::Client,
    permits: Arc<Permits>,
    leadership: Leadership,
    metrics: Metrics,
}

impl Writer {
    /// A writer that may use `permits` at once, while `leadership` holds.
    #[must_use]
    pub fn new(
        client: kube::Client,
        permits: Permits,
        leadership: Leadership,
        metrics: Metrics,
    ) -> Self {
        Writer { client, permits: Arc::new(permits), leadership, metrics }
    }

    /// Creates an object.
    ///
    /// # Errors
    /// [`WriteError::AlreadyExists`] if the name is taken, perhaps by an earlier attempt of our own whose answer was lost.
    pub async fn create(
        &self,
        kind: Kind,
        namespace: &str,
        body: &Value,
        urgency: Urgency,
    ) -> Result<Written, WriteError> {
        let request = request::create(kind, namespace, body)?;
        self.send(Verb::Create, kind, namespace, request, urgency).await
    }

    /// Applies a JSON merge patch to an object or to one of its parts.
    /// The patch carries its own precondition in its `metadata`: a uid, and a resourceVersion where it matters.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] if the precondition does not hold any more.
    pub async fn patch(
        &self,
        kind: Kind,
        key: &Key,
        part: Part,
        patch: &Value,
        urgency: Urgency,
    ) -> Result<Written, WriteError> {
        self.patch_as(kind, key, part, Style::Merge, patch, urgency).await
    }

    /// The same, with a choice of how the patch meets lists.
    ///
    /// # Errors
    /// As [`Writer::patch`].
    pub async fn patch_as(
        &self,
        kind: Kind,
        key: &Key,
        part: Part,
        style: Style,
        patch: &Value,
        urgency: Urgency,
    ) -> Result<Written, WriteError> {
        let request = request::patch(kind, key, part, style, patch)?;
        let verb = match part {
            Part::Main | Part::Resize => Verb::Patch,
            Part::Status => Verb::PatchStatus,
        };
        self.send(verb, kind, &key.namespace, request, urgency).await
    }

    /// Deletes an object, if it is still the life and version of `precondition`.
    ///
    /// # Errors
    /// [`WriteError::Conflict`] if it changed; [`WriteError::Gone`] if it is not there any more.
    pub async fn delete(
        &self,
        kind: Kind,
        key: &Key,
        precondition: DeletePrecondition<'_>,
        propagation: Propagation,
        urgency: Urgency,
    ) -> Result<(), WriteError> {
        self.delete_within(kind, key, precondition, propagation, Grace::OfObject, urgency).await
    }

    /// The same, with a choice of how long its processes get to end.
    ///
    /// # Errors
    /// As [`Writer::delete`].
    pub async fn delete_within(
        &self,
        kind: Kind,
        key: &Key,
        precondition: DeletePrecondition<'_>,
        propagation: Propagation,
        grace: Grace,
        urgency: Urgency,
    ) -> Result<(), WriteError> {
        let request = request::delete(kind, key, precondition, propagation, grace)?;
        self.attempt(Verb::Delete, kind, request, urgency).await.map(drop)
    }

    /// Looks at an object as the server has it now. Only for what a watch can't tell: whether a write whose answer was lost has happened, and who holds a name
    /// that is taken.
    ///
    /// # Errors
    /// Any failure but "not found", which is `None`.
    pub async fn look<T: DeserializeOwned>(
        &self,
        kind: Kind,
        key: &Key,
    ) -> Result<Option<T>, WriteError> {
        let request = request::get(kind, key)?;
        let _permit = self.permits.acquire(Urgency::Urgent).await;
        match tokio::time::timeout(WRITE_TIMEOUT, self.client.request_text(request)).await {
            Ok(Ok(text)) => serde_json::from_str(&text).map(Some).map_err(WriteError::Answer),
            Ok(Err(error)) => match WriteError::from_client(error) {
                WriteError::Gone(_) => Ok(None),
                other => Err(other),
            },
            Err(_) => Err(WriteError::TimedOut),
        }
    }

    async fn send(
        &self,
        verb: Verb,
        kind: Kind,
        namespace: &str,
        request: http::Request<Vec<u8>>,
        urgency: Urgency,
    ) -> Result<Written, WriteError> {
        let text = self.attempt(verb, kind, request, urgency).await?;
        let answer: Answer = serde_json::from_str(&text).map_err(WriteError::Answer)?;
        Ok(Written {
            uid: Uid::new(&answer.metadata.uid),
            // A server whose versions can't be compared would make every own write look unseen for ever; zero means "seen at once", which is only slower.
            version: Version::parse(&answer.metadata.resource_version).unwrap_or_default(),
            key: Key::new(namespace, &answer.metadata.name),
            text,
        })
    }

    async fn attempt(
        &self,
        verb: Verb,
        kind: Kind,
        request: http::Request<Vec<u8>>,
        urgency: Urgency,
    ) -> Result<String, WriteError> {
        let _permit = self.permits.acquire(urgency).await;
        // After waiting for the permit, not before: leadership may have gone meanwhile.
        if !self.leadership.may_write() {
            return Err(WriteError::NotLeading);
        }
        let started = Instant::now();
        let result =
            match tokio::time::timeout(WRITE_TIMEOUT, self.client.request_text(request)).await {
                Ok(Ok(text)) => Ok(text),
                Ok(Err(error)) => Err(WriteError::from_client(error)),
                Err(_) => Err(WriteError::TimedOut),
            };
        self.metrics.write(verb, kind, result.as_ref().err(), started.elapsed());
        result
    }
}

/// What a delete insists on.
#[derive(Clone, Copy, Debug)]
pub enum DeletePrecondition<'a> {
    /// The same life, whatever was written since: for objects that only their owner's fate concerns.
    Life(&'a Uid),
    /// The same life and the same version: for everything a claim could have taken meanwhile.
    Unchanged(&'a Precondition),
}

#[derive(Deserialize)]
struct Answer {
    metadata: AnswerMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnswerMeta {
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
}
