//! A claim: which sandboxes it gets, and what it is told.

use std::sync::Arc;

use dialects::kruise::SandboxClaim;
use engine::Key;

use super::Kruise;
use crate::family::{self, Looked};
use crate::reconcile::Reconciler;

impl family::Claim<Kruise> for SandboxClaim {
    async fn reconcile(_: &Arc<Reconciler<Kruise>>, _: &Key) -> Looked {
        Ok(None)
    }
}
