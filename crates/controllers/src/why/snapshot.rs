//! One listing of a namespace, as a world.

use std::sync::Arc;

use engine::Key;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;

use super::WhyError;
use crate::clock::Clock;
use crate::family::{Family, Watches};
use crate::index::decode::Delivered;
use crate::index::{Index, Indexed, World};
use crate::kinds::Kind;
use crate::metrics::Metrics;
use crate::queue::{Backoff, Queue};

/// Objects asked for at once.
const PAGE: u32 = 500;

/// A namespace as it was listed, with what one family keeps of it.
#[derive(Debug)]
pub struct Snapshot<F: Family> {
    index: Index<F>,
    /// Objects that could not be decoded, with what is wrong.
    pub undecodable: Vec<(Kind, Key, String)>,
}

/// Adds the objects of one kind.
type List<F> = for<'a> fn(
    &'a mut Snapshot<F>,
    &'a kube::Client,
    &'a str,
) -> BoxFuture<'a, Result<(), WhyError>>;

struct Lists<F: Family>(Vec<List<F>>);

impl<F: Family> Watches<F> for Lists<F> {
    /// Labels are not looked at: one namespace is small, and what lacks its label may be the answer.
    fn kind<T: Indexed<F>>(&mut self, _: Option<&'static str>) {
        self.0.push(|snapshot, client, namespace| Box::pin(snapshot.list::<T>(client, namespace)));
    }
}

impl<F: Family> Snapshot<F> {
    /// An empty one, to be filled with [`Snapshot::add`].
    #[must_use]
    pub fn empty(own: F::Own, now: Timestamp) -> Self {
        let world = World::new(own, Clock::starting_at(now), Metrics::new());
        let queue = Arc::new(Queue::new(Backoff::seeded(0)));
        Snapshot { index: Index::new(world, queue), undecodable: Vec::new() }
    }

    /// Lists everything that bears on the sandboxes of a namespace.
    ///
    /// # Errors
    /// If a kind can't be listed.
    pub async fn take(
        client: &kube::Client,
        namespace: &str,
        own: F::Own,
        now: Timestamp,
    ) -> Result<Self, WhyError> {
        let mut lists = Lists(Vec::new());
        F::watch(&mut lists);
        let mut snapshot = Snapshot::empty(own, now);
        for list in lists.0 {
            list(&mut snapshot, client, namespace).await?;
        }
        Ok(snapshot)
    }

    /// Adds an object.
    pub fn add<T: Indexed<F>>(&self, object: T) {
        self.index.apply(object);
    }

    pub(super) fn world(&self) -> parking_lot::MutexGuard<'_, World<F>> {
        self.index.world()
    }

    async fn list<T: Indexed<F>>(
        &mut self,
        client: &kube::Client,
        namespace: &str,
    ) -> Result<(), WhyError> {
        let api: Api<Delivered<T>> = Api::namespaced(client.clone(), namespace);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let list = match api.list(&params).await {
                Ok(list) => list,
                // A kind that is not served: there is none of it.
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                Err(source) => {
                    let (kind, namespace) = (T::KIND, namespace.to_owned());
                    return Err(WhyError::List { kind, namespace, source });
                }
            };
            for delivered in list.items {
                let key = delivered.key();
                match delivered.object {
                    Ok(object) => self.add(object),
                    Err(error) => self.undecodable.push((T::KIND, key, error)),
                }
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(()),
            }
        }
    }
}
