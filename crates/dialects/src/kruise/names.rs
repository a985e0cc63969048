//! The group, its version, kinds and plurals.

/// The group.
pub const GROUP: &str = "agents.kruise.io";
/// The only version, served and stored.
pub const VERSION: &str = "v1alpha1";
/// Group and version. Clients of this family compare it as a whole in owner references, so it is written exactly so.
pub const API_VERSION: &str = "agents.kruise.io/v1alpha1";

/// A kind of this family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One sandbox.
    Sandbox,
    /// Sandboxes kept warm.
    SandboxSet,
    /// A request for some.
    SandboxClaim,
    /// What to run.
    SandboxTemplate,
}

impl Kind {
    /// All that are served.
    pub const ALL: [Self; 4] =
        [Self::Sandbox, Self::SandboxSet, Self::SandboxClaim, Self::SandboxTemplate];

    /// As in `kind:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "Sandbox",
            Self::SandboxSet => "SandboxSet",
            Self::SandboxClaim => "SandboxClaim",
            Self::SandboxTemplate => "SandboxTemplate",
        }
    }

    /// As in a path.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Sandbox => "sandboxes",
            Self::SandboxSet => "sandboxsets",
            Self::SandboxClaim => "sandboxclaims",
            Self::SandboxTemplate => "sandboxtemplates",
        }
    }

    /// As on a command line.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::SandboxSet => "sandboxset",
            Self::SandboxClaim => "sandboxclaim",
            Self::SandboxTemplate => "sandboxtemplate",
        }
    }

    /// As typed by people in a hurry.
    pub fn short(self) -> &'static str {
        match self {
            Self::Sandbox => "sbx",
            Self::SandboxSet => "sbs",
            Self::SandboxClaim => "sbc",
            Self::SandboxTemplate => "sbt",
        }
    }
}
