//! The objects the command line shows: their specs and statuses are those of the dialect, their metadata kube's.

use controllers::kinds::Kind;
use dialects::condition::{self, Condition};
use dialects::x_k8s::keys;
use dialects::x_k8s::types::{
    ClaimedSandbox, EnvVar, SandboxClaimSpec, SandboxClaimStatus, SandboxSpec, SandboxStatus,
    SandboxWarmPoolSpec, SandboxWarmPoolStatus,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Object, ObjectMeta};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::connect::Server;

/// A request for a sandbox.
pub type Claim = Object<SandboxClaimSpec, SandboxClaimStatus>;
/// A warm pool.
pub type Pool = Object<SandboxWarmPoolSpec, SandboxWarmPoolStatus>;
/// A sandbox.
pub type Sandbox = Object<SandboxSpec, SandboxStatus>;

/// A claim to make. JSON and not [`Claim`]: what is not asked for must be absent, not empty.
pub fn new_claim(pool: &str, env: &[EnvVar]) -> DynamicObject {
    let mut claim = DynamicObject::new("", &resource(Kind::Claim));
    claim.metadata = ObjectMeta::default();
    let mut spec = json!({ "warmPoolRef": { "name": pool } });
    if !env.is_empty() {
        spec["env"] = json!(env);
    }
    claim.data(json!({ "spec": spec }))
}

/// The `Ready` condition of a claim.
pub fn claim_ready(claim: &Claim) -> Option<&Condition> {
    condition::find(&claim.status.as_ref()?.conditions, "Ready")
}

/// The sandbox a claim holds, if any.
pub fn claim_sandbox(claim: &Claim) -> Option<&ClaimedSandbox> {
    Some(&claim.status.as_ref()?.sandbox).filter(|sandbox| !sandbox.name.is_empty())
}

/// `Reason: message`, or what of it there is.
pub fn because(condition: &Condition) -> String {
    match (condition.reason.as_str(), condition.message.as_str()) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// Whether a sandbox can be used now.
pub fn sandbox_is_ready(sandbox: &Sandbox) -> bool {
    let conditions = sandbox.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, "Ready").is_some_and(Condition::is_true)
}

/// Whether a claim holds this sandbox (by its owner, as the controllers decide it).
pub fn sandbox_is_claimed(sandbox: &Sandbox) -> bool {
    let mut owners = sandbox.owner_references().iter();
    owners.any(|o| o.kind == Kind::Claim.name() && o.controller == Some(true))
}

/// How a sandbox came to its claim: `warm` or `cold`.
pub fn launch_type(sandbox: &Sandbox) -> Option<&String> {
    sandbox.labels().get(keys::LAUNCH_TYPE)
}

/// The name of a sandbox's pod.
pub fn pod_of(sandbox: &Sandbox) -> String {
    sandbox.annotations().get(keys::POD_NAME).cloned().unwrap_or_else(|| sandbox.name_any())
}

/// How long ago an object was made, as kubectl's AGE column says it.
pub fn age(meta: &ObjectMeta, now: Timestamp) -> String {
    match &meta.creation_timestamp {
        Some(time) => super::duration::short(now.duration_since(time.0)),
        None => "<unknown>".into(),
    }
}

/// `namespace/name`.
pub fn full_name(meta: &ObjectMeta) -> String {
    let name = meta.name.as_deref().unwrap_or_default();
    match &meta.namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// How a kind is addressed.
fn resource(kind: Kind) -> ApiResource {
    let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), kind.name());
    ApiResource::from_gvk_with_plural(&gvk, kind.plural())
}

/// Which namespaces a listing covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one of the flag or the kubeconfig.
    Namespace,
    /// All.
    Everywhere,
}

impl Server {
    /// Claims.
    pub fn claims(&self, scope: Scope) -> Api<Claim> {
        self.api(Kind::Claim, scope)
    }

    /// Makes a claim in the namespace.
    pub async fn make_claim(&self, claim: &DynamicObject) -> Result<Claim, kube::Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource(Kind::Claim));
        let made = api.create(&kube::api::PostParams::default(), claim).await?;
        // The way from the answer's JSON to a typed claim; nothing is cloned but a few fields.
        let json = serde_json::to_value(made).map_err(kube::Error::SerdeError)?;
        serde_json::from_value(json).map_err(kube::Error::SerdeError)
    }

    /// Pools.
    pub fn pools(&self, scope: Scope) -> Api<Pool> {
        self.api(Kind::Pool, scope)
    }

    /// Sandboxes.
    pub fn sandboxes(&self, scope: Scope) -> Api<Sandbox> {
        self.api(Kind::Sandbox, scope)
    }

    /// The pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn api<P, U>(&self, kind: Kind, scope: Scope) -> Api<Object<P, U>>
    where
        P: Clone,
        U: Clone,
    {
        let resource = resource(kind);
        match scope {
            Scope::Namespace => {
                Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
            }
            Scope::Everywhere => Api::all_with(self.client.clone(), &resource),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_nothing_that_was_not_asked_for() {
        let plain = serde_json::to_value(new_claim("p", &[])).unwrap();
        assert_eq!(plain["spec"], json!({"warmPoolRef": {"name": "p"}}));
        assert_eq!(plain["metadata"], json!({}));
        let var = EnvVar { name: "A".into(), value: "".into(), ..EnvVar::default() };
        let with_env = serde_json::to_value(new_claim("p", &[var])).unwrap();
        assert_eq!(with_env["spec"]["env"], json!([{"name": "A", "value": ""}]));
    }
}
