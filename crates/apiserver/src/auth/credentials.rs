//! The files a server proves itself with and knows its clients by.

use std::{net::IpAddr, path::Path, str::FromStr, sync::Arc};

use jiff::Timestamp;
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    AuthError, Authenticator, Authority, Identity, Kubeconfig, Leaf, Token, TokenTable,
    authenticate::AnyClientCertificate,
    secret_file::{self, damaged},
};

/// The user that the kubeconfig and the token of the folder stand for.
const ADMIN: &str = "sandbank-admin";

/// A name a server is reached by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostName {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

impl HostName {
    /// The names every server has: this machine's own loopback.
    pub fn loopback() -> Vec<Self> {
        let dns = |name: &str| Self::Dns(name.to_owned());
        let ip = |address: [u8; 4]| Self::Ip(address.into());
        let mut names = vec![dns("localhost"), ip([127, 0, 0, 1])];
        names.push(Self::Ip(std::net::Ipv6Addr::LOCALHOST.into()));
        // In-cluster configuration of clients in pods uses these names.
        names.extend([dns("kubernetes"), dns("kubernetes.default"), dns("kubernetes.default.svc")]);
        names
    }
}

impl FromStr for HostName {
    type Err = AuthError;

    fn from_str(text: &str) -> Result<Self, AuthError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        rustls::pki_types::DnsName::try_from(text)
            .map(|_| Self::Dns(text.to_owned()))
            .map_err(|_| AuthError::HostName(text.to_owned()))
    }
}

/// An authority, a serving certificate, an administrator's certificate and token.
pub struct Credentials {
    authority: Authority,
    server: Leaf,
    admin: Leaf,
    token: Token,
}

impl Credentials {
    /// New ones that are in no file: for tests, and for servers that keep nothing.
    pub fn generate(extra_names: &[HostName], now: Timestamp) -> Result<Self, AuthError> {
        let authority = Authority::generate(now)?;
        let server = authority.issue_server(&names(extra_names), now)?;
        let admin = authority.issue_client(ADMIN, Identity::MASTERS, now)?;
        Ok(Self { authority, server, admin, token: Token::random()? })
    }

    /// The ones in `dir`, made or renewed as needed.
    ///
    /// Leaf certificates that are missing, damaged, ending or lack a name are made anew, which no client notices. An
    /// authority or a token that is damaged is an error, because a new one would silently lock out every client;
    /// an authority that has ended is replaced, because nobody can rely on it any more.
    pub fn open(dir: &Path, extra_names: &[HostName], now: Timestamp) -> Result<Self, AuthError> {
        secret_file::private_dir(dir)?;
        let authority = open_authority(dir, now)?;
        let names = names(extra_names);
        let server = open_leaf(
            dir,
            "server",
            |leaf| authority.check_server(leaf, &names, now),
            || authority.issue_server(&names, now),
        )?;
        let admin_identity = Identity::authenticated(ADMIN, [Identity::MASTERS]);
        let admin = open_leaf(
            dir,
            "admin",
            |leaf| authority.check_client(leaf, &admin_identity, now),
            || authority.issue_client(ADMIN, Identity::MASTERS, now),
        )?;
        Ok(Self { token: open_token(dir)?, authority, server, admin })
    }

    /// The authority, to sign certificates for further clients.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The administrator's bearer token.
    pub fn admin_token(&self) -> &Token {
        &self.token
    }

    /// What decides who a connection and a request are from.
    pub fn authenticator(&self) -> Result<Authenticator, AuthError> {
        let mut tokens = TokenTable::default();
        tokens.insert(&self.token, Identity::authenticated(ADMIN, [Identity::MASTERS]));
        Ok(Authenticator::new(self.authority.client_verifier()?, tokens))
    }

    /// How the listener speaks TLS: HTTP/2 and HTTP/1.1, a client certificate asked for but not demanded.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, AuthError> {
        let certificate = Arc::new(self.server.certified_key()?);
        let clients = AnyClientCertificate(self.authority.client_verifier()?);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| AuthError::Tls(error.to_string()))?
            .with_client_cert_verifier(Arc::new(clients))
            .with_cert_resolver(Arc::new(OneCertificate(certificate)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// What the administrator connects with, to a server at `address` such as `https://127.0.0.1:6443`.
    pub fn kubeconfig(&self, address: &str) -> Kubeconfig {
        Kubeconfig {
            server: address.to_owned(),
            authority: self.authority.certificate().to_owned(),
            client: self.admin.clone(),
        }
    }
}

/// Presents the same certificate to everyone, also to those who name no host.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

fn names(extra: &[HostName]) -> Vec<HostName> {
    let mut names = HostName::loopback();
    names.extend(extra.iter().filter(|name| !HostName::loopback().contains(name)).cloned());
    names
}

fn open_authority(dir: &Path, now: Timestamp) -> Result<Authority, AuthError> {
    let (certificate, key) = (dir.join("ca.crt"), dir.join("ca.key"));
    let make = || -> Result<Authority, AuthError> {
        let authority = Authority::generate(now)?;
        // The key first: a certificate without its key would be taken for damage.
        secret_file::write(&key, authority.files().key.as_bytes())?;
        secret_file::write(&certificate, authority.files().certificate.as_bytes())?;
        Ok(authority)
    };
    match (secret_file::read(&certificate)?, secret_file::read(&key)?) {
        // A key alone is a first start that was cut off between the two files.
        (None, _) => make(),
        (Some(_), None) => Err(damaged(&certificate, format!("{} is missing", key.display()))),
        (Some(certificate_pem), Some(key_pem)) => {
            let files = Leaf { certificate: certificate_pem, key: key_pem };
            let authority =
                Authority::load(files).map_err(|reason| damaged(&certificate, reason))?;
            if authority.is_ending(now) {
                tracing::warn!("the certificate authority is at its end; making a new one");
                return make();
            }
            Ok(authority)
        }
    }
}

fn open_leaf(
    dir: &Path,
    name: &str,
    check: impl FnOnce(&Leaf) -> Result<(), String>,
    issue: impl FnOnce() -> Result<Leaf, AuthError>,
) -> Result<Leaf, AuthError> {
    let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    let found = match (read_leaf_file(&certificate)?, read_leaf_file(&key)?) {
        (Some(certificate), Some(key)) => Some(Leaf { certificate, key }),
        _ => None,
    };
    if let Some(leaf) = found {
        match check(&leaf) {
            Ok(()) => return Ok(leaf),
            Err(reason) => tracing::info!(certificate = name, reason, "renewing a certificate"),
        }
    }
    let leaf = issue()?;
    secret_file::write(&key, leaf.key.as_bytes())?;
    secret_file::write(&certificate, leaf.certificate.as_bytes())?;
    Ok(leaf)
}

/// A leaf file that is unreadable as text counts as missing, since it is replaced anyway.
fn read_leaf_file(path: &Path) -> Result<Option<String>, AuthError> {
    match secret_file::read(path) {
        Err(AuthError::Damaged { .. }) => Ok(None),
        other => other,
    }
}

fn open_token(dir: &Path) -> Result<Token, AuthError> {
    let path = dir.join("admin.token");
    if let Some(text) = secret_file::read(&path)? {
        return Token::parse(&text).ok_or_else(|| damaged(&path, "it is not a token"));
    }
    let token = Token::random()?;
    secret_file::write(&path, format!("{}\n", token.secret()).as_bytes())?;
    Ok(token)
}

#[cfg(test)]
mod tests;
