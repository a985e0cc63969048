//! What people can do, whatever the family. They use a clean connection: faults are for controllers.

use std::time::Duration;

use controllers::Clock;
use http::{Method, Request, header};
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// The namespace in which everything happens.
pub const NAMESPACE: &str = "default";

/// A person with a client.
#[derive(Clone)]
pub struct User {
    client: Client,
    clock: Clock,
}

impl User {
    /// A person who uses this client; faults are for controllers, so it should be a clean one.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock }
    }

    /// A kind of object, in the namespace.
    pub(super) fn api(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        plural: &str,
    ) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    /// Says of a pod what its node would say.
    pub async fn report_pod(&self, name: &str, phase: &str, ready: bool) -> kube::Result<()> {
        let ready = if ready { "True" } else { "False" };
        let conditions = json!([
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": ready},
        ]);
        let patch = json!({"status": {"phase": phase, "conditions": conditions}});
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}/status");
        self.send(Method::PATCH, &path, Some(&patch)).await.map(|_| ())
    }

    /// The server's time so many seconds from now.
    pub fn in_seconds(&self, seconds: i64) -> Timestamp {
        let now = self.clock.now();
        let at = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
        at.round(jiff::Unit::Second).unwrap_or(at)
    }

    /// Installs kinds and waits until they are served.
    pub async fn install(&self, definitions: Vec<Value>) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for crd in definitions {
            let name = crd["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.send(Method::POST, path, Some(&crd)).await.expect("our definitions are valid");
            loop {
                let crd = self.send(Method::GET, &format!("{path}/{name}"), None).await;
                if crd.is_ok_and(|crd| super::view::is_true(&crd, "Established")) {
                    break;
                }
                // Time is paused: this only lets the server work.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Sends a request of any kind.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> kube::Result<Value> {
        let content = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::CONTENT_TYPE, content).body(body);
        self.client.request(request.map_err(kube::Error::HttpError)?).await
    }
}

/// Makes an object of the kind that `api` is for.
pub(super) async fn create(
    api: &Api<DynamicObject>,
    group_version: &str,
    kind: &str,
    name: &str,
    spec: Value,
) -> kube::Result<()> {
    let object = json!({
        "apiVersion": group_version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    });
    let object = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    api.create(&PostParams::default(), &object).await.map(|_| ())
}

/// Changes an object, whatever version it has.
pub(super) async fn merge(api: &Api<DynamicObject>, name: &str, patch: Value) -> kube::Result<()> {
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ())
}

/// Deletes an object.
pub(super) async fn delete(api: &Api<DynamicObject>, name: &str) -> kube::Result<()> {
    api.delete(name, &DeleteParams::default()).await.map(|_| ())
}

/// The names of all objects of a kind.
pub(super) async fn names(api: &Api<DynamicObject>) -> kube::Result<Vec<String>> {
    Ok(api.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect())
}
