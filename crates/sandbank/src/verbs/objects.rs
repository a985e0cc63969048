//! The objects the command line shows, seen through the few fields it reads.
//!
//! Views of our own instead of the full types: a newer or older server, or an object of somebody else's controller, may
//! have any other fields and must still be listed.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::core::{ApiResource, GroupVersionKind, Object, ObjectMeta};
use kube::{Api, ResourceExt};
use serde::{Deserialize, Serialize};

use super::connect::Server;

const AGENTS: &str = "agents.x-k8s.io";
const EXTENSIONS: &str = "extensions.agents.x-k8s.io";
const VERSION: &str = "v1beta1";

/// Label of a sandbox: how its claim got it, `warm` or `cold`.
pub const LAUNCH_TYPE: &str = "agents.x-k8s.io/launch-type";
/// Annotation of a sandbox whose pod has another name than itself.
pub const POD_NAME: &str = "agents.x-k8s.io/pod-name";

/// A request for a sandbox.
pub type Claim = Object<ClaimSpec, ClaimStatus>;
/// A warm pool.
pub type Pool = Object<PoolSpec, PoolStatus>;
/// A sandbox.
pub type Sandbox = Object<SandboxSpec, SandboxStatus>;

/// A reference by name to an object of the same namespace.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct NameRef {
    /// The name.
    #[serde(default)]
    pub name: String,
}

/// What a claim asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSpec {
    /// The pool to take from.
    #[serde(default)]
    pub warm_pool_ref: NameRef,
    /// Environment of the sandbox; asking for any makes the start a cold one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
}

/// One variable of a sandbox's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// What became of a claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ClaimStatus {
    /// Why it is in the state it is in.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The sandbox it holds.
    #[serde(default)]
    pub sandbox: Option<BoundSandbox>,
}

/// The sandbox of a claim.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BoundSandbox {
    /// Its name; empty while there is none.
    #[serde(default)]
    pub name: String,
    /// Where it can be reached.
    #[serde(default, rename = "podIPs")]
    pub pod_ips: Vec<String>,
}

/// What a pool is told to keep.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSpec {
    /// How many sandboxes; absent means one.
    #[serde(default)]
    pub replicas: Option<i64>,
    /// What runs in them.
    #[serde(default)]
    pub sandbox_template_ref: NameRef,
    /// How a new template reaches the warm ones.
    #[serde(default)]
    pub update_strategy: Option<UpdateStrategy>,
}

/// How a pool follows its template.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct UpdateStrategy {
    /// `Recreate`, `OnReplenish` or `RollingUpdate`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// What a pool has.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Unclaimed sandboxes.
    #[serde(default)]
    pub replicas: i64,
    /// Those of them that can be claimed at once.
    #[serde(default)]
    pub ready_replicas: i64,
    /// What goes on, where the server says so.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// The part of a sandbox's spec that is shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxSpec {
    /// `Running` or `Suspended`.
    #[serde(default)]
    pub operating_mode: Option<String>,
}

/// What became of a sandbox.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct SandboxStatus {
    /// Why it is in the state it is in.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// One condition of any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Condition {
    /// What it is about: `Ready`, `Finished`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: String,
    /// One word of why.
    #[serde(default)]
    pub reason: String,
    /// A sentence of why.
    #[serde(default)]
    pub message: String,
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.status == "True"
    }

    /// Finds the one about `kind`.
    pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
        conditions.iter().find(|c| c.kind == kind)
    }

    /// `Reason: message`, or what of it there is.
    pub fn because(&self) -> String {
        match (self.reason.as_str(), self.message.as_str()) {
            ("", message) => message.to_owned(),
            (reason, "") => reason.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// The `Ready` condition of a claim.
pub fn claim_ready(claim: &Claim) -> Option<&Condition> {
    Condition::find(&claim.status.as_ref()?.conditions, "Ready")
}

/// The sandbox a claim holds, if any.
pub fn claim_sandbox(claim: &Claim) -> Option<&BoundSandbox> {
    claim.status.as_ref()?.sandbox.as_ref().filter(|s| !s.name.is_empty())
}

/// Whether a sandbox can be used now.
pub fn sandbox_is_ready(sandbox: &Sandbox) -> bool {
    sandbox
        .status
        .as_ref()
        .and_then(|s| Condition::find(&s.conditions, "Ready"))
        .is_some_and(Condition::holds)
}

/// Whether a claim holds this sandbox (by its owner, as the controllers decide it).
pub fn sandbox_is_claimed(sandbox: &Sandbox) -> bool {
    sandbox
        .owner_references()
        .iter()
        .any(|o| o.kind == "SandboxClaim" && o.controller == Some(true))
}

/// The name of a sandbox's pod.
pub fn pod_of(sandbox: &Sandbox) -> String {
    sandbox.annotations().get(POD_NAME).cloned().unwrap_or_else(|| sandbox.name_any())
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

fn resource(group: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, VERSION, kind), plural)
}

/// How claims are addressed.
pub fn claim_resource() -> ApiResource {
    resource(EXTENSIONS, "SandboxClaim", "sandboxclaims")
}

fn pool_resource() -> ApiResource {
    resource(EXTENSIONS, "SandboxWarmPool", "sandboxwarmpools")
}

fn sandbox_resource() -> ApiResource {
    resource(AGENTS, "Sandbox", "sandboxes")
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
    /// The claims of the namespace.
    pub fn claims(&self) -> Api<Claim> {
        self.api(&claim_resource(), Scope::Namespace)
    }

    /// Pools.
    pub fn pools(&self, scope: Scope) -> Api<Pool> {
        self.api(&pool_resource(), scope)
    }

    /// The sandboxes of the namespace.
    pub fn sandboxes(&self) -> Api<Sandbox> {
        self.api(&sandbox_resource(), Scope::Namespace)
    }

    /// Claims of every namespace.
    pub fn all_claims(&self) -> Api<Claim> {
        self.api(&claim_resource(), Scope::Everywhere)
    }

    /// Sandboxes of every namespace.
    pub fn all_sandboxes(&self) -> Api<Sandbox> {
        self.api(&sandbox_resource(), Scope::Everywhere)
    }

    /// The pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn api<P, U>(&self, resource: &ApiResource, scope: Scope) -> Api<Object<P, U>>
    where
        P: Clone,
        U: Clone,
    {
        match scope {
            Scope::Namespace => {
                Api::namespaced_with(self.client.clone(), &self.namespace, resource)
            }
            Scope::Everywhere => Api::all_with(self.client.clone(), resource),
        }
    }
}
