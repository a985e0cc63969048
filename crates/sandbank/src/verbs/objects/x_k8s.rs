//! Objects of `agents.x-k8s.io` and its extensions.

use controllers::kinds::Kind;
use dialects::condition::{self, Condition};
use dialects::x_k8s::keys;
use dialects::x_k8s::types::{
    ClaimedSandbox, EnvVar, SandboxClaimSpec, SandboxClaimStatus, SandboxSpec, SandboxStatus,
    SandboxWarmPoolSpec, SandboxWarmPoolStatus,
};
use kube::core::{DynamicObject, Object, ObjectMeta};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{Scope, resource};
use crate::verbs::connect::Server;

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

impl Server {
    /// Claims.
    pub fn claims(&self, scope: Scope) -> Api<Claim> {
        self.api(Kind::Claim, scope)
    }

    /// Makes a claim in the namespace.
    pub async fn make_claim(&self, claim: &DynamicObject) -> Result<Claim, kube::Error> {
        self.make(Kind::Claim, claim).await
    }

    /// Pools.
    pub fn pools(&self, scope: Scope) -> Api<Pool> {
        self.api(Kind::Pool, scope)
    }

    /// Sandboxes.
    pub fn sandboxes(&self, scope: Scope) -> Api<Sandbox> {
        self.api(Kind::Sandbox, scope)
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
