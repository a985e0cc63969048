//! Follows one claim from the revision it was made at until it is ready, fails, or the time is up.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::ResourceExt;
use kube::api::{WatchEvent, WatchParams};
use tokio::time::Instant;

use super::connect::Server;
use super::objects::{Claim, Scope, claim_ready};
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
#[derive(Debug)]
pub enum End {
    /// Its sandbox can be used.
    Ready(Claim),
    /// It will not become ready as it is.
    InVain(Claim),
    /// It was deleted meanwhile.
    Gone,
    /// It was not ready in time; this is how it looked last.
    TimedOut(Claim),
}

/// What a claim's state means for whoever waits for it.
pub fn judge(claim: Claim) -> Result<End, Claim> {
    match claim_ready(&claim) {
        Some(ready) if ready.is_true() => Ok(End::Ready(claim)),
        Some(ready) if FINAL_REASONS.contains(&ready.reason.as_str()) => Ok(End::InVain(claim)),
        _ => Err(claim),
    }
}

/// Follows `claim` until its end or for at most `patience`. No event is missed: the watch begins at the revision
/// that the claim was made at, and a broken watch goes on from a fresh read.
pub async fn follow(server: &Server, claim: Claim, patience: Duration) -> Result<End, Error> {
    let deadline = Instant::now() + patience;
    let mut last = match judge(claim) {
        Ok(end) => return Ok(end),
        Err(claim) => claim,
    };
    let name = last.name_any();
    let what = super::objects::full_name(&last.metadata);
    let next = "`kubectl get sandboxclaims` lists the claims";
    let only_it = WatchParams::default().fields(&format!("metadata.name={name}"));
    loop {
        let revision = last.resource_version().unwrap_or_default();
        let watch = async {
            let events = server.claims(Scope::Namespace).watch(&only_it, &revision).await?;
            Ok(events.boxed())
        };
        let mut events = match tokio::time::timeout_at(deadline, watch).await {
            Ok(events) => events.map_err(|e| server.explain(&what, next, e))?,
            Err(_) => return Ok(End::TimedOut(last)),
        };
        loop {
            let event = match tokio::time::timeout_at(deadline, events.try_next()).await {
                Ok(event) => event,
                Err(_) => return Ok(End::TimedOut(last)),
            };
            match event {
                Ok(Some(WatchEvent::Added(claim) | WatchEvent::Modified(claim))) => {
                    match judge(claim) {
                        Ok(end) => return Ok(end),
                        Err(claim) => last = claim,
                    }
                }
                Ok(Some(WatchEvent::Deleted(_))) => return Ok(End::Gone),
                Ok(Some(WatchEvent::Bookmark(_))) => {}
                // The server closed the watch or its history no longer reaches back to our revision.
                Ok(None | Some(WatchEvent::Error(_))) | Err(_) => break,
            }
        }
        last = match server.claims(Scope::Namespace).get_opt(&name).await {
            Ok(Some(claim)) => match judge(claim) {
                Ok(end) => return Ok(end),
                Err(claim) => claim,
            },
            Ok(None) => return Ok(End::Gone),
            Err(e) => return Err(server.explain(&what, next, e)),
        };
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
        assert!(matches!(judge(claim("True", "DependenciesReady")), Ok(End::Ready(_))));
        assert!(matches!(judge(claim("False", "WarmPoolNotFound")), Ok(End::InVain(_))));
        // The sandbox starts, or a write was lost to another writer: both pass by themselves.
        assert!(judge(claim("False", "DependenciesNotReady")).is_err());
        assert!(judge(claim("False", "AdoptionConflict")).is_err());
    }
}
