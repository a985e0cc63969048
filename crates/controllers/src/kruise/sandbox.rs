//! One sandbox: its pod, its volumes, its status.

use std::sync::Arc;

use dialects::kruise::{Kind, Sandbox, keys, names};
use engine::{Holder, Key, Member, Uid};

use super::Kruise;
use crate::family::{self, Looked};
use crate::index::World;
use crate::queue::Priority;
use crate::reconcile::Reconciler;

impl family::Sandbox<Kruise> for Sandbox {
    fn holder(sandbox: &Self) -> Holder {
        let meta = &sandbox.metadata;
        if let Some(owner) = meta.controller() {
            return if owner.is(names::GROUP, Kind::SandboxSet.as_str()) {
                Holder::Pool(Uid::new(&owner.uid))
            } else {
                Holder::Other
            };
        }
        match meta.annotations.get(keys::OWNER) {
            Some(owner) if meta.labels.contains_key(keys::CLAIM_NAME) => {
                Holder::Claim(Uid::new(owner))
            }
            Some(_) => Holder::Other,
            None => Holder::Nobody,
        }
    }

    fn member(_: &World<Kruise>, _: &Self) -> Option<Member> {
        None
    }

    fn urgency(_: Option<&Self>, new: &Self) -> Priority {
        match Self::holder(new) {
            Holder::Claim(_) => Priority::Urgent,
            _ => Priority::Background,
        }
    }

    async fn reconcile(_: &Arc<Reconciler<Kruise>>, _: &Key) -> Looked {
        Ok(None)
    }
}
