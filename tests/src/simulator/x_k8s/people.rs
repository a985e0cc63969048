//! What people can do with the kinds of `agents.x-k8s.io`.

use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use serde_json::{Value, json};

use crate::simulator::user::{User, create, delete, merge, names};

/// The version that people use.
const VERSION: &str = "v1beta1";

/// Group and version of the three kinds that people write.
const EXTENSIONS: &str = "extensions.agents.x-k8s.io/v1beta1";

impl User {
    fn templates(&self) -> Api<DynamicObject> {
        self.api("extensions.agents.x-k8s.io", VERSION, "SandboxTemplate", "sandboxtemplates")
    }

    fn pools(&self) -> Api<DynamicObject> {
        self.api("extensions.agents.x-k8s.io", VERSION, "SandboxWarmPool", "sandboxwarmpools")
    }

    fn claims(&self) -> Api<DynamicObject> {
        self.api("extensions.agents.x-k8s.io", VERSION, "SandboxClaim", "sandboxclaims")
    }

    fn sandboxes(&self) -> Api<DynamicObject> {
        self.api("agents.x-k8s.io", VERSION, "Sandbox", "sandboxes")
    }

    /// Makes a template whose pods run this image.
    pub async fn create_template(&self, name: &str, image: &str) -> kube::Result<()> {
        let spec = json!({
            "podTemplate": {"spec": {"containers": [{"name": "main", "image": image}]}},
            "envVarsInjectionPolicy": "Allowed",
        });
        create(&self.templates(), EXTENSIONS, "SandboxTemplate", name, spec).await
    }

    /// Gives a template another image.
    pub async fn edit_template(&self, name: &str, image: &str) -> kube::Result<()> {
        let patch = json!({"spec": {"podTemplate": {"spec": {"containers": [{"name": "main", "image": image}]}}}});
        merge(&self.templates(), name, patch).await
    }

    /// Changes only metadata of a template, which means nothing.
    pub async fn label_template(&self, name: &str, value: &str) -> kube::Result<()> {
        let patch = json!({
            "metadata": {"labels": {"simulator/note": value}},
            "spec": {"podTemplate": {"metadata": {"annotations": {"note": value}}}},
        });
        merge(&self.templates(), name, patch).await
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
        create(&self.pools(), EXTENSIONS, "SandboxWarmPool", name, spec).await
    }

    /// Asks a pool for another number.
    pub async fn scale_pool(&self, name: &str, replicas: u32) -> kube::Result<()> {
        merge(&self.pools(), name, json!({"spec": {"replicas": replicas}})).await
    }

    /// Makes a pool use another template.
    pub async fn switch_pool(&self, name: &str, template: &str) -> kube::Result<()> {
        merge(&self.pools(), name, json!({"spec": {"sandboxTemplateRef": {"name": template}}}))
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
        create(&self.claims(), EXTENSIONS, "SandboxClaim", name, spec).await
    }

    /// Deletes a claim.
    pub async fn delete_claim(&self, name: &str) -> kube::Result<()> {
        delete(&self.claims(), name).await
    }

    /// Suspends or resumes a sandbox.
    pub async fn set_mode(&self, sandbox: &str, mode: &str) -> kube::Result<()> {
        merge(&self.sandboxes(), sandbox, json!({"spec": {"operatingMode": mode}})).await
    }

    /// Deletes a sandbox by hand, and says so first, because the laws would take it for a fault.
    pub async fn delete_sandbox(&self, name: &str) -> kube::Result<()> {
        let note = json!({"metadata": {"annotations": {"simulator/by-hand": "true"}}});
        merge(&self.sandboxes(), name, note).await?;
        delete(&self.sandboxes(), name).await
    }

    /// Takes the pool's label off a sandbox.
    pub async fn unlabel_sandbox(&self, name: &str) -> kube::Result<()> {
        let patch = json!({"metadata": {"labels": {dialects::x_k8s::keys::POOL: null}}});
        merge(&self.sandboxes(), name, patch).await
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
        merge(&self.sandboxes(), sandbox, patch).await
    }

    /// Adds to the spec of a claim.
    pub async fn edit_claim(&self, name: &str, spec: Value) -> kube::Result<()> {
        merge(&self.claims(), name, json!({"spec": spec})).await
    }

    /// A claim as it is now.
    pub async fn claim(&self, name: &str) -> kube::Result<Value> {
        Ok(serde_json::to_value(self.claims().get(name).await?).unwrap_or_default())
    }

    /// A pool as it is now.
    pub async fn pool(&self, name: &str) -> kube::Result<Value> {
        Ok(serde_json::to_value(self.pools().get(name).await?).unwrap_or_default())
    }

    /// Names of all sandboxes.
    pub async fn sandbox_names(&self) -> kube::Result<Vec<String>> {
        names(&self.sandboxes()).await
    }
}
