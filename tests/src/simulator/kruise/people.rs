//! What people can do with the kinds of `agents.kruise.io`.

use kube::api::{Api, DynamicObject};
use serde_json::{Value, json};

use crate::simulator::user::{User, create, delete, merge, names};

/// The family's group.
const GROUP: &str = "agents.kruise.io";
const VERSION: &str = "v1alpha1";
const GROUP_VERSION: &str = "agents.kruise.io/v1alpha1";

/// A person who uses the family.
#[derive(Clone)]
pub struct People<'a>(&'a User);

impl User {
    /// The same person, with the kinds of `agents.kruise.io`.
    pub fn kruise(&self) -> People<'_> {
        People(self)
    }
}

/// The part of a spec that says what runs.
pub fn template(image: &str) -> Value {
    json!({"template": {
        "metadata": {"annotations": {"foo": "bar"}},
        "spec": {"containers": [{
            "name": "main",
            "image": image,
            "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}},
        }]},
    }})
}

impl People<'_> {
    fn sets(&self) -> Api<DynamicObject> {
        self.0.api(GROUP, VERSION, "SandboxSet", "sandboxsets")
    }

    fn claims(&self) -> Api<DynamicObject> {
        self.0.api(GROUP, VERSION, "SandboxClaim", "sandboxclaims")
    }

    fn templates(&self) -> Api<DynamicObject> {
        self.0.api(GROUP, VERSION, "SandboxTemplate", "sandboxtemplates")
    }

    /// The sandboxes.
    pub(super) fn sandboxes(&self) -> Api<DynamicObject> {
        self.0.api(GROUP, VERSION, "Sandbox", "sandboxes")
    }

    /// Makes a set with a template of its own.
    pub async fn create_set(&self, name: &str, image: &str, replicas: u32) -> kube::Result<()> {
        let mut spec = template(image);
        spec["replicas"] = json!(replicas);
        self.create_set_with(name, spec).await
    }

    /// Makes a set with this spec.
    pub async fn create_set_with(&self, name: &str, spec: Value) -> kube::Result<()> {
        create(&self.sets(), GROUP_VERSION, "SandboxSet", name, spec).await
    }

    /// Changes the spec of a set.
    pub async fn edit_set(&self, name: &str, spec: Value) -> kube::Result<()> {
        merge(&self.sets(), name, json!({"spec": spec})).await
    }

    /// Asks a set for another number.
    pub async fn scale_set(&self, name: &str, replicas: u32) -> kube::Result<()> {
        self.edit_set(name, json!({"replicas": replicas})).await
    }

    /// Deletes a set.
    pub async fn delete_set(&self, name: &str) -> kube::Result<()> {
        delete(&self.sets(), name).await
    }

    /// Makes a template to refer to.
    pub async fn create_template(&self, name: &str, image: &str) -> kube::Result<()> {
        create(&self.templates(), GROUP_VERSION, "SandboxTemplate", name, template(image)).await
    }

    /// Gives a template another image.
    pub async fn edit_template(&self, name: &str, image: &str) -> kube::Result<()> {
        merge(&self.templates(), name, json!({"spec": template(image)})).await
    }

    /// Deletes a template.
    pub async fn delete_template(&self, name: &str) -> kube::Result<()> {
        delete(&self.templates(), name).await
    }

    /// Claims so many.
    pub async fn claim(&self, name: &str, set: &str, replicas: u32) -> kube::Result<()> {
        self.claim_with(name, json!({"templateName": set, "replicas": replicas})).await
    }

    /// Makes a claim with this spec.
    pub async fn claim_with(&self, name: &str, spec: Value) -> kube::Result<()> {
        create(&self.claims(), GROUP_VERSION, "SandboxClaim", name, spec).await
    }

    /// Deletes a claim. What it got stays.
    pub async fn delete_claim(&self, name: &str) -> kube::Result<()> {
        delete(&self.claims(), name).await
    }

    /// Pauses a sandbox, or has it run again.
    pub async fn pause(&self, sandbox: &str, paused: bool) -> kube::Result<()> {
        self.edit_sandbox(sandbox, json!({"paused": paused})).await
    }

    /// Changes the spec of a sandbox.
    pub async fn edit_sandbox(&self, name: &str, spec: Value) -> kube::Result<()> {
        merge(&self.sandboxes(), name, json!({"spec": spec})).await
    }

    /// Deletes a sandbox by hand, and says so first, because the laws would take it for a fault.
    pub async fn delete_sandbox(&self, name: &str) -> kube::Result<()> {
        let note = json!({"metadata": {"annotations": {"simulator/by-hand": "true"}}});
        merge(&self.sandboxes(), name, note).await?;
        delete(&self.sandboxes(), name).await
    }

    /// Names of all sandboxes.
    pub async fn sandbox_names(&self) -> kube::Result<Vec<String>> {
        names(&self.sandboxes()).await
    }
}
