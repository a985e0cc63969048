//! A cluster for one heading of a document: a server, the controllers, a pretended machine.

use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::TestServer;
use apiserver::{ApiServer, Clock as ServerClock, Converter, Ids};
use controllers::metrics::Metrics;
use controllers::{Clock, Options};
use dialects::kruise;
use dialects::x_k8s::Kind;
use http::{Request, header};
use jiff::Timestamp;
use kube::client::Body;
use sandbank_tests::simulator::node::{self, Mood, NodeTemper};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::wire::Wire;

/// When everything begins.
const BEGIN: &str = "2030-01-01T00:00:00Z";

/// Half of what `LATER` waits. Whatever was wrong was tried at once and a few times more in the first half; the second shows how often it is tried for good.
const WHILE: Duration = Duration::from_secs(300);

/// Definitions are served within moments; a poll of the server's own answer.
const ESTABLISHED: Duration = Duration::from_millis(1);

pub struct World {
    server: TestServer,
    wire: Wire,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

struct Versions;

impl Converter for Versions {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        let version = api_version.rsplit('/').next().unwrap_or_default();
        dialects::x_k8s::convert::convert(object, version).map_err(|error| error.to_string())
    }
}

impl World {
    pub async fn open() -> World {
        let begin: Timestamp = BEGIN.parse().unwrap();
        let mut builder = ApiServer::builder().clock(ServerClock::tokio(begin)).ids(Ids::seeded(1));
        for kind in Kind::ALL {
            builder = builder.converter(kind.group(), kind.as_str(), Arc::new(Versions));
        }
        let server = TestServer::open(builder).await;
        let (wire, stop) = (Wire::default(), CancellationToken::new());
        let mut world = World { server, wire, stop: stop.clone(), tasks: Vec::new() };
        for crd in [dialects::x_k8s::crds::crds(), dialects::kruise::crds::crds()].concat() {
            world.define(&crd).await;
        }
        let client = kube::Client::new(world.server.service(), "default");
        world.tasks.push(tokio::spawn(node::run(
            client,
            NodeTemper::default(),
            Mood::default(),
            1,
        )));
        let options = Options {
            clock: Clock::starting_at(begin),
            seed: 7,
            workers: 16,
            metrics: Metrics::new(),
            ..Options::default()
        };
        let client = kube::Client::new(world.wire.to(world.server.service()), "default");
        world.tasks.push(tokio::spawn(async move {
            controllers::run(client, options, stop).await.unwrap();
        }));
        world
    }

    async fn define(&self, crd: &Value) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let (code, _, answer) = self.exchange("POST", path, JSON, crd.to_string()).await;
        assert_eq!(code, 201, "{answer}");
        let path = format!("{path}/{}", crd["metadata"]["name"].as_str().unwrap());
        loop {
            let (_, _, crd) = self.exchange("GET", &path, JSON, String::new()).await;
            let conditions = crd["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True") {
                return;
            }
            tokio::time::sleep(ESTABLISHED).await;
        }
    }

    /// Sends a request whose body stands in a document as YAML, without apiVersion and kind.
    pub async fn send_object(&self, method: &str, path: &str, body: &str) -> Vec<String> {
        let (resource, content) = (resource(path), if method == "PATCH" { MERGE } else { JSON });
        if body.is_empty() {
            return self.send(method, path, content, String::new()).await;
        }
        let mut object: Value = serde_saphyr::from_str(body).unwrap();
        if method != "PATCH" {
            object["apiVersion"] = resource.api_version.into();
            object["kind"] = resource.kind.into();
        }
        self.send(method, path, content, object.to_string()).await
    }

    /// Sends a request and says what was answered.
    pub async fn send(&self, method: &str, path: &str, content: &str, body: String) -> Vec<String> {
        let path = if path.starts_with('/') { path.to_owned() } else { resource(path).path(path) };
        let (code, warnings, answer) = self.exchange(method, &path, content, body).await;
        let mut lines: Vec<String> =
            warnings.iter().map(|warning| format!("Warning: {warning}")).collect();
        if answer["kind"] == "Status" && answer["status"] == "Failure" {
            let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
            lines.push(format!("{code} {}: {}", text("reason"), text("message")));
            for cause in answer["details"]["causes"].as_array().into_iter().flatten() {
                let text = |field: &str| cause[field].as_str().unwrap_or_default();
                lines.push(format!("  {} {}", text("field"), text("reason")));
            }
        } else {
            lines.push(code.to_string());
        }
        lines
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: String,
    ) -> (u16, Vec<String>, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, content)
            .body(Body::from(body.into_bytes()))
            .unwrap();
        let response = self.server.service().oneshot(request).await.unwrap();
        let warnings = response.headers().get_all("Warning");
        let warnings = warnings.iter().map(|value| value.to_str().unwrap().to_owned()).collect();
        let code = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        let answer = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        (code, warnings, answer)
    }

    /// Lets time pass, and tells what became of an object.
    pub async fn later(&self, object: &str) -> Vec<String> {
        tokio::time::sleep(WHILE).await;
        let before = self.wire.writes();
        tokio::time::sleep(WHILE).await;
        let writes = self.wire.writes() - before;

        let of = resource(object);
        let (code, _, found) = self.exchange("GET", &of.path(object), JSON, String::new()).await;
        let mut lines = Vec::new();
        if code != 200 {
            lines.push(code.to_string());
        }
        if let (Some(phase), Some(message)) =
            (found["status"]["phase"].as_str(), found["status"]["message"].as_str())
        {
            lines.push(format!("{phase}: {message}"));
        }
        for condition in found["status"]["conditions"].as_array().into_iter().flatten() {
            let text = |field: &str| condition[field].as_str().unwrap_or_default();
            lines.push(format!(
                "{}={} {}: {}",
                text("type"),
                text("status"),
                text("reason"),
                text("message")
            ));
        }
        lines.extend(self.events(of.kind, object.split('/').next_back().unwrap()).await);
        lines.push(format!("{writes} writes in five minutes"));
        lines
    }

    async fn events(&self, kind: &str, name: &str) -> Vec<String> {
        let name = crate::text::expand(name);
        let path = "/apis/events.k8s.io/v1/namespaces/default/events";
        let (_, _, list) = self.exchange("GET", path, JSON, String::new()).await;
        let events = list["items"].as_array().cloned().unwrap_or_default();
        let mut lines: Vec<String> = events
            .iter()
            .filter(|event| event["regarding"]["kind"] == kind)
            .filter(|event| event["regarding"]["name"] == *name)
            .map(|event| {
                let text = |field: &str| event[field].as_str().unwrap_or_default();
                format!("event {} {}: {}", text("type"), text("reason"), text("note"))
            })
            .collect();
        lines.sort();
        lines.dedup();
        lines
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

/// A collection, as documents name it: by its plural, and those of agents.kruise.io, whose plurals others have too, by their short names.
struct Resource {
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
}

impl Resource {
    /// The path of what a document calls `sandboxes/a?query`.
    fn path(&self, short: &str) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let end = short.find(['/', '?']).unwrap_or(short.len());
        let rest = crate::text::expand(&short[end..]);
        format!("{root}/{}/namespaces/default/{}{rest}", self.api_version, self.plural)
    }
}

fn resource(path: &str) -> Resource {
    let name = path.split(['/', '?']).next().unwrap_or_default();
    let built_in = [
        ("pods", "Pod"),
        ("configmaps", "ConfigMap"),
        ("services", "Service"),
        ("persistentvolumeclaims", "PersistentVolumeClaim"),
    ];
    if let Some((plural, kind)) = built_in.into_iter().find(|(plural, _)| *plural == name) {
        return Resource { api_version: "v1", kind, plural };
    }
    if let Some(kind) = kruise::Kind::ALL.into_iter().find(|kind| kind.short() == name) {
        let api_version = kruise::names::API_VERSION;
        return Resource { api_version, kind: kind.as_str(), plural: kind.plural() };
    }
    let kind = Kind::ALL.into_iter().find(|kind| kind.plural() == name);
    let kind = kind.unwrap_or_else(|| panic!("what is {path}?"));
    Resource { api_version: kind.api_version(), kind: kind.as_str(), plural: kind.plural() }
}
