//! Services, volume claims and network policies: their metadata, and the spec that is compared with what it should be.

use dialects::meta::Meta;
use serde::Deserialize;
use serde_json::Value;

macro_rules! child {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// Its metadata.
            pub metadata: Meta,
            /// What it is.
            pub spec: Value,
        }
    )* };
}

child! {
    /// A Service.
    Service,
    /// A PersistentVolumeClaim.
    Volume,
    /// A NetworkPolicy.
    NetworkPolicy,
}
