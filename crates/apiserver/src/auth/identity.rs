//! A user as the API knows one.

use x509_parser::prelude::{FromDer, X509Certificate};

/// The group of everyone who presented a valid credential.
const AUTHENTICATED: &str = "system:authenticated";

/// The user and groups behind a request; a request extension of that type is what makes a request authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The user's name.
    pub user: String,
    /// The user's groups, in the order of the credential.
    pub groups: Vec<String>,
}

impl Identity {
    /// The group whose members pass every check.
    pub const MASTERS: &str = "system:masters";

    /// A user who presented a credential for `groups`.
    pub fn authenticated(
        user: impl Into<String>,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { user: user.into(), groups }
    }

    /// Whoever presented nothing.
    pub fn anonymous() -> Self {
        Self {
            user: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
        }
    }

    /// The identity of a part of this very process: a member of [`Identity::MASTERS`].
    pub fn system(component: &str) -> Self {
        Self::authenticated(format!("system:{component}"), [Self::MASTERS])
    }

    /// The name and groups in a client certificate: common name and organizations.
    ///
    /// `None` if it names no user. Says nothing about who signed it.
    pub fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?;
        if user.is_empty() {
            return None;
        }
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
        Some(Self::authenticated(user, groups))
    }

    /// Whether a valid credential stands behind this identity.
    pub fn is_authenticated(&self) -> bool {
        self.groups.iter().any(|group| group == AUTHENTICATED)
    }
}
