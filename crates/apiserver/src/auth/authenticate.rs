//! From what a client presents to who it is.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::{Identity, TokenTable};

/// A credential was presented and is not valid: 401, whoever it claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unauthorized")]
pub struct Unauthorized;

/// What a connection's handshake showed about the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// No client certificate.
    Nothing,
    /// A certificate of ours.
    Certificate(Identity),
    /// A certificate that is not ours, or has ended, or names no user.
    BadCertificate,
}

/// Knows every credential the server accepts.
#[derive(Clone)]
pub struct Authenticator {
    clients: Arc<dyn ClientCertVerifier>,
    tokens: Arc<TokenTable>,
}

impl Authenticator {
    /// One that accepts the certificates `clients` accepts, and `tokens`.
    pub fn new(clients: Arc<dyn ClientCertVerifier>, tokens: TokenTable) -> Self {
        Self { clients, tokens: Arc::new(tokens) }
    }

    /// Looks at the certificates of a finished handshake, once for each connection.
    pub fn connection(&self, chain: Option<&[CertificateDer<'_>]>, now: UnixTime) -> Presented {
        let Some([leaf, intermediates @ ..]) = chain else {
            return Presented::Nothing;
        };
        match self.clients.verify_client_cert(leaf, intermediates, now) {
            Ok(_) => Identity::from_certificate(leaf)
                .map_or(Presented::BadCertificate, Presented::Certificate),
            Err(error) => {
                tracing::debug!(%error, "a client presented a certificate that is not ours");
                Presented::BadCertificate
            }
        }
    }

    /// Who a request on that connection is from. A certificate counts before a token.
    pub fn request(
        &self,
        connection: &Presented,
        headers: &HeaderMap,
    ) -> Result<Identity, Unauthorized> {
        if let Presented::Certificate(identity) = connection {
            return Ok(identity.clone());
        }
        match (headers.get(AUTHORIZATION).map(bearer), connection) {
            (Some(token), _) => {
                token.and_then(|token| self.tokens.identify(token)).cloned().ok_or(Unauthorized)
            }
            (None, Presented::BadCertificate) => Err(Unauthorized),
            (None, _) => Ok(Identity::anonymous()),
        }
    }
}

/// The token of an `Authorization` header; other schemes than Bearer are not offered.
fn bearer(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets every client certificate through the handshake, to be judged after it.
///
/// A refusal inside the handshake reaches the user as a TLS alert without a reason; after it, as a 401 Status. The
/// handshake still proves that the client holds the certificate's key.
#[derive(Debug)]
pub(super) struct AnyClientCertificate(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AnyClientCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
