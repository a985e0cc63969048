//! The people of a simulation: they create, edit and delete, at random moments drawn from the seed, and never do what
//! would make a law meaningless.

use std::time::Duration;

use fastrand::Rng;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// The namespace in which everything happens.
pub const NAMESPACE: &str = "default";

/// What people do in a run.
#[derive(Clone, Debug)]
pub struct Habits {
    /// How many things are done in all.
    pub steps: u32,
    /// The longest pause between two of them.
    pub pause: Duration,
    /// How many pools there are; each has a template of its own.
    pub pools: u32,
    /// The most sandboxes that a pool is asked for.
    pub most: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self { steps: 60, pause: Duration::from_millis(1200), pools: 2, most: 6 }
    }
}

/// A person with a client.
#[derive(Clone)]
pub struct User {
    client: Client,
}

impl User {
    /// A person who uses this client; faults are for controllers, so it should be a clean one.
    pub fn new(client: Client) -> Self {
        Self { client }
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
        Ok(self
            .sandboxes()
            .list(&Default::default())
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect())
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

/// Draws one of the strategies.
pub fn draw_strategy(rng: &mut Rng) -> Value {
    match rng.u8(..4) {
        0 => json!({"type": "Recreate"}),
        1 => json!({"type": "OnReplenish"}),
        2 => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}})
        }
        _ => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "0%", "maxSurge": "50%"}})
        }
    }
}

/// Lives a random life, and leaves something behind to converge on. Returns what was done, for the report of a breach.
pub async fn live(user: &User, habits: &Habits, rng: &mut Rng) -> Vec<String> {
    let mut diary = Vec::new();
    let mut claims: Vec<String> = Vec::new();
    let mut made = 0;
    for n in 0..habits.pools {
        let (template, pool) = (format!("t{n}"), format!("p{n}"));
        let strategy = draw_strategy(rng);
        diary.push(format!("create template {template} and pool {pool} {strategy}"));
        // The order does not matter to the controllers, so the seed picks it.
        if rng.bool() {
            let _ = user.create_template(&template, "image-0").await;
            let _ = user.create_pool(&pool, &template, rng.u32(..=habits.most), strategy).await;
        } else {
            let _ = user.create_pool(&pool, &template, rng.u32(..=habits.most), strategy).await;
            let _ = user.create_template(&template, "image-0").await;
        }
    }
    for _ in 0..habits.steps {
        tokio::time::sleep(Duration::from_micros(rng.u64(..=habits.pause.as_micros() as u64)))
            .await;
        let n = rng.u32(..habits.pools);
        let (template, pool) = (format!("t{n}"), format!("p{n}"));
        let done = match rng.u8(..100) {
            0..45 => {
                made += 1;
                let name = format!("c{made}");
                claims.push(name.clone());
                let _ = user.create_claim(&name, &pool).await;
                format!("claim {name} of {pool}")
            }
            45..65 if !claims.is_empty() => {
                let name = claims.swap_remove(rng.usize(..claims.len()));
                let _ = user.delete_claim(&name).await;
                format!("release {name}")
            }
            65..75 => {
                let replicas = rng.u32(..=habits.most);
                let _ = user.scale_pool(&pool, replicas).await;
                format!("scale {pool} to {replicas}")
            }
            75..85 => {
                let image = format!("image-{}", rng.u8(..5));
                let _ = user.edit_template(&template, &image).await;
                format!("edit {template} to {image}")
            }
            85..90 => {
                let _ = user.label_template(&template, &rng.u16(..).to_string()).await;
                format!("label {template}")
            }
            90..94 => match user.sandbox_names().await {
                Ok(names) if !names.is_empty() => {
                    let name = &names[rng.usize(..names.len())];
                    let _ = user.delete_sandbox(name).await;
                    format!("delete sandbox {name} by hand")
                }
                _ => continue,
            },
            94..97 => {
                let other = format!("t{}", rng.u32(..habits.pools));
                let _ = user.switch_pool(&pool, &other).await;
                format!("switch {pool} to {other}")
            }
            _ => {
                made += 1;
                let name = format!("c{made}");
                claims.push(name.clone());
                let spec =
                    json!({"warmPoolRef": {"name": pool}, "env": [{"name": "A", "value": "1"}]});
                let _ = user.create_claim_with(&name, spec).await;
                format!("claim {name} of {pool} with a variable")
            }
        };
        diary.push(done);
    }
    diary
}
