//! A server, a node and the controllers, and short ways to say what a story needs.

use std::future::Future;
use std::time::Duration;

use apiserver::testing::{Faults, TestServer};
use apiserver::{ApiServer, Clock as ServerClock, Converter, Ids};
use controllers::kinds::Kind;
use controllers::metrics::Metrics;
use controllers::{Clock, Options, RunError};
use http::{Method, Request, header};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::commands::Commands;
use crate::node;
use crate::wire::Wire;

/// When all stories begin.
const BEGIN: &str = "2030-01-01T00:00:00Z";

/// No step of a story takes longer, in the story's own time.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Stage {
    pub server: TestServer,
    pub client: kube::Client,
    pub wire: Wire,
    pub clock: Clock,
    /// What was run in pods.
    pub commands: Commands,
    node: JoinHandle<()>,
    cast: Vec<Controllers>,
}

/// One controller process.
pub struct Controllers {
    pub metrics: Metrics,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), RunError>>,
}

struct Versions;

impl Converter for Versions {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        let version = api_version.rsplit('/').next().unwrap_or_default();
        dialects::x_k8s::convert::convert(object, version).map_err(|error| error.to_string())
    }
}

impl Stage {
    /// A server with the kinds of both families, and a node.
    pub async fn empty() -> Stage {
        let stage = Stage::undefined().await;
        for crd in dialects::crds::crds() {
            stage.define(&crd).await;
        }
        stage
    }

    /// A server that serves none of our kinds yet, and a node.
    pub async fn undefined() -> Stage {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let commands = Commands::default();
        let mut builder = ApiServer::builder()
            .clock(ServerClock::tokio(begin))
            .ids(Ids::seeded(1))
            .pods(Arc::new(commands.clone()));
        for kind in dialects::x_k8s::Kind::ALL {
            builder = builder.converter(kind.group(), kind.as_str(), Arc::new(Versions));
        }
        let server = TestServer::open(builder).await;
        let client = kube::Client::new(server.service(), "default");
        let node = tokio::spawn(node::run(client.clone()));
        let clock = Clock::starting_at(begin);
        let wire = Wire::default();
        Stage { server, client, wire, clock, commands, node, cast: Vec::new() }
    }

    /// Installs a definition and waits until the kind is served.
    pub async fn define(&self, crd: &Value) {
        let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        self.send(Method::POST, path, Some(crd)).await.unwrap();
        self.until("the kind is served", async || {
            let crd = self.send(Method::GET, &format!("{path}/{name}"), None).await.unwrap();
            let conditions = crd["status"]["conditions"].as_array()?.clone();
            conditions
                .iter()
                .any(|c| c["type"] == "Established" && c["status"] == "True")
                .then_some(())
        })
        .await;
    }

    /// The same with controllers running.
    pub async fn open() -> Stage {
        let mut stage = Stage::empty().await;
        stage.enter(|_| {});
        stage
    }

    /// Starts controllers with the given changes to the usual options.
    pub fn enter(&mut self, change: impl FnOnce(&mut Options)) -> &Controllers {
        let client = self.wire.client(self.server.service());
        self.enter_as(client, change)
    }

    /// Starts controllers whose requests these faults may strike.
    pub fn enter_through(&mut self, faults: &Faults) -> &Controllers {
        let client = self.wire.client(faults.layer(self.server.service()));
        self.enter_as(client, |_| {})
    }

    fn enter_as(
        &mut self,
        client: kube::Client,
        change: impl FnOnce(&mut Options),
    ) -> &Controllers {
        let mut options = Options {
            clock: self.clock.clone(),
            seed: 7,
            workers: 16,
            metrics: Metrics::new(),
            ..Options::default()
        };
        change(&mut options);
        let metrics = options.metrics.clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(controllers::run(client, options, stop.clone()));
        self.cast.push(Controllers { metrics, stop, task });
        self.cast.last().unwrap()
    }

    /// The numbers of the first controllers.
    pub fn metrics(&self) -> &Metrics {
        &self.cast[0].metrics
    }

    /// Takes the controllers that entered first.
    pub fn take(&mut self) -> Controllers {
        self.cast.remove(0)
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let content = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, content)
            .body(body)
            .unwrap();
        self.client.request(request).await
    }

    pub async fn create(&self, kind: Kind, mut object: Value) -> Value {
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.name().into();
        self.send(Method::POST, &kind.collection("default"), Some(&object)).await.unwrap()
    }

    pub async fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        match self.send(Method::GET, &format!("{}/{name}", kind.collection("default")), None).await
        {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("get {kind} {name}: {error}"),
        }
    }

    pub async fn list(&self, kind: Kind) -> Vec<Value> {
        let list = self.send(Method::GET, &kind.collection("default"), None).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    pub async fn patch(&self, kind: Kind, name: &str, patch: Value) -> Value {
        self.send(Method::PATCH, &format!("{}/{name}", kind.collection("default")), Some(&patch))
            .await
            .unwrap()
    }

    pub async fn delete(&self, kind: Kind, name: &str) {
        self.send(Method::DELETE, &format!("{}/{name}", kind.collection("default")), None)
            .await
            .unwrap();
    }

    /// A template whose pods run this image.
    pub async fn template(&self, name: &str, image: &str) {
        self.create(Kind::Template, template(name, image)).await;
    }

    /// A pool of that template, under this strategy, filled.
    pub async fn pool(&self, name: &str, template: &str, replicas: u32, strategy: Value) {
        let spec = json!({"replicas": replicas, "sandboxTemplateRef": {"name": template}, "updateStrategy": strategy});
        self.create(Kind::Pool, json!({"metadata": {"name": name}, "spec": spec})).await;
    }

    pub async fn claim(&self, name: &str, pool: &str) {
        self.create(
            Kind::Claim,
            json!({"metadata": {"name": name}, "spec": {"warmPoolRef": {"name": pool}}}),
        )
        .await;
    }

    /// Waits until the pool says that it has so many ready.
    pub async fn filled(&self, pool: &str, ready: u32) {
        self.until(&format!("pool {pool} has {ready} ready"), async || {
            let status = self.get(Kind::Pool, pool).await?["status"].clone();
            let says = |field: &str| status[field].as_u64().unwrap_or(0);
            (says("readyReplicas") == u64::from(ready) && says("replicas") == u64::from(ready))
                .then_some(())
        })
        .await;
    }

    /// Waits until the claim is ready and returns it.
    pub async fn ready(&self, claim: &str) -> Value {
        self.until(&format!("claim {claim} is ready"), async || {
            let claim = self.get(Kind::Claim, claim).await?;
            (condition(&claim, "Ready")["status"] == "True").then_some(claim)
        })
        .await
    }

    /// Waits for something to be true. Time is paused: a wait costs nothing but the work that has to be done first.
    pub async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        check: impl Fn() -> F,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(found) = check().await {
                return found;
            }
            if Instant::now() >= deadline {
                panic!("never came true: {what}\n{}", self.describe().await);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(Duration::from_millis(500));
        }
    }

    /// Lets time pass.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn describe(&self) -> String {
        let mut text = String::new();
        let x_k8s = [Kind::Template, Kind::Pool, Kind::Claim, Kind::Sandbox, Kind::Pod];
        let kruise = [Kind::SandboxSet, Kind::KruiseClaim, Kind::KruiseSandbox];
        for kind in x_k8s.into_iter().chain(kruise) {
            for object in self.list(kind).await {
                let (name, status) = (&object["metadata"]["name"], &object["status"]);
                text.push_str(&format!("{kind} {name}: {status}\n"));
            }
        }
        text.push_str(&self.wire.writes().join("\n"));
        text
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.node.abort();
        for controllers in &self.cast {
            controllers.stop.cancel();
            controllers.task.abort();
        }
    }
}

pub fn template(name: &str, image: &str) -> Value {
    let container = json!({"name": "main", "image": image});
    json!({"metadata": {"name": name}, "spec": {"podTemplate": {"spec": {"containers": [container]}}}})
}

/// A condition of an object; null if it has none of this type.
pub fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == kind).unwrap_or_default()
}

/// The kind and name of an object's controller.
pub fn controller(object: &Value) -> (String, String) {
    let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let owner = owners.into_iter().find(|o| o["controller"] == true).unwrap_or_default();
    let text = |field: &str| owner[field].as_str().unwrap_or_default().to_owned();
    (text("kind"), text("name"))
}
