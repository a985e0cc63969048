//! What a watch shows: which objects there are, how many at most, which are ready and since when.
//!
//! Events are read as far as needed and no further: the watcher shares two processors with the server it watches.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{AsyncBufReadExt, StreamExt};
use http::{Method, Request};
use serde::Deserialize;
use tokio::sync::{oneshot, watch};

use crate::caller::Caller;

/// What takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What is looked at of an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Its condition `Ready`, or `Completed` of a claim of many, is true.
    pub ready: bool,
    /// `status.replicas`, and `status.readyReplicas` or `status.availableReplicas`, of a pool.
    pub replicas: (u32, u32),
}

/// What a watch has shown so far.
#[derive(Debug, Default)]
pub struct Scene {
    /// The objects that there are.
    pub present: BTreeMap<String, Seen>,
    /// How many there were at most.
    pub most: usize,
    /// How many of them are ready.
    pub ready: usize,
}

type Expected = Arc<Mutex<HashMap<String, oneshot::Sender<Ready>>>>;

/// One open watch of a collection.
pub struct Watcher {
    what: String,
    expected: Expected,
    scene: watch::Receiver<Scene>,
    task: tokio::task::JoinHandle<()>,
}

impl Watcher {
    /// Lists the collection and watches it from there; the watch is open when this returns.
    pub async fn open(caller: &Caller, path: &str) -> anyhow::Result<Self> {
        let Caller::Client(client) = caller else {
            anyhow::bail!("a watch needs a client");
        };
        let list: List = serde_json::from_str(&caller.call(Method::GET, path, "").await?)?;
        let mut scene = Scene::default();
        for object in list.items {
            scene.apply(object.metadata.name.clone(), Some(object.seen()));
        }
        let version = list.metadata.resource_version;
        let request = Request::get(format!(
            "{path}?watch=true&resourceVersion={version}&timeoutSeconds=3600"
        ))
        .body(Vec::new())?;
        let stream = client.request_stream(request).await?;
        let (tell, scene) = watch::channel(scene);
        let expected = Expected::default();
        let waiting = expected.clone();
        let task = tokio::spawn(async move {
            let mut lines = Box::pin(stream.lines());
            while let Some(Ok(line)) = lines.next().await {
                // A line that is no object (a bookmark has no status, but a name neither) says nothing here.
                let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
                let at = Instant::now();
                let name = event.object.metadata.name.clone();
                let seen = (event.kind != "DELETED").then(|| event.object.seen());
                if seen.as_ref().is_some_and(|seen| seen.ready) {
                    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(tell) = waiting.remove(&name) {
                        // Whoever waited may have lost patience.
                        let _ = tell.send(Ready { at, sandbox: event.object.status.sandbox.name });
                    }
                }
                tell.send_modify(|scene| scene.apply(name, seen));
            }
        });
        Ok(Self { what: path.to_owned(), expected, scene, task })
    }

    /// Promises the moment at which an object is seen ready. Ask before making it.
    pub fn expect(&self, name: &str) -> Arrival {
        let (tell, arrival) = oneshot::channel();
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.insert(name.to_owned(), tell);
        Arrival { what: format!("{} {name}", self.what), arrival }
    }

    /// Waits until what was seen is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Scene) -> bool) -> anyhow::Result<()> {
        self.within(PATIENCE, what, wanted).await
    }

    /// The same with another patience.
    pub async fn within(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Scene) -> bool,
    ) -> anyhow::Result<()> {
        let mut scene = self.scene.clone();
        let waited = tokio::time::timeout(patience, scene.wait_for(|scene| wanted(scene))).await;
        let state = || {
            let scene = self.scene.borrow();
            format!("{what}: {} has {}, {} ready", self.what, scene.present.len(), scene.ready)
        };
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => anyhow::bail!("the watch ended before {}", state()),
            Err(_) => anyhow::bail!("waited {patience:?} in vain for {}", state()),
        }
    }

    /// How many objects there were at most.
    pub fn most(&self) -> usize {
        self.scene.borrow().most
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An object that is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// When it was seen.
    pub at: Instant,
    /// `status.sandbox.name`, of a claim.
    pub sandbox: String,
}

/// An object that will be ready.
pub struct Arrival {
    what: String,
    arrival: oneshot::Receiver<Ready>,
}

impl Arrival {
    /// When it was seen ready.
    pub async fn seen(self) -> anyhow::Result<Ready> {
        let seen = tokio::time::timeout(PATIENCE, self.arrival).await;
        seen.with_context(|| format!("{} was not ready in time", self.what))?
            .with_context(|| format!("the watch ended before {} was ready", self.what))
    }
}

impl Scene {
    fn apply(&mut self, name: String, seen: Option<Seen>) {
        let was_ready = match &seen {
            Some(now) => {
                self.ready += usize::from(now.ready);
                self.present.insert(name, now.clone())
            }
            None => self.present.remove(&name),
        };
        self.ready -= usize::from(was_ready.is_some_and(|was| was.ready));
        self.most = self.most.max(self.present.len());
    }
}

#[derive(Deserialize)]
struct List {
    metadata: ListMeta,
    items: Vec<Partial>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMeta {
    resource_version: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Partial,
}

#[derive(Deserialize)]
struct Partial {
    metadata: Named,
    #[serde(default)]
    status: Status,
}

impl Partial {
    fn seen(&self) -> Seen {
        let status = &self.status;
        let says =
            |c: &Condition| matches!(c.kind.as_str(), "Ready" | "Completed") && c.status == "True";
        let ready = status.conditions.iter().any(says);
        let replicas = (status.replicas, status.ready_replicas.max(status.available_replicas));
        Seen { ready, replicas }
    }
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    conditions: Vec<Condition>,
    replicas: u32,
    ready_replicas: u32,
    available_replicas: u32,
    sandbox: Bound,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bound {
    name: String,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_counts_what_is_there_and_what_was() {
        let mut scene = Scene::default();
        let ready = Seen { ready: true, ..Seen::default() };
        scene.apply("a".into(), Some(Seen::default()));
        scene.apply("b".into(), Some(ready.clone()));
        scene.apply("b".into(), Some(ready));
        assert_eq!((scene.present.len(), scene.ready, scene.most), (2, 1, 2));
        scene.apply("b".into(), None);
        assert_eq!((scene.present.len(), scene.ready, scene.most), (1, 0, 2));
    }

    #[test]
    fn an_event_is_read_as_far_as_needed() {
        let line = r#"{"type":"MODIFIED","object":{"kind":"X","metadata":{"name":"a","uid":"u"},
            "status":{"readyReplicas":2,"conditions":[{"type":"Ready","status":"True","reason":"R"}]}}}"#;
        let event: Event = serde_json::from_str(line).unwrap();
        assert_eq!(event.object.seen(), Seen { ready: true, replicas: (0, 2) });
    }
}
