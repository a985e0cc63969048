//! Templates. Nothing is made of one that nobody names, so there is nothing to look at.

use std::sync::Arc;

use dialects::kruise::SandboxTemplate;
use engine::Key;

use super::Kruise;
use crate::family::{self, Looked};
use crate::reconcile::Reconciler;

impl family::Template<Kruise> for SandboxTemplate {
    async fn reconcile(_: &Arc<Reconciler<Kruise>>, _: &Key) -> Looked {
        Ok(None)
    }
}
