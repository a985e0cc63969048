//! Why an object is in the state it is in, from the API's objects alone.
//!
//! The same view that a reconcile makes is made from a fresh listing, and the same engine is asked. So the answer is what the controllers would decide now, with
//! their reasons, beside what was last reported; and it needs no controller to be running. Each object leads to those it depends on:
//!
//! ```text
//! claim -> its sandboxes -> their pods
//!       -> its pool -> its template
//!                   -> members that are not ready -> their pods
//! ```

pub(crate) mod pod;
pub(crate) mod pool;
mod snapshot;

use dialects::condition::Condition;
use engine::{Key, Reason};
use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

pub use snapshot::Snapshot;

use crate::family::Family;
use crate::kinds::Kind;
use crate::kruise::{self, Kruise};
use crate::x_k8s::{self, XK8s};

/// One object in the chain of reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Key,
    /// How it stands.
    pub standing: Standing,
    /// One line: what was last reported of it.
    pub summary: String,
    /// What would be decided about it now, and why, in the order of thought.
    pub reasons: Vec<Reason>,
    /// When it is looked at again although nothing happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Timestamp>,
    /// What it depends on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Link>,
}

/// How an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Standing {
    /// As it should be.
    Well,
    /// On its way.
    Waiting,
    /// Not getting on without help.
    Stuck,
    /// It does not exist.
    Missing,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Well => "well",
            Standing::Waiting => "waiting",
            Standing::Stuck => "stuck",
            Standing::Missing => "missing",
        }
    }
}

impl Link {
    /// The deepest link that does not stand well, worst first: the answer in one line.
    #[must_use]
    pub fn root_cause(&self) -> &Link {
        let worst = self
            .depends_on
            .iter()
            .filter(|link| link.standing != Standing::Well)
            .max_by_key(|link| link.standing);
        match worst {
            Some(link) if self.standing != Standing::Well => link.root_cause(),
            _ => self,
        }
    }
}

/// Why no explanation could be given.
#[derive(Debug, Error)]
pub enum WhyError {
    /// The API could not be listed.
    #[error("list {kind} in namespace {namespace}")]
    List {
        /// The kind.
        kind: Kind,
        /// The namespace.
        namespace: String,
        /// What the client said.
        #[source]
        source: kube::Error,
    },
    /// There are no reasons to give for objects of this kind.
    #[error("{0} has no chain of reasons; ask about a claim, pool, template or sandbox")]
    Kind(Kind),
}

/// Lists a namespace and explains one of its objects.
///
/// # Errors
/// If the API can't be listed, or the kind has no explanation.
pub async fn why(
    client: &kube::Client,
    kind: Kind,
    name: &Key,
    options: &dialects::x_k8s::Options,
    now: Timestamp,
) -> Result<Link, WhyError> {
    match kind {
        Kind::SandboxSet | Kind::KruiseSandbox | Kind::KruiseClaim | Kind::KruiseTemplate => {
            of::<Kruise>(client, kind, name, kruise::Own::default(), now).await
        }
        _ => of::<XK8s>(client, kind, name, x_k8s::Own::new(options.clone()), now).await,
    }
}

async fn of<F: Family>(
    client: &kube::Client,
    kind: Kind,
    name: &Key,
    own: F::Own,
    now: Timestamp,
) -> Result<Link, WhyError> {
    let snapshot = Snapshot::<F>::take(client, &name.namespace, own, now).await?;
    explain(&snapshot, kind, name, now)
}

/// Explains one object of a listing.
///
/// # Errors
/// If objects of this kind have no explanation.
pub fn explain<F: Family>(
    snapshot: &Snapshot<F>,
    kind: Kind,
    name: &Key,
    now: Timestamp,
) -> Result<Link, WhyError> {
    if let Some((_, _, error)) =
        snapshot.undecodable.iter().find(|(k, key, _)| *k == kind && key == name)
    {
        let summary = format!("it can't be read and is left out: {error}");
        return Ok(Link { standing: Standing::Stuck, summary, ..missing(kind, name) });
    }
    let world = snapshot.world();
    if kind == Kind::Pod {
        return Ok(world
            .pods
            .get(name)
            .map_or_else(|| missing(kind, name), |pod| pod::explain(pod)));
    }
    F::explain(&world, kind, name, now).ok_or(WhyError::Kind(kind))
}

/// An object that is named and does not exist.
pub(crate) fn missing(kind: Kind, name: &Key) -> Link {
    Link {
        kind,
        name: name.clone(),
        standing: Standing::Missing,
        summary: "it does not exist".to_owned(),
        reasons: Vec::new(),
        again_at: None,
        depends_on: Vec::new(),
    }
}

/// What a Ready condition says, in one line.
pub(crate) fn said(ready: Option<&Condition>) -> String {
    match ready {
        None => "nothing was reported yet".to_owned(),
        Some(ready) if ready.is_true() => format!("ready: {}", ready.message),
        Some(ready) => format!("not ready: {}: {}", ready.reason, ready.message),
    }
}
