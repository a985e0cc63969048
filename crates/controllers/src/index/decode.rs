//! Objects as a watch delivers them, decoded one by one.
//!
//! A list is decoded as a whole, so one object that does not fit its type would fail the list, and with it the watch, for ever. Here an object that can't be
//! decoded is delivered as such: it is reported and left out until somebody repairs it, and everything else goes on.

use std::borrow::Cow;
use std::fmt::Debug;

use dialects::pod::Pod;
use k8s_openapi::NamespaceResourceScope;
use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::child::{NetworkPolicy, Service, Volume};
use super::table::Object;
use crate::kinds::Kind;

/// A type that a watch can be decoded into.
pub trait Watched: Object + Clone + DeserializeOwned + Debug + Send + Sync + 'static {
    /// Which kind it is.
    const KIND: Kind;
}

/// Says of which kind types with `metadata` are.
macro_rules! watched {
    ($($type:ty => $kind:expr),* $(,)?) => { $(
        impl $crate::index::table::Object for $type {
            fn meta(&self) -> &dialects::meta::Meta {
                &self.metadata
            }
        }
        impl $crate::index::decode::Watched for $type {
            const KIND: $crate::kinds::Kind = $kind;
        }
    )* };
}
pub(crate) use watched;

watched! {
    Pod => Kind::Pod,
    Service => Kind::Service,
    Volume => Kind::Volume,
    NetworkPolicy => Kind::NetworkPolicy,
}

/// One object of a list or a watch.
#[derive(Clone, Debug)]
pub struct Delivered<T> {
    /// Only what kube's watcher looks at: name, namespace and version.
    identity: ObjectMeta,
    /// The object, or why it can't be decoded.
    pub object: Result<T, String>,
}

impl<T> Delivered<T> {
    /// Its name.
    pub fn key(&self) -> engine::Key {
        engine::Key::new(
            self.identity.namespace.as_deref().unwrap_or_default(),
            self.identity.name.as_deref().unwrap_or_default(),
        )
    }

    /// Its life.
    pub fn uid(&self) -> engine::Uid {
        engine::Uid::new(self.identity.uid.as_deref().unwrap_or_default())
    }

    /// Its version; zero if the server's is not a number.
    pub fn version(&self) -> engine::Version {
        let version = self.identity.resource_version.as_deref().unwrap_or_default();
        engine::Version::parse(version).unwrap_or_default()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Delivered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |field: &str| value["metadata"][field].as_str().map(str::to_owned);
        let identity = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        let object = T::deserialize(&value).map_err(|error| error.to_string());
        Ok(Delivered { identity, object })
    }
}

impl<T: Watched> kube::Resource for Delivered<T> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        T::KIND.name().into()
    }

    fn group((): &()) -> Cow<'_, str> {
        T::KIND.group().into()
    }

    fn version((): &()) -> Cow<'_, str> {
        T::KIND.version().into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        T::KIND.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.identity
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialects::x_k8s::SandboxWarmPool;
    use serde_json::json;

    #[test]
    fn a_malformed_object_is_delivered_as_such_and_keeps_its_name_and_version() {
        let list: Vec<Delivered<SandboxWarmPool>> = serde_json::from_value(json!([
            {"metadata": {"name": "good", "namespace": "ns", "resourceVersion": "7"}, "spec": {"replicas": 2}},
            {"metadata": {"name": "bad", "namespace": "ns", "resourceVersion": "8"}, "spec": {"replicas": "many"}},
        ]))
        .unwrap();
        assert_eq!(list[0].object.as_ref().unwrap().spec.replicas, Some(2));
        assert_eq!(list[1].key(), engine::Key::new("ns", "bad"));
        assert_eq!(kube::Resource::meta(&list[1]).resource_version.as_deref(), Some("8"));
        assert!(list[1].object.as_ref().unwrap_err().contains("many"));
    }
}
