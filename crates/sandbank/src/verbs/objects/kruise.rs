//! Objects of `agents.kruise.io`.

use controllers::kinds::Kind;
use dialects::condition::{self, Condition};
use dialects::kruise::keys;
use dialects::kruise::types::{
    SandboxClaimSpec, SandboxClaimStatus, SandboxSetSpec, SandboxSetStatus, SandboxSpec,
    SandboxStatus,
};
use dialects::x_k8s::types::EnvVar;
use kube::api::ListParams;
use kube::core::{DynamicObject, Object, ObjectMeta};
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};

use super::{Scope, resource};
use crate::verbs::connect::Server;

/// A warm pool.
pub type Set = Object<SandboxSetSpec, SandboxSetStatus>;
/// A request for sandboxes.
pub type Claim = Object<SandboxClaimSpec, SandboxClaimStatus>;
/// A sandbox.
pub type Sandbox = Object<SandboxSpec, SandboxStatus>;

/// The phase of a claim that got what it will get.
const COMPLETED: &str = "Completed";

/// A claim of one sandbox. JSON and not [`Claim`]: what is not asked for must be absent, not empty.
pub fn new_claim(set: &str, env: &[EnvVar]) -> DynamicObject {
    let mut claim = DynamicObject::new("", &resource(Kind::KruiseClaim));
    claim.metadata = ObjectMeta::default();
    let mut spec = json!({ "templateName": set });
    if !env.is_empty() {
        let variables: Map<String, Value> =
            env.iter().map(|var| (var.name.clone(), Value::String(var.value.clone()))).collect();
        spec["envVars"] = Value::Object(variables);
    }
    claim.data(json!({ "spec": spec }))
}

/// Whether a claim has all that it asked for; nothing while it is still being served.
pub fn claim_is_served(claim: &Claim) -> Option<bool> {
    let status = claim.status.as_ref().filter(|status| status.phase == COMPLETED)?;
    Some(status.claimed_replicas >= claim.spec.replicas)
}

/// What a claim was told last.
pub fn claim_message(claim: &Claim) -> Option<&str> {
    Some(claim.status.as_ref()?.message.as_str()).filter(|message| !message.is_empty())
}

/// Whether a sandbox can be used now.
pub fn sandbox_is_ready(sandbox: &Sandbox) -> bool {
    let conditions = sandbox.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, "Ready").is_some_and(Condition::is_true)
}

/// Whether somebody took this sandbox from its set.
pub fn sandbox_is_claimed(sandbox: &Sandbox) -> bool {
    sandbox.labels().get(keys::CLAIMED).is_some_and(|claimed| claimed == keys::TRUE)
}

/// How a sandbox came to its claim. One that is older than the claim was warm; within the same second nobody can tell.
pub fn launch_type(claim: &Claim, sandbox: &Sandbox) -> Option<String> {
    let made = |meta: &ObjectMeta| meta.creation_timestamp.as_ref().map(|time| time.0);
    let (claim, sandbox) = (made(&claim.metadata)?, made(&sandbox.metadata)?);
    match sandbox.cmp(&claim) {
        std::cmp::Ordering::Less => Some("warm".to_owned()),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some("cold".to_owned()),
    }
}

impl Server {
    /// Sets.
    pub fn sets(&self, scope: Scope) -> Api<Set> {
        self.api(Kind::SandboxSet, scope)
    }

    /// Claims on sets.
    pub fn set_claims(&self, scope: Scope) -> Api<Claim> {
        self.api(Kind::KruiseClaim, scope)
    }

    /// Sandboxes of sets.
    pub fn set_sandboxes(&self, scope: Scope) -> Api<Sandbox> {
        self.api(Kind::KruiseSandbox, scope)
    }

    /// The sandboxes that a claim has, by name.
    pub async fn sandboxes_of(&self, claim: &Claim) -> Result<Vec<Sandbox>, kube::Error> {
        let named =
            ListParams::default().labels(&format!("{}={}", keys::CLAIM_NAME, claim.name_any()));
        let uid = claim.uid().unwrap_or_default();
        let mut sandboxes = self.set_sandboxes(Scope::Namespace).list(&named).await?.items;
        // A claim of an earlier life had the same name.
        sandboxes.retain(|sandbox| sandbox.annotations().get(keys::OWNER) == Some(&uid));
        sandboxes.sort_by_key(ResourceExt::name_any);
        Ok(sandboxes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(phase: &str, claimed: u32) -> Claim {
        serde_json::from_value(json!({
            "metadata": {"name": "c", "creationTimestamp": "2030-01-01T00:00:10Z"},
            "spec": {"templateName": "s", "replicas": 2},
            "status": {"phase": phase, "claimedReplicas": claimed},
        }))
        .unwrap()
    }

    #[test]
    fn a_claim_is_served_when_it_is_over_and_has_all() {
        assert_eq!(claim_is_served(&claim("Claiming", 2)), None);
        assert_eq!(claim_is_served(&claim("Completed", 1)), Some(false));
        assert_eq!(claim_is_served(&claim("Completed", 2)), Some(true));
    }

    #[test]
    fn a_sandbox_that_is_older_than_its_claim_was_warm() {
        let made = |at: &str| -> Sandbox {
            serde_json::from_value(
                json!({"metadata": {"name": "x", "creationTimestamp": at}, "spec": {}}),
            )
            .unwrap()
        };
        let claim = claim("Completed", 2);
        let launched = |at| launch_type(&claim, &made(at));
        assert_eq!(launched("2030-01-01T00:00:09Z").as_deref(), Some("warm"));
        assert_eq!(launched("2030-01-01T00:00:10Z"), None);
        assert_eq!(launched("2030-01-01T00:00:11Z").as_deref(), Some("cold"));
    }

    #[test]
    fn a_new_claim_says_nothing_that_was_not_asked_for() {
        let plain = serde_json::to_value(new_claim("s", &[])).unwrap();
        assert_eq!(plain["spec"], json!({"templateName": "s"}));
        let var = EnvVar { name: "A".into(), value: "b".into(), ..EnvVar::default() };
        let with_env = serde_json::to_value(new_claim("s", &[var])).unwrap();
        assert_eq!(with_env["spec"]["envVars"], json!({"A": "b"}));
    }
}
