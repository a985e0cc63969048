//! One listing of a namespace, as a world.

use std::collections::BTreeSet;
use std::sync::Arc;

use dialects::pod::Pod;
use dialects::x_k8s::{Options, Sandbox, SandboxClaim, SandboxTemplate, SandboxWarmPool};
use engine::Key;
use jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use super::WhyError;
use crate::clock::Clock;
use crate::index::child::{NetworkPolicy, Service, Volume};
use crate::index::decode::Delivered;
use crate::index::{Index, Indexed, World};
use crate::kinds::Kind;
use crate::metrics::Metrics;
use crate::queue::{Backoff, Queue};

/// Objects asked for at once.
const PAGE: u32 = 500;

/// A namespace as it was listed.
#[derive(Debug)]
pub struct Snapshot {
    index: Index,
    /// Objects that could not be decoded, with what is wrong.
    pub undecodable: Vec<(Kind, Key, String)>,
}

impl Snapshot {
    /// An empty one, to be filled with [`Snapshot::add`].
    #[must_use]
    pub fn empty(options: &Options, now: Timestamp) -> Self {
        let world = World::new(options.clone(), Clock::starting_at(now));
        let queue = Arc::new(Queue::new(Backoff::seeded(0)));
        Snapshot { index: Index::new(world, queue, Metrics::new()), undecodable: Vec::new() }
    }

    /// Lists everything that bears on the sandboxes of a namespace.
    ///
    /// # Errors
    /// If a kind can't be listed.
    pub async fn take(
        client: &kube::Client,
        namespace: &str,
        options: &Options,
        now: Timestamp,
    ) -> Result<Self, WhyError> {
        let mut snapshot = Snapshot::empty(options, now);
        snapshot.list::<SandboxTemplate>(client, namespace).await?;
        snapshot.list::<SandboxWarmPool>(client, namespace).await?;
        snapshot.list::<Sandbox>(client, namespace).await?;
        snapshot.list::<Pod>(client, namespace).await?;
        snapshot.list::<Service>(client, namespace).await?;
        snapshot.list::<Volume>(client, namespace).await?;
        snapshot.list::<NetworkPolicy>(client, namespace).await?;
        snapshot.list::<SandboxClaim>(client, namespace).await?;
        Ok(snapshot)
    }

    /// Adds an object.
    pub fn add<T: Indexed>(&self, object: T) {
        self.index.apply(object);
    }

    pub(super) fn world(&self) -> parking_lot::MutexGuard<'_, World> {
        self.index.world()
    }

    async fn list<T: Indexed>(
        &mut self,
        client: &kube::Client,
        namespace: &str,
    ) -> Result<(), WhyError> {
        let api: Api<Delivered<T>> = Api::namespaced(client.clone(), namespace);
        let mut params = ListParams::default().limit(PAGE);
        let mut seen = BTreeSet::new();
        loop {
            let list = api.list(&params).await.map_err(|source| WhyError::List {
                kind: T::KIND,
                namespace: namespace.to_owned(),
                source,
            })?;
            for delivered in list.items {
                let key = delivered.key();
                match delivered.object {
                    Ok(object) => self.add(object),
                    Err(error) => self.undecodable.push((T::KIND, key.clone(), error)),
                }
                seen.insert(key);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }
}
