//! The objects the command line shows: their specs and statuses are those of the dialects, their metadata kube's.

pub mod kruise;
mod x_k8s;

use controllers::kinds::Kind;
use dialects::condition::Condition;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Object, ObjectMeta};
use serde::de::DeserializeOwned;

pub use x_k8s::*;

use super::connect::Server;

/// `Reason: message`, or what of it there is.
pub fn because(condition: &Condition) -> String {
    match (condition.reason.as_str(), condition.message.as_str()) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// How long ago an object was made, as kubectl's AGE column says it.
pub fn age(meta: &ObjectMeta, now: Timestamp) -> String {
    match &meta.creation_timestamp {
        Some(time) => super::duration::short(now.duration_since(time.0)),
        None => "<unknown>".into(),
    }
}

/// `namespace/name`.
pub fn full_name(meta: &ObjectMeta) -> String {
    let name = meta.name.as_deref().unwrap_or_default();
    match &meta.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// How a kind is addressed.
pub fn resource(kind: Kind) -> ApiResource {
    let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), kind.name());
    ApiResource::from_gvk_with_plural(&gvk, kind.plural())
}

/// Which namespaces a listing covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one of the flag or the kubeconfig.
    Namespace,
    /// All.
    Everywhere,
}

impl Server {
    /// The pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Objects of a kind.
    pub fn api<P, U>(&self, kind: Kind, scope: Scope) -> Api<Object<P, U>>
    where
        P: Clone,
        U: Clone,
    {
        let resource = resource(kind);
        match scope {
            Scope::Namespace => {
                Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
            }
            Scope::Everywhere => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// Makes an object in the namespace, and answers with what the server made of it.
    pub async fn make<T: DeserializeOwned>(
        &self,
        kind: Kind,
        object: &DynamicObject,
    ) -> Result<T, kube::Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind));
        let made = api.create(&kube::api::PostParams::default(), object).await?;
        // The way from the answer's JSON to the typed object; nothing is cloned but a few fields.
        let json = serde_json::to_value(made).map_err(kube::Error::SerdeError)?;
        serde_json::from_value(json).map_err(kube::Error::SerdeError)
    }
}

/// All objects of a kind; nothing if the server does not serve it.
pub async fn list_served<K>(api: &Api<K>) -> Result<Option<Vec<K>>, kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
