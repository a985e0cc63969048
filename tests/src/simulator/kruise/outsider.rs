//! Somebody outside who takes sandboxes beside our controllers, as the family's HTTP front does: without an object, by the lock protocol alone.
//!
//! It lists a set's sandboxes, picks one that is ready and that nobody has locked, and takes it with one update of the whole object, which its version guards. It may be
//! late, it may lose, and it may die between locking one and taking it.

use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};

use super::people::People;
use super::{CLAIMED, Kruise, LOCK, OWNER};
use crate::simulator::family::Family;
use crate::simulator::view::is_true;

/// How a try to take one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is theirs.
    Yes(String),
    /// Somebody was faster.
    Lost(String),
    /// There was none to take.
    NothingThere,
}

impl People<'_> {
    /// What the front would choose from: ready, unlocked, of this set, as a listing shows it now.
    pub async fn on_offer(&self, set: &str) -> kube::Result<Vec<DynamicObject>> {
        let listed = self.sandboxes().list(&ListParams::default()).await?;
        let fits = |sandbox: &DynamicObject| {
            let seen = serde_json::to_value(sandbox).unwrap_or_default();
            Kruise::pool_of(&seen) == Some(set)
                && is_true(&seen, "Ready")
                && Kruise::lock_of(&seen).is_none()
                && sandbox.metadata.deletion_timestamp.is_none()
        };
        Ok(listed.items.into_iter().filter(fits).collect())
    }

    /// Takes one, seen earlier, for the holder of this key. `at` is what its clock says.
    pub async fn take(
        &self,
        mut sandbox: DynamicObject,
        key: &str,
        at: &str,
    ) -> kube::Result<Taken> {
        let name = sandbox.name_any();
        sandbox.metadata.owner_references = None;
        let labels = sandbox.labels_mut();
        labels.insert(CLAIMED.to_owned(), "true".to_owned());
        let annotations = sandbox.annotations_mut();
        annotations.insert(LOCK.to_owned(), format!("lock-of-{key}"));
        annotations.insert(OWNER.to_owned(), key.to_owned());
        annotations.insert("agents.kruise.io/claim-timestamp".to_owned(), at.to_owned());
        let template = &mut sandbox.data["spec"]["template"];
        if template.is_object() {
            template["metadata"]["labels"][OWNER] = json!(key);
        }
        self.update(&name, &sandbox).await
    }

    /// Puts a lock on one, seen earlier, and goes no further.
    pub async fn lock(&self, mut sandbox: DynamicObject, key: &str) -> kube::Result<Taken> {
        let name = sandbox.name_any();
        let annotations = sandbox.annotations_mut();
        annotations.insert(LOCK.to_owned(), format!("lock-of-{key}"));
        annotations.insert(OWNER.to_owned(), key.to_owned());
        self.update(&name, &sandbox).await
    }

    async fn update(&self, name: &str, sandbox: &DynamicObject) -> kube::Result<Taken> {
        match self.sandboxes().replace(name, &PostParams::default(), sandbox).await {
            Ok(_) => Ok(Taken::Yes(name.to_owned())),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                Ok(Taken::Lost(name.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// A sandbox as it is now.
    pub async fn sandbox(&self, name: &str) -> kube::Result<Value> {
        Ok(serde_json::to_value(self.sandboxes().get(name).await?).unwrap_or_default())
    }
}
