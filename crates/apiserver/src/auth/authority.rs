//! A certificate authority of our own, and the certificates it signs.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AuthError, HostName, Identity};

/// Ten years: the authority's certificate is in every kubeconfig, so its end is everybody's work.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// One year: a lost client key is not good for ever, and a server that restarts once a month never sees the end.
const LEAF_LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A leaf is replaced this long before its end. Longer than servers usually run without a restart would be
/// better still, but every renewal also changes the kubeconfig.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Certificates begin this long ago, for clients whose clocks are behind.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A certificate with its private key, both in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// The private key: a secret.
    pub key: String,
}

/// Signs the serving certificate and the clients' certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    files: Leaf,
    roots: Arc<RootCertStore>,
}

impl Authority {
    /// A new authority.
    pub fn generate(now: Timestamp) -> Result<Self, AuthError> {
        let subject = format!("sandbank authority of {}", now.strftime("%Y-%m-%d"));
        let failed = |source| AuthError::Certificate { subject: subject.clone(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params(&subject, now, AUTHORITY_LIFE);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        let files = Leaf { certificate, key: key.serialize_pem() };
        Self::load(files).map_err(AuthError::Tls)
    }

    /// The authority of two files; the error says why they are not one.
    pub fn load(files: Leaf) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(files.certificate.as_bytes())
            .map_err(|error| format!("not a certificate: {error}"))?;
        let key = KeyPair::from_pem(&files.key).map_err(|error| format!("not a key: {error}"))?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        if !certificate.is_ca() {
            return Err("the certificate is not that of an authority".to_owned());
        }
        if certificate.public_key().subject_public_key.data != key.public_key_raw() {
            return Err("the key does not belong to the certificate".to_owned());
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        roots.add(der).map_err(|error| error.to_string())?;
        Ok(Self { issuer, files, roots: Arc::new(roots) })
    }

    /// Certificate and key, as they are kept in files.
    pub fn files(&self) -> &Leaf {
        &self.files
    }

    /// What a client must trust.
    pub fn certificate(&self) -> &str {
        &self.files.certificate
    }

    /// Whether certificates signed today would outlive the authority.
    pub fn is_ending(&self, now: Timestamp) -> bool {
        let ends = CertificateDer::from_pem_slice(self.files.certificate.as_bytes()).ok().and_then(
            |der| {
                let (_, certificate) = X509Certificate::from_der(&der).ok()?;
                Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
            },
        );
        ends.is_none_or(|ends| now + RENEW_BEFORE >= ends)
    }

    /// A certificate for a server with these names.
    pub fn issue_server(&self, names: &[HostName], now: Timestamp) -> Result<Leaf, AuthError> {
        let mut params = params("sandbank", now, LEAF_LIFE);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name {
                HostName::Ip(ip) => Ok(SanType::IpAddress(*ip)),
                HostName::Dns(dns) => dns
                    .as_str()
                    .try_into()
                    .map(SanType::DnsName)
                    .map_err(|_| AuthError::HostName(dns.clone())),
            })
            .collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign("sandbank", params)
    }

    /// A certificate with which a client is `user`, a member of `group`.
    ///
    /// A name holds each of its attributes once here, so it is one group; certificates made elsewhere may name more.
    pub fn issue_client(&self, user: &str, group: &str, now: Timestamp) -> Result<Leaf, AuthError> {
        let mut params = params(user, now, LEAF_LIFE);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(user, params)
    }

    /// Why `leaf` will not do as a serving certificate of `names` for the time to come.
    pub fn check_server(
        &self,
        leaf: &Leaf,
        names: &[HostName],
        now: Timestamp,
    ) -> Result<(), String> {
        let key = leaf.certified_key().map_err(|error| error.to_string())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(
            self.roots.clone(),
            Arc::new(default_provider()),
        )
        .build()
        .map_err(|error| error.to_string())?;
        let later = unix_time(now + RENEW_BEFORE);
        for name in names {
            let name = name.server_name().map_err(|error| error.to_string())?;
            verifier
                .verify_server_cert(&key.cert[0], &key.cert[1..], &name, &[], later)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Why `leaf` will not do as a client certificate of `identity` for the time to come.
    pub fn check_client(
        &self,
        leaf: &Leaf,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<(), String> {
        let key = leaf.certified_key().map_err(|error| error.to_string())?;
        self.client_verifier()
            .and_then(|verifier| {
                let later = unix_time(now + RENEW_BEFORE);
                verifier
                    .verify_client_cert(&key.cert[0], &key.cert[1..], later)
                    .map_err(|error| AuthError::Tls(error.to_string()))
            })
            .map_err(|error| error.to_string())?;
        match Identity::from_certificate(&key.cert[0]) {
            Some(found) if found == *identity => Ok(()),
            _ => Err(format!("it is not a certificate of {}", identity.user)),
        }
    }

    /// Decides which client certificates are ours.
    pub(super) fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, AuthError> {
        WebPkiClientVerifier::builder_with_provider(
            self.roots.clone(),
            Arc::new(default_provider()),
        )
        .build()
        .map_err(|error| AuthError::Tls(error.to_string()))
    }

    fn sign(&self, subject: &str, params: CertificateParams) -> Result<Leaf, AuthError> {
        let failed = |source| AuthError::Certificate { subject: subject.to_owned(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Leaf { certificate, key: key.serialize_pem() })
    }
}

impl Leaf {
    /// Certificate and key for rustls; fails if they don't belong together.
    pub(super) fn certified_key(&self) -> Result<CertifiedKey, AuthError> {
        let tls = |error: &dyn std::fmt::Display| AuthError::Tls(error.to_string());
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| tls(&error))?;
        if chain.is_empty() {
            return Err(AuthError::Tls("there is no certificate in the file".to_owned()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| tls(&error))?;
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| tls(&error))
    }
}

fn params(common_name: &str, now: Timestamp, life: SignedDuration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // The library's time type is reached from a date of its own by adding the seconds since then.
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(now - CLOCK_SKEW);
    params.not_after = epoch + since_epoch(now + life);
    params.use_authority_key_identifier_extension = true;
    params
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(at.as_second().max(0).unsigned_abs())
}

fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(since_epoch(at))
}

impl HostName {
    fn server_name(&self) -> Result<ServerName<'static>, AuthError> {
        match self {
            Self::Ip(ip) => Ok(ServerName::IpAddress((*ip).into())),
            Self::Dns(dns) => {
                ServerName::try_from(dns.clone()).map_err(|_| AuthError::HostName(dns.clone()))
            }
        }
    }
}
