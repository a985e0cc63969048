//! The kinds the controllers watch and write, and where the API serves them.

use std::fmt;

/// A kind of object. The order is the order in which watches are started and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Kind {
    /// `agents.x-k8s.io` Sandbox.
    Sandbox,
    /// `extensions.agents.x-k8s.io` SandboxTemplate.
    Template,
    /// `extensions.agents.x-k8s.io` SandboxWarmPool.
    Pool,
    /// `extensions.agents.x-k8s.io` SandboxClaim.
    Claim,
    /// `agents.kruise.io` SandboxSet.
    SandboxSet,
    /// `agents.kruise.io` Sandbox.
    KruiseSandbox,
    /// `agents.kruise.io` SandboxClaim.
    KruiseClaim,
    /// `agents.kruise.io` SandboxTemplate.
    KruiseTemplate,
    /// A pod.
    Pod,
    /// A service.
    Service,
    /// A PersistentVolumeClaim.
    Volume,
    /// A NetworkPolicy.
    NetworkPolicy,
}

impl Kind {
    /// All kinds, in their order.
    pub const ALL: [Kind; 12] = [
        Kind::Sandbox,
        Kind::Template,
        Kind::Pool,
        Kind::Claim,
        Kind::SandboxSet,
        Kind::KruiseSandbox,
        Kind::KruiseClaim,
        Kind::KruiseTemplate,
        Kind::Pod,
        Kind::Service,
        Kind::Volume,
        Kind::NetworkPolicy,
    ];

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Kind::Sandbox => "agents.x-k8s.io",
            Kind::Template | Kind::Pool | Kind::Claim => "extensions.agents.x-k8s.io",
            Kind::SandboxSet | Kind::KruiseSandbox | Kind::KruiseClaim | Kind::KruiseTemplate => {
                "agents.kruise.io"
            }
            Kind::Pod | Kind::Service | Kind::Volume => "",
            Kind::NetworkPolicy => "networking.k8s.io",
        }
    }

    /// The version we read and write.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Kind::Sandbox | Kind::Template | Kind::Pool | Kind::Claim => "v1beta1",
            Kind::SandboxSet | Kind::KruiseSandbox | Kind::KruiseClaim | Kind::KruiseTemplate => {
                "v1alpha1"
            }
            Kind::Pod | Kind::Service | Kind::Volume | Kind::NetworkPolicy => "v1",
        }
    }

    /// `group/version` as objects carry it.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Kind::Sandbox => "agents.x-k8s.io/v1beta1",
            Kind::Template | Kind::Pool | Kind::Claim => "extensions.agents.x-k8s.io/v1beta1",
            Kind::SandboxSet | Kind::KruiseSandbox | Kind::KruiseClaim | Kind::KruiseTemplate => {
                "agents.kruise.io/v1alpha1"
            }
            Kind::Pod | Kind::Service | Kind::Volume => "v1",
            Kind::NetworkPolicy => "networking.k8s.io/v1",
        }
    }

    /// The name of the kind as objects carry it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Sandbox | Kind::KruiseSandbox => "Sandbox",
            Kind::Template | Kind::KruiseTemplate => "SandboxTemplate",
            Kind::Pool => "SandboxWarmPool",
            Kind::SandboxSet => "SandboxSet",
            Kind::Claim | Kind::KruiseClaim => "SandboxClaim",
            Kind::Pod => "Pod",
            Kind::Service => "Service",
            Kind::Volume => "PersistentVolumeClaim",
            Kind::NetworkPolicy => "NetworkPolicy",
        }
    }

    /// The plural that paths use.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Sandbox | Kind::KruiseSandbox => "sandboxes",
            Kind::Template | Kind::KruiseTemplate => "sandboxtemplates",
            Kind::Pool => "sandboxwarmpools",
            Kind::SandboxSet => "sandboxsets",
            Kind::Claim | Kind::KruiseClaim => "sandboxclaims",
            Kind::Pod => "pods",
            Kind::Service => "services",
            Kind::Volume => "persistentvolumeclaims",
            Kind::NetworkPolicy => "networkpolicies",
        }
    }

    /// The path of the kind's collection in a namespace.
    #[must_use]
    pub fn collection(self, namespace: &str) -> String {
        let (version, plural) = (self.version(), self.plural());
        match self.group() {
            "" => format!("/api/{version}/namespaces/{namespace}/{plural}"),
            group => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
