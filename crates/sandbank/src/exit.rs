//! What can go wrong in a verb, the exit code it ends with and what the reader can do next.
//!
//! The numbers are an interface: scripts branch on them, so a number is never given a second meaning.

use std::path::PathBuf;
use std::process::ExitCode;

/// The exit codes of every verb. `exec` alone also ends with the code of the command it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It is done.
    Ok = 0,
    /// It failed for a reason that is none of those below.
    Failed = 1,
    /// The command line is wrong; nothing was tried. clap uses the same number.
    Usage = 2,
    /// The named object, image or sandbox does not exist.
    NotFound = 3,
    /// It exists but is not ready, or was not ready before the timeout.
    NotReady = 4,
    /// There is no server, or it does not answer.
    Unreachable = 5,
    /// The server answered and said no: not allowed, invalid, in conflict, or held by somebody else.
    Refused = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Flags that clap accepts one by one but that make no sense together.
    #[error("{what}")]
    Usage {
        /// What is wrong with them.
        what: String,
        /// What to write instead.
        next: String,
    },
    /// None of the places a kubeconfig may be in has one.
    #[error("found no kubeconfig; looked at {}", list(.looked_at))]
    NoKubeconfig {
        /// The places, in the order they were tried.
        looked_at: Vec<PathBuf>,
    },
    /// A kubeconfig exists but cannot be used.
    #[error("cannot use the kubeconfig {}: {reason}", path.display())]
    BadKubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server does not answer.
    #[error("cannot reach the server {server}: {reason}")]
    Unreachable {
        /// Its address, as the kubeconfig has it.
        server: String,
        /// What the network said.
        reason: String,
    },
    /// A named thing does not exist.
    #[error("{what} not found")]
    NotFound {
        /// The thing: `claim default/a`, `image x`.
        what: String,
        /// How to see what does exist.
        next: String,
    },
    /// Something exists but is not ready (in time).
    #[error("{what} is not ready: {reason}")]
    NotReady {
        /// The thing.
        what: String,
        /// Its own words for it.
        reason: String,
        /// How to learn more.
        next: String,
    },
    /// The other side said no.
    #[error("{what} was refused: {reason}")]
    Refused {
        /// What was attempted.
        what: String,
        /// The answer.
        reason: String,
        /// A way out, where one is known.
        next: Option<String>,
    },
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    /// The reader of our output went away (`| head`). Not worth a message.
    #[error("the reader of the output went away")]
    OutputClosed,
}

impl Error {
    /// A refusal with a way out.
    pub fn refused(
        what: impl Into<String>,
        reason: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Error::Refused { what: what.into(), reason: reason.into(), next: Some(next.into()) }
    }

    /// A missing thing and where to look.
    pub fn not_found(what: impl Into<String>, next: impl Into<String>) -> Self {
        Error::NotFound { what: what.into(), next: next.into() }
    }

    /// A usage error that clap cannot see.
    pub fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Error::Usage { what: what.into(), next: next.into() }
    }

    /// The code the process ends with.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Usage { .. } => Exit::Usage,
            Error::NoKubeconfig { .. } | Error::Unreachable { .. } => Exit::Unreachable,
            Error::NotFound { .. } => Exit::NotFound,
            Error::NotReady { .. } => Exit::NotReady,
            Error::Refused { .. } => Exit::Refused,
            Error::BadKubeconfig { .. } | Error::Failed(_) => Exit::Failed,
            // What was asked for was done; the reader has seen enough of it.
            Error::OutputClosed => Exit::Ok,
        }
    }

    /// What the reader can do about it.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Error::NoKubeconfig { .. } => Some(
                "start a server with `sandbank up`, or name a kubeconfig with --kubeconfig FILE"
                    .into(),
            ),
            Error::BadKubeconfig { .. } => {
                Some("name another with --kubeconfig FILE; `sandbank up` writes a good one".into())
            }
            Error::Unreachable { .. } => {
                Some("start one with `sandbank up`, or name another with --kubeconfig FILE".into())
            }
            Error::Usage { next, .. }
            | Error::NotFound { next, .. }
            | Error::NotReady { next, .. } => Some(next.clone()),
            Error::Refused { next, .. } => next.clone(),
            Error::Failed(_) | Error::OutputClosed => None,
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_a_user_can_mend_says_how() {
        let errors = [
            Error::NoKubeconfig { looked_at: vec!["/a".into(), "/b".into()] },
            Error::BadKubeconfig { path: "/a".into(), reason: "it is empty".into() },
            Error::Unreachable { server: "https://[::1]:1".into(), reason: "refused".into() },
            Error::not_found("claim default/a", "list them"),
            Error::usage("two flags", "give one"),
        ];
        for error in errors {
            assert!(error.next_step().is_some_and(|s| !s.is_empty()), "{error}");
            assert_ne!(error.exit(), Exit::Ok, "{error}");
        }
    }

    #[test]
    fn places_looked_at_are_named_in_order() {
        let error = Error::NoKubeconfig { looked_at: vec!["/a".into(), "/b".into()] };
        assert_eq!(error.to_string(), "found no kubeconfig; looked at /a, /b");
    }
}
