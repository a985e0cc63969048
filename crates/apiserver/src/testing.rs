//! A server for tests, ready in milliseconds, and faults to put in front of it.
//!
//! ```
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::api::{Api, PostParams};
//! use sandbank_apiserver::testing::TestServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TestServer::start().await;
//! let client = kube::Client::new(server.service(), "default");
//!
//! let maps: Api<ConfigMap> = Api::default_namespaced(client);
//! let map = serde_json::from_value(serde_json::json!({
//!     "metadata": {"generateName": "greeting-"}, "data": {"hello": "world"},
//! }))?;
//! let created = maps.create(&PostParams::default(), &map).await?;
//! assert!(created.metadata.name.is_some_and(|name| name.starts_with("greeting-")));
//! # Ok(())
//! # }
//! ```

mod faults;

use std::ops::Deref;

use jiff::Timestamp;

pub use faults::{Fault, Faults, Faulty, Lists, Rule};

use crate::auth::Identity;
use crate::clock::{Clock, Ids};
use crate::server::{ApiServer, ApiServerBuilder, InProcess};

/// The time of day at which a seeded server begins.
const SEEDED_START: &str = "2030-01-01T00:00:00Z";

/// A server in memory with the namespaces every cluster has.
#[derive(Clone, Debug)]
pub struct TestServer {
    server: ApiServer,
}

impl TestServer {
    /// Starts a server on the machine's clock.
    pub async fn start() -> Self {
        Self::open(ApiServer::builder()).await
    }

    /// Starts a server whose time is tokio's (paused time works) and whose uids and generated names follow from `seed`:
    /// on one thread, the same requests give the same answers.
    pub async fn seeded(seed: u64) -> Self {
        let start: Timestamp = SEEDED_START.parse().expect("a constant that parses");
        let builder = ApiServer::builder().clock(Clock::tokio(start)).ids(Ids::seeded(seed));
        Self::open(builder).await
    }

    /// Starts what a builder describes. Panics if the store does not open, which one in memory always does.
    pub async fn open(builder: ApiServerBuilder) -> Self {
        let server =
            builder.open().await.unwrap_or_else(|error| panic!("open the test server: {error}"));
        Self { server }
    }

    /// A service for `kube::Client::new`, with every right.
    pub fn service(&self) -> InProcess {
        self.server.service(Identity::system("test"))
    }
}

impl TestServer {
    /// Faults to put in front of [`TestServer::service`]: `faults.layer(server.service())`.
    pub fn faults(&self, seed: u64) -> Faults {
        Faults::seeded(seed, self.store())
    }
}

impl Deref for TestServer {
    type Target = ApiServer;

    fn deref(&self) -> &ApiServer {
        &self.server
    }
}
