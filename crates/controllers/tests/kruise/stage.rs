//! A server, a node and the controllers, and short ways to say what a story needs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::TestServer;
use apiserver::{ApiServer, Clock as ServerClock, Ids};
use controllers::kinds::Kind;
use controllers::metrics::Metrics;
use controllers::{Clock, Options, RunError};
use http::{Method, Request, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::node::{self, Commands};
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
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), RunError>>,
}

impl Stage {
    /// A server with the kinds of the family, and a node.
    pub async fn empty() -> Stage {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let commands = Commands::default();
        let builder = ApiServer::builder()
            .clock(ServerClock::tokio(begin))
            .ids(Ids::seeded(1))
            .pods(Arc::new(commands.clone()));
        let server = TestServer::open(builder).await;
        let client = kube::Client::new(server.service(), "default");
        let node = tokio::spawn(node::run(client.clone()));
        let clock = Clock::starting_at(begin);
        let wire = Wire::default();
        let stage = Stage { server, client, wire, clock, commands, node, cast: Vec::new() };
        for crd in dialects::kruise::crds::crds() {
            let name = crd["metadata"]["name"].as_str().unwrap().to_owned();
            let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
            stage.send(Method::POST, path, Some(&crd)).await.unwrap();
            stage
                .until("the kind is served", async || {
                    let crd =
                        stage.send(Method::GET, &format!("{path}/{name}"), None).await.unwrap();
                    let conditions = crd["status"]["conditions"].as_array()?.clone();
                    conditions
                        .iter()
                        .any(|c| c["type"] == "Established" && c["status"] == "True")
                        .then_some(())
                })
                .await;
        }
        stage
    }

    /// The same with controllers running.
    pub async fn open() -> Stage {
        let mut stage = Stage::empty().await;
        stage.enter(|_| {});
        stage
    }

    /// Starts controllers with the given changes to the usual options.
    pub fn enter(&mut self, change: impl FnOnce(&mut Options)) -> &Controllers {
        let mut options = Options {
            clock: self.clock.clone(),
            seed: 7,
            workers: 16,
            metrics: Metrics::new(),
            ..Options::default()
        };
        change(&mut options);
        let stop = CancellationToken::new();
        let client = self.wire.client(self.server.service());
        let task = tokio::spawn(controllers::run(client, options, stop.clone()));
        self.cast.push(Controllers { stop, task });
        self.cast.last().unwrap()
    }

    /// Ends the controllers that entered first, as a crash would.
    pub fn kill(&mut self) {
        self.cast.remove(0).task.abort();
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

    /// A sandbox of this image that nobody else owns, with more laid over its spec.
    pub async fn sandbox(&self, name: &str, image: &str, more: Value) {
        self.create(Kind::KruiseSandbox, sandbox(name, image, more)).await;
    }

    /// Waits until the sandbox is in this phase, and returns it.
    pub async fn phase(&self, name: &str, phase: &str) -> Value {
        self.until(&format!("sandbox {name} is {phase}"), async || {
            let sandbox = self.get(Kind::KruiseSandbox, name).await?;
            (sandbox["status"]["phase"] == phase).then_some(sandbox)
        })
        .await
    }

    /// Waits until a condition of a sandbox has this reason, and returns the sandbox.
    pub async fn reason(&self, name: &str, kind: &str, reason: &str) -> Value {
        self.until(&format!("{kind} of sandbox {name} says {reason}"), async || {
            let sandbox = self.get(Kind::KruiseSandbox, name).await?;
            (condition(&sandbox, kind)["reason"] == reason).then_some(sandbox)
        })
        .await
    }

    /// Waits until the sandbox runs and is ready, and returns it.
    pub async fn ready(&self, name: &str) -> Value {
        self.until(&format!("sandbox {name} is ready"), async || {
            let sandbox = self.get(Kind::KruiseSandbox, name).await?;
            let ready = condition(&sandbox, "Ready")["status"] == "True";
            (ready && sandbox["status"]["phase"] == "Running").then_some(sandbox)
        })
        .await
    }

    /// The life of a pod.
    pub async fn life(&self, pod: &str) -> Value {
        self.get(Kind::Pod, pod).await.map(|pod| pod["metadata"]["uid"].clone()).unwrap_or_default()
    }

    /// Waits until an event of this reason was written, and returns its text.
    pub async fn event(&self, reason: &str) -> String {
        self.until(&format!("there is an event {reason}"), async || {
            let path = "/apis/events.k8s.io/v1/namespaces/default/events";
            let list = self.send(Method::GET, path, None).await.unwrap();
            let items = list["items"].as_array()?.clone();
            let event = items.into_iter().find(|event| event["reason"] == reason)?;
            Some(event["note"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// So many seconds from now, as objects have it.
    pub fn in_seconds(&self, seconds: i64) -> String {
        let at = self.clock.now() + SignedDuration::from_secs(seconds);
        dialects::condition::to_second(at).to_string()
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
        let kinds = [Kind::SandboxSet, Kind::KruiseClaim, Kind::KruiseSandbox, Kind::Pod];
        for kind in kinds {
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

/// A sandbox of one container of this image, with more laid over its spec.
pub fn sandbox(name: &str, image: &str, more: Value) -> Value {
    let mut spec = json!({"template": {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }});
    merge(&mut spec, &more);
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A volume claim template.
pub fn volume(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
}

/// A condition of an object; null if it has none of this type.
pub fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == kind).unwrap_or_default()
}

fn merge(to: &mut Value, with: &Value) {
    match (to, with) {
        (Value::Object(to), Value::Object(with)) => {
            for (key, value) in with {
                merge(to.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (to, with) => *to = with.clone(),
    }
}
