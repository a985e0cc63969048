//! What people can do. They use a clean connection: faults are for controllers.

use std::time::Duration;

use controllers::Clock;
use http::{Method, Request, header};
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
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

    fn api(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let group =
            if kind == "Sandbox" { "agents.x-k8s.io" } else { "extensions.agents.x-k8s.io" };
        let gvk = GroupVersionKind::gvk(group, "v1beta1", kind);
        Api::namespaced_with(
            self.client.clone(),
            NAMESPACE,
            &ApiResource::from_gvk_with_plural(&gvk, plural),
        )
    }

    fn templates(&self) -> Api<DynamicObject> {
        self.api("SandboxTemplate", "sandboxtemplates")
    }

    fn pools(&self) -> Api<DynamicObject> {
        self.api("SandboxWarmPool", "sandboxwarmpools")
    }

    fn claims(&self) -> Api<DynamicObject> {
        self.api("SandboxClaim", "sandboxclaims")
    }

    fn sandboxes(&self) -> Api<DynamicObject> {
        self.api("Sandbox", "sandboxes")
    }

    /// Makes a template whose pods run this image.
    pub async fn create_template(&self, name: &str, image: &str) -> kube::Result<()> {
        let spec = json!({
            "podTemplate": {"spec": {"containers": [{"name": "main", "image": image}]}},
            "envVarsInjectionPolicy": "Allowed",
        });
        self.create(&self.templates(), "SandboxTemplate", name, spec).await
    }

    /// Gives a template another image.
    pub async fn edit_template(&self, name: &str, image: &str) -> kube::Result<()> {
        let patch = json!({"spec": {"podTemplate": {"spec": {"containers": [{"name": "main", "image": image}]}}}});
        self.merge(&self.templates(), name, patch).await
    }

    /// Changes only metadata of a template, which means nothing.
    pub async fn label_template(&self, name: &str, value: &str) -> kube::Result<()> {
        let patch = json!({
            "metadata": {"labels": {"simulator/note": value}},
            "spec": {"podTemplate": {"metadata": {"annotations": {"note": value}}}},
        });
        self.merge(&self.templates(), name, patch).await
    }

    /// Makes a pool.
    pub async fn create_pool(
        &self,
        name: &str,
        template: &str,
        replicas: u32,
        strategy: Value,
    ) -> kube::Result<()> {
        let spec = json!({
            "replicas": replicas,
            "sandboxTemplateRef": {"name": template},
            "updateStrategy": strategy,
        });
        self.create(&self.pools(), "SandboxWarmPool", name, spec).await
    }

    /// Asks a pool for another number.
    pub async fn scale_pool(&self, name: &str, replicas: u32) -> kube::Result<()> {
        self.merge(&self.pools(), name, json!({"spec": {"replicas": replicas}})).await
    }

    /// Makes a pool use another template.
    pub async fn switch_pool(&self, name: &str, template: &str) -> kube::Result<()> {
        self.merge(&self.pools(), name, json!({"spec": {"sandboxTemplateRef": {"name": template}}}))
            .await
    }

    /// Deletes a pool.
    pub async fn delete_pool(&self, name: &str) -> kube::Result<()> {
        delete(&self.pools(), name).await
    }

    /// Deletes a template.
    pub async fn delete_template(&self, name: &str) -> kube::Result<()> {
        delete(&self.templates(), name).await
    }

    /// Makes a claim of a pool.
    pub async fn create_claim(&self, name: &str, pool: &str) -> kube::Result<()> {
        self.create_claim_with(name, json!({"warmPoolRef": {"name": pool}})).await
    }

    /// Makes a claim with this spec.
    pub async fn create_claim_with(&self, name: &str, spec: Value) -> kube::Result<()> {
        self.create(&self.claims(), "SandboxClaim", name, spec).await
    }

    /// Deletes a claim.
    pub async fn delete_claim(&self, name: &str) -> kube::Result<()> {
        delete(&self.claims(), name).await
    }

    /// Suspends or resumes a sandbox.
    pub async fn set_mode(&self, sandbox: &str, mode: &str) -> kube::Result<()> {
        self.merge(&self.sandboxes(), sandbox, json!({"spec": {"operatingMode": mode}})).await
    }

    /// Deletes a sandbox by hand, and says so first, because the laws would take it for a fault.
    pub async fn delete_sandbox(&self, name: &str) -> kube::Result<()> {
        let note = json!({"metadata": {"annotations": {"simulator/by-hand": "true"}}});
        self.merge(&self.sandboxes(), name, note).await?;
        delete(&self.sandboxes(), name).await
    }

    /// Takes the pool's label off a sandbox.
    pub async fn unlabel_sandbox(&self, name: &str) -> kube::Result<()> {
        let patch = json!({"metadata": {"labels": {dialects::x_k8s::keys::POOL: null}}});
        self.merge(&self.sandboxes(), name, patch).await
    }

    /// Gives a sandbox to a claim, as another controller would that knows of nothing.
    pub async fn take_by_hand(&self, sandbox: &str, claim: &str) -> kube::Result<()> {
        let claim = self.claims().get(claim).await?;
        let owner = json!({
            "apiVersion": "extensions.agents.x-k8s.io/v1beta1",
            "kind": "SandboxClaim",
            "name": claim.name_any(),
            "uid": claim.uid(),
            "controller": true,
            "blockOwnerDeletion": true,
        });
        let patch = json!({"metadata": {"ownerReferences": [owner]}});
        self.merge(&self.sandboxes(), sandbox, patch).await
    }

    /// Adds to the spec of a claim.
    pub async fn edit_claim(&self, name: &str, spec: Value) -> kube::Result<()> {
        self.merge(&self.claims(), name, json!({"spec": spec})).await
    }

    /// A claim as it is now.
    pub async fn claim(&self, name: &str) -> kube::Result<Value> {
        Ok(serde_json::to_value(self.claims().get(name).await?).unwrap_or_default())
    }

    /// A pool as it is now.
    pub async fn pool(&self, name: &str) -> kube::Result<Value> {
        Ok(serde_json::to_value(self.pools().get(name).await?).unwrap_or_default())
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

    /// Names of all sandboxes.
    pub async fn sandbox_names(&self) -> kube::Result<Vec<String>> {
        Ok(self
            .sandboxes()
            .list(&Default::default())
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect())
    }

    /// Installs the four kinds and waits until they are served.
    pub async fn install_kinds(&self) {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        for crd in dialects::x_k8s::crds::crds() {
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

    async fn create(
        &self,
        api: &Api<DynamicObject>,
        kind: &str,
        name: &str,
        spec: Value,
    ) -> kube::Result<()> {
        let group =
            if kind == "Sandbox" { "agents.x-k8s.io" } else { "extensions.agents.x-k8s.io" };
        let object = json!({
            "apiVersion": format!("{group}/v1beta1"),
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        });
        let object = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        api.create(&PostParams::default(), &object).await.map(|_| ())
    }

    async fn merge(&self, api: &Api<DynamicObject>, name: &str, patch: Value) -> kube::Result<()> {
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ())
    }
}

async fn delete(api: &Api<DynamicObject>, name: &str) -> kube::Result<()> {
    api.delete(name, &DeleteParams::default()).await.map(|_| ())
}
