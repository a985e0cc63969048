//! What a reconcile is about.

use std::fmt;

use engine::Key;

/// An object whose state somebody has to bring about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A claim.
    Claim(Key),
    /// A sandbox: its pod, service and volumes.
    Sandbox(Key),
    /// A pool.
    Pool(Key),
    /// A template: its network policy.
    Template(Key),
}

impl Subject {
    /// The word for it in logs and metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Subject::Claim(_) => "claim",
            Subject::Sandbox(_) => "sandbox",
            Subject::Pool(_) => "pool",
            Subject::Template(_) => "template",
        }
    }

    /// The object's name.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Subject::Claim(key)
            | Subject::Sandbox(key)
            | Subject::Pool(key)
            | Subject::Template(key) => key,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.key())
    }
}
