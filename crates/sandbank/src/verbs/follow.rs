//! Follows one claim from the revision it was made at until it is ready, fails, or the time is up.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;

use super::connect::Server;
use super::objects::{self, Claim, claim_ready, kruise};
use crate::exit::Error;

/// Reasons after which waiting is in vain: nothing but an edit of the claim, its pool or its template helps.
const FINAL_REASONS: [&str; 6] = [
    "InvalidMetadata",
    "EnvVarsInjectionRejected",
    "VolumeClaimTemplatesError",
    "ClaimExpired",
    "TemplateNotFound",
    "WarmPoolNotFound",
];

/// How following a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its sandbox can be used.
    Ready,
    /// It will not become ready as it is.
    InVain,
    /// It was deleted meanwhile.
    Gone,
    /// It was not ready in time.
    TimedOut,
}

/// The end, and the claim as it was seen last.
#[derive(Debug)]
pub struct End<C> {
    /// How it ended.
    pub verdict: Verdict,
    /// The claim.
    pub claim: C,
}

/// A claim, of whichever family.
pub trait Followed:
    kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Whether its state ends the wait for it.
    fn judge(&self) -> Option<Verdict>;
}

impl Followed for Claim {
    fn judge(&self) -> Option<Verdict> {
        let ready = claim_ready(self)?;
        match ready.reason.as_str() {
            _ if ready.is_true() => Some(Verdict::Ready),
            reason if FINAL_REASONS.contains(&reason) => Some(Verdict::InVain),
            _ => None,
        }
    }
}

impl Followed for kruise::Claim {
    fn judge(&self) -> Option<Verdict> {
        let served = kruise::claim_is_served(self)?;
        Some(if served { Verdict::Ready } else { Verdict::InVain })
    }
}

/// Follows `claim` until its end or for at most `patience`. No event is missed: the watch begins at the revision
/// that the claim was made at, and a broken watch goes on from a fresh read.
pub async fn follow<C: Followed>(
    server: &Server,
    api: &Api<C>,
    mut claim: C,
    patience: Duration,
) -> Result<End<C>, Error> {
    let verdict = tokio::time::timeout(patience, until_judged(server, api, &mut claim)).await;
    let verdict = verdict.unwrap_or(Ok(Verdict::TimedOut))?;
    Ok(End { verdict, claim })
}

async fn until_judged<C: Followed>(
    server: &Server,
    api: &Api<C>,
    claim: &mut C,
) -> Result<Verdict, Error> {
    let name = claim.name_any();
    let what = format!("claim {}", objects::full_name(claim.meta()));
    let explain = |e| server.explain(&what, "`kubectl get sandboxclaims` lists the claims", e);
    let only_it = WatchParams::default().fields(&format!("metadata.name={name}"));
    loop {
        if let Some(verdict) = claim.judge() {
            return Ok(verdict);
        }
        let revision = claim.resource_version().unwrap_or_default();
        let events = api.watch(&only_it, &revision).await;
        let mut events = events.map_err(explain)?.boxed();
        loop {
            match events.try_next().await {
                Ok(Some(WatchEvent::Added(seen) | WatchEvent::Modified(seen))) => {
                    *claim = seen;
                    if let Some(verdict) = claim.judge() {
                        return Ok(verdict);
                    }
                }
                Ok(Some(WatchEvent::Deleted(_))) => return Ok(Verdict::Gone),
                Ok(Some(WatchEvent::Bookmark(_))) => {}
                // The server closed the watch, or its history no longer reaches back to our revision.
                Ok(None | Some(WatchEvent::Error(_))) | Err(_) => break,
            }
        }
        match api.get_opt(&name).await.map_err(explain)? {
            Some(seen) => *claim = seen,
            None => return Ok(Verdict::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(status: &str, reason: &str) -> Claim {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "c", "namespace": "default"},
            "spec": {"warmPoolRef": {"name": "p"}},
            "status": {"conditions": [
                {"type": "Ready", "status": status, "reason": reason, "message": ""}]},
        }))
        .unwrap()
    }

    #[test]
    fn only_ready_and_final_reasons_end_the_wait() {
        assert_eq!(claim("True", "DependenciesReady").judge(), Some(Verdict::Ready));
        assert_eq!(claim("False", "WarmPoolNotFound").judge(), Some(Verdict::InVain));
        // The sandbox starts, or a write was lost to another writer: both pass by themselves.
        assert_eq!(claim("False", "DependenciesNotReady").judge(), None);
        assert_eq!(claim("False", "AdoptionConflict").judge(), None);
    }
}
