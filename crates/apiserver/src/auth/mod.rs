//! Who is asking, and may they.
//!
//! ```text
//!   folder of files ── Credentials ──┬── ServerConfig        what the listener presents and which clients it knows
//!   (CA, leaves, token)              ├── Authenticator       certificate or bearer token -> Identity, or 401
//!                                    └── Kubeconfig          what a person or a controller connects with
//!
//!   request + Identity ── Attributes::check ──> the API, or 403
//! ```
//!
//! A server makes its own certificate authority on its first start and keeps it; leaf certificates are renewed
//! when they near their end. Nobody without a credential gets past the health and version paths. What an
//! authenticated user may do is everything, until roles are served.

mod authenticate;
mod authority;
mod authorize;
mod credentials;
mod identity;
mod kubeconfig;
mod secret_file;
mod token;

pub use authenticate::{Authenticator, Presented, Unauthorized};
pub use authority::{Authority, Leaf};
pub use authorize::Attributes;
pub use credentials::{Credentials, HostName};
pub use identity::Identity;
pub use kubeconfig::Kubeconfig;
pub use token::{Token, TokenTable};

use std::path::PathBuf;

/// What can go wrong with certificates, tokens and their files.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file or folder could not be read or written.
    #[error("{attempted} {}: {source}", path.display())]
    File {
        /// What was attempted, as a verb.
        attempted: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file is there but is not what it should be, and making a new one would lock out whoever relies on it.
    #[error(
        "{} is damaged: {reason}; restore it, or remove the folder to begin with new credentials", path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("make the certificate of {subject}: {source}")]
    Certificate {
        /// For whom.
        subject: String,
        /// The library's word.
        source: rcgen::Error,
    },
    /// TLS can't be set up with these certificates.
    #[error("set up TLS: {0}")]
    Tls(String),
    /// A name for the serving certificate is neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    HostName(String),
    /// The system has no randomness to give.
    #[error("the system gave no random bytes")]
    Randomness,
}
