//! A server to measure: the parts of sandbank in this process, or the real binary beside it; and words for what is asked of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use apiserver::auth::Identity;
use apiserver::{ApiServer, Converter, StoreOptions};
use controllers::metrics::Metrics;
use http::Method;
use node::runtime::FakeRuntime;
use node::{Bundles, Capacity, Node, NodeOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::caller::Caller;
use crate::up::{self, Runtime, Up};
use crate::watchers::Watcher;

/// How long a pretended pod takes to start: about as long as a real one, so that a refill lags behind claims as it would.
pub const FAKE_START: Duration = Duration::from_millis(50);

/// Where claims are.
pub const CLAIMS: &str =
    "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/default/sandboxclaims";
/// Where pools are.
pub const POOLS: &str =
    "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/default/sandboxwarmpools";
/// Where templates are.
pub const TEMPLATES: &str =
    "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/default/sandboxtemplates";
/// Where sandboxes are.
pub const SANDBOXES: &str = "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes";
/// Where the sets of the OpenKruise family are.
pub const SETS: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxsets";
/// Where its claims are.
pub const SET_CLAIMS: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxclaims";
/// Where its sandboxes are.
pub const SET_SANDBOXES: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
/// Where pods are.
pub const PODS: &str = "/api/v1/namespaces/default/pods";

/// A server with controllers and a node.
pub enum Stage {
    /// In this process, with the fake runtime.
    InProcess(Box<InProcess>),
    /// The real binary, over TLS.
    Binary(Box<Up>),
}

/// The parts of `sandbank up`, without its listener.
pub struct InProcess {
    api: ApiServer,
    node: Option<Node>,
    metrics: Metrics,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Stage {
    /// The parts in this process, with a durable store.
    pub async fn in_process() -> anyhow::Result<Self> {
        let folder = up::scratch()?;
        let store = StoreOptions::Durable { path: folder.path().join("store.redb") };
        let mut builder = ApiServer::builder().store(store);
        for kind in dialects::x_k8s::Kind::ALL {
            builder = builder.converter(kind.group(), kind.as_str(), Arc::new(Versions));
        }
        let api = builder.open().await?;
        let client = kube::Client::new(api.service(Identity::system("bench")), "default");
        for crd in dialects::crds::crds() {
            define(&Caller::Client(client.clone()), &crd).await?;
        }
        let stop = CancellationToken::new();
        let capacity = Capacity { cpu_millis: 1 << 40, memory_bytes: 1 << 50, pods: 100_000 };
        let options = NodeOptions {
            capacity: Some(capacity),
            bundles: Bundles::Skipped,
            ..NodeOptions::new(folder.path())
        };
        let runtime = FakeRuntime::new(FAKE_START);
        let node = Node::start(client.clone(), runtime, options, stop.clone()).await?;
        let running = controllers::start(client, controllers::Options::default(), stop.clone());
        let metrics = running.metrics().clone();
        tokio::spawn(running.finished());
        let parts = InProcess { api, node: Some(node), metrics, stop, _folder: folder };
        Ok(Self::InProcess(Box::new(parts)))
    }

    /// The real binary.
    pub async fn binary(runtime: Runtime) -> anyhow::Result<Self> {
        Ok(Self::Binary(Box::new(Up::start(runtime).await?)))
    }

    /// A client with connections of its own.
    pub async fn caller(&self) -> anyhow::Result<Caller> {
        match self {
            Self::Binary(up) => up.caller().await,
            Self::InProcess(parts) => {
                let service = parts.api.service(Identity::system("bench"));
                Ok(Caller::Client(kube::Client::new(service, "default")))
            }
        }
    }

    /// So many of them.
    pub async fn callers(&self, count: usize) -> anyhow::Result<Vec<Caller>> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            callers.push(self.caller().await?);
        }
        Ok(callers)
    }

    /// The text of the controllers' metrics.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        match self {
            Self::InProcess(parts) => Ok(parts.metrics.encode()),
            Self::Binary(up) => up.caller().await?.call(Method::GET, "/metrics", "").await,
        }
    }

    /// Ends everything.
    pub async fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Binary(up) => drop(up),
            Self::InProcess(mut parts) => {
                parts.stop.cancel();
                if let Some(node) = parts.node.take() {
                    node.stop().await;
                }
                parts.api.close().await;
            }
        }
        Ok(())
    }

    /// A template whose sandboxes do nothing until they are told to end.
    pub async fn template(&self, name: &str) -> anyhow::Result<()> {
        let template = json!({
            "apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxTemplate",
            "metadata": {"name": name},
            "spec": {"podTemplate": {"spec": sleeper()}},
        });
        self.caller().await?.create(TEMPLATES, &template).await
    }

    /// A pool, filled.
    pub async fn full_pool(&self, name: &str, template: &str, replicas: u32) -> anyhow::Result<()> {
        let caller = self.caller().await?;
        let pools = Watcher::open(&caller, POOLS).await?;
        let pool = json!({
            "apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxWarmPool",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "sandboxTemplateRef": {"name": template}},
        });
        caller.create(POOLS, &pool).await?;
        until_full(&pools, name, replicas).await
    }

    /// A SandboxSet, filled.
    pub async fn full_set(&self, name: &str, replicas: u32) -> anyhow::Result<()> {
        let caller = self.caller().await?;
        let sets = Watcher::open(&caller, SETS).await?;
        let set = json!({
            "apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxSet",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "template": {"spec": sleeper()}},
        });
        caller.create(SETS, &set).await?;
        until_full(&sets, name, replicas).await
    }
}

/// Waits until a pool says that it has what it shall have.
pub async fn until_full(pools: &Watcher, name: &str, replicas: u32) -> anyhow::Result<()> {
    pools
        .within(Duration::from_secs(600), "a full pool", |scene| {
            scene.present.get(name).is_some_and(|pool| pool.replicas == (replicas, replicas))
        })
        .await
}

/// The spec of a pod that does nothing until it is told to end.
pub fn sleeper() -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "main", "image": "host",
            "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"],
        }],
    })
}

/// Creates a definition and waits until its kind is served.
pub async fn define(caller: &Caller, crd: &Value) -> anyhow::Result<()> {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    caller.create(path, crd).await?;
    let version = crd["spec"]["versions"].as_array().and_then(|v| v.last());
    let name = |value: &Value| value.as_str().map(str::to_owned).context("a name");
    let served = format!(
        "/apis/{}/{}/{}",
        name(&crd["spec"]["group"])?,
        name(&version.context("a version")?["name"])?,
        name(&crd["spec"]["names"]["plural"])?
    );
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while let Err(error) = caller.call(Method::GET, &served, "").await {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "{served} is not served: {error}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The versions of our kinds become each other in process, as `sandbank up` has it.
struct Versions;

impl Converter for Versions {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        dialects::x_k8s::convert::convert(object, api_version).map_err(|error| error.to_string())
    }
}
