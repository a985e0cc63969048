//! Groups, versions, kinds and plurals.

/// The group of Sandbox.
pub const GROUP: &str = "agents.x-k8s.io";
/// The group of the other three.
pub const EXTENSIONS: &str = "extensions.agents.x-k8s.io";
/// The stored version.
pub const V1BETA1: &str = "v1beta1";
/// The older served version.
pub const V1ALPHA1: &str = "v1alpha1";
/// The name under which objects are created.
pub const FIELD_MANAGER: &str = "sandbox-controller";
/// The lease that all implementations of this family share, so that two of them never act together.
pub const LEASE: &str = "a3317529.agent-sandbox.x-k8s.io";

/// A kind of this family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One sandbox.
    Sandbox,
    /// What to run.
    SandboxTemplate,
    /// Sandboxes kept warm.
    SandboxWarmPool,
    /// A request for one.
    SandboxClaim,
}

impl Kind {
    /// All four.
    pub const ALL: [Self; 4] =
        [Self::Sandbox, Self::SandboxTemplate, Self::SandboxWarmPool, Self::SandboxClaim];

    /// As in `kind:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "Sandbox",
            Self::SandboxTemplate => "SandboxTemplate",
            Self::SandboxWarmPool => "SandboxWarmPool",
            Self::SandboxClaim => "SandboxClaim",
        }
    }

    /// Its group.
    pub fn group(self) -> &'static str {
        match self {
            Self::Sandbox => GROUP,
            Self::SandboxTemplate | Self::SandboxWarmPool | Self::SandboxClaim => EXTENSIONS,
        }
    }

    /// As in a path.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Sandbox => "sandboxes",
            Self::SandboxTemplate => "sandboxtemplates",
            Self::SandboxWarmPool => "sandboxwarmpools",
            Self::SandboxClaim => "sandboxclaims",
        }
    }

    /// As on a command line.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::SandboxTemplate => "sandboxtemplate",
            Self::SandboxWarmPool => "sandboxwarmpool",
            Self::SandboxClaim => "sandboxclaim",
        }
    }

    /// Group and stored version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Sandbox => "agents.x-k8s.io/v1beta1",
            Self::SandboxTemplate | Self::SandboxWarmPool | Self::SandboxClaim => {
                "extensions.agents.x-k8s.io/v1beta1"
            }
        }
    }

    /// The kind of this name.
    pub fn parse(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| candidate.as_str() == kind)
    }
}
