//! A node that only says that pods run. What a pod does is written in its image, before the colon:
//! `ready` runs at once, `soon` after three seconds, `slow` after ten, `broken` can't be pulled, `done` has ended well.
//! A container gets another life when its image changes, and what it asks for when that changes; more than eight processors are not to be had.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apiserver::streams::{
    AttachRequest, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session, StreamError,
};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::Request;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How long a pod of the image `ready` takes.
pub const START: Duration = Duration::from_millis(200);

/// The most processors that a container may ask for.
const PROCESSORS: u64 = 8;

/// What the node knows of a pod: for each container its image, its life, and what it was given.
type Given = BTreeMap<String, (String, u32, Value)>;

/// Runs pods until the task is dropped.
pub async fn run(client: kube::Client) {
    let pods = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &pods);
    let mut events = watcher(all, watcher::Config::default()).boxed();
    let mut known: BTreeMap<String, (String, Given)> = BTreeMap::new();
    let mut lives = 0;
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let client = client.clone();
        if pod.metadata.deletion_timestamp.is_some() {
            tokio::spawn(async move {
                // Gone already is as good.
                let _ = send(&client, "DELETE", &path, &json!({"gracePeriodSeconds": 0})).await;
            });
            continue;
        }
        let uid = pod.uid().unwrap_or_default();
        let spec = pod.data["spec"].clone();
        let fresh = !known.contains_key(&uid);
        let (ip, given) = known.entry(uid).or_insert_with(|| {
            lives += 1;
            (format!("10.1.{}.{}", lives / 250, lives % 250 + 1), Given::new())
        });
        let before = given.clone();
        let infeasible = follow(given, &spec, &mut lives);
        if !fresh && *given == before && infeasible.is_none() {
            continue;
        }
        let (delay, status) = life(&spec, ip, given, infeasible);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // A pod that was deleted meanwhile has no status to write.
            let _ = send(&client, "PATCH", &format!("{path}/status"), &json!({ "status": status }))
                .await;
        });
    }
}

async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let content =
        if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content)
        .body(body.to_string().into_bytes())
        .unwrap();
    client.request(request).await
}

/// Gives the containers what they ask for. Returns why not, if one asks for too much.
fn follow(given: &mut Given, spec: &Value, lives: &mut u32) -> Option<String> {
    let mut refused = None;
    for container in spec["containers"].as_array().into_iter().flatten() {
        let text = |field: &str| container[field].as_str().unwrap_or_default().to_owned();
        let (image, asked) = (text("image"), container["resources"].clone());
        let processors = asked["requests"]["cpu"].as_str().and_then(|cpu| cpu.parse::<u64>().ok());
        let too_much = processors.is_some_and(|cpu| cpu > PROCESSORS);
        let entry = given.entry(text("name")).or_insert_with(|| (String::new(), 0, asked.clone()));
        if entry.0 != image {
            *lives += 1;
            (entry.0, entry.1) = (image, *lives);
        }
        if too_much {
            refused = Some(format!("{} processors are not to be had", processors.unwrap_or(0)));
        } else {
            entry.2 = asked;
        }
    }
    refused
}

fn life(spec: &Value, ip: &str, given: &Given, infeasible: Option<String>) -> (Duration, Value) {
    let condition = |kind: &str, holds: bool| json!({"type": kind, "status": if holds { "True" } else { "False" }});
    let statuses = |state: Value, ready: bool| -> Vec<Value> {
        given
            .iter()
            .map(|(name, (image, life, resources))| {
                json!({"name": name, "ready": ready, "restartCount": 0, "image": image, "state": state,
                       "imageID": format!("id-of-{image}"), "containerID": format!("fake://{life}"), "resources": resources})
            })
            .collect()
    };
    let mut conditions = vec![condition("PodScheduled", true), condition("Ready", true)];
    if let Some(why) = infeasible {
        conditions.push(json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": why}));
    }
    let running = json!({
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions,
        "containerStatuses": statuses(json!({"running": {"startedAt": "2030-01-01T00:00:00Z"}}), true),
    });
    let image = spec["containers"][0]["image"].as_str().unwrap_or_default();
    match image.split(':').next().unwrap_or_default() {
        "soon" => (Duration::from_secs(3), running),
        "slow" => (Duration::from_secs(10), running),
        "broken" => {
            let waiting =
                json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
            let conditions = [condition("PodScheduled", true), condition("Ready", false)];
            let statuses = statuses(waiting, false);
            (
                START,
                json!({"phase": "Pending", "conditions": conditions, "containerStatuses": statuses}),
            )
        }
        "done" => (START, json!({"phase": "Succeeded", "podIP": ip, "podIPs": [{"ip": ip}]})),
        _ => (START, running),
    }
}

/// Runs the commands of hooks: `fail` says why and ends badly, `hang` never ends, everything else ends well.
#[derive(Clone, Default)]
pub struct Commands(Arc<Mutex<Vec<String>>>);

impl Commands {
    /// What was run so far: pod life, then command.
    pub fn run(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

impl PodStreams for Commands {
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        async move {
            self.0.lock().push(format!("{} {}", request.target.uid, request.command.join(" ")));
            let (code, said): (i32, &'static [u8]) = match request.command[0].as_str() {
                "fail" => (3, b"no space left\n"),
                _ => (0, b""),
            };
            let hangs = request.command[0] == "hang";
            let (resize, _) = mpsc::channel(1);
            let exit = async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok(Exit { code })
            };
            Ok(Session {
                stdin: None,
                stdout: Some(Box::new(tokio::io::empty())),
                stderr: Some(Box::new(said)),
                resize,
                exit: exit.boxed(),
            })
        }
        .boxed()
    }

    fn attach(&self, _: AttachRequest) -> BoxFuture<'_, Result<Session, StreamError>> {
        async { Err(StreamError::Unsupported("attach".to_owned())) }.boxed()
    }

    fn logs(&self, _: LogRequest) -> BoxFuture<'_, Result<LogStream, StreamError>> {
        async { Err(StreamError::Unsupported("logs".to_owned())) }.boxed()
    }
}
