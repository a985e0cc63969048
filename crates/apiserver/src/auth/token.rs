//! Bearer tokens.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::crypto::ring::default_provider;
use sha2::{Digest, Sha256};

use super::{AuthError, Identity};

/// 256 bits: nobody guesses one, and it stays a short line in a file.
const TOKEN_BYTES: usize = 32;

/// Shorter ones are not ours; a truncated file must not become a weak password.
const MIN_LENGTH: usize = 32;

/// A longer header is refused unread.
const MAX_LENGTH: usize = 4096;

/// A secret that stands for a user. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new token from the system's randomness.
    pub fn random() -> Result<Self, AuthError> {
        let mut bytes = [0; TOKEN_BYTES];
        default_provider().secure_random.fill(&mut bytes).map_err(|_| AuthError::Randomness)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The token in a file, if the text is one: visible ASCII without blanks, long enough to be a secret.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (MIN_LENGTH..=MAX_LENGTH).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The secret itself, for a file or a header.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The tokens a server accepts.
///
/// Holds digests: the secrets are not in memory twice, and looking one up takes the same time whatever part of a
/// guess is right, because the digest of a guess shares nothing with the digest of the secret.
#[derive(Clone, Debug, Default)]
pub struct TokenTable(BTreeMap<[u8; 32], Identity>);

impl TokenTable {
    /// Accepts `token` for `identity` from now on.
    pub fn insert(&mut self, token: &Token, identity: Identity) {
        self.0.insert(digest(token.secret()), identity);
    }

    /// Whose token this is.
    pub fn identify(&self, presented: &str) -> Option<&Identity> {
        if presented.len() > MAX_LENGTH {
            return None;
        }
        let presented = digest(presented);
        // Every entry is compared in full, whether or not an earlier one matched.
        self.0.iter().fold(
            None,
            |found, (known, identity)| {
                if same(known, &presented) { Some(identity) } else { found }
            },
        )
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left.iter().zip(right).fold(0, |all, (l, r)| all | (l ^ r));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_for_its_user_and_for_nobody_else() {
        let (alice, bob) = (Token::random().unwrap(), Token::random().unwrap());
        let mut table = TokenTable::default();
        table.insert(&alice, Identity::authenticated("alice", ["dev"]));
        table.insert(&bob, Identity::authenticated("bob", ["ops"]));

        assert_eq!(table.identify(alice.secret()).unwrap().user, "alice");
        assert_eq!(table.identify(bob.secret()).unwrap().user, "bob");
        assert_eq!(table.identify(""), None);
        assert_eq!(table.identify(&alice.secret()[1..]), None);
        assert_eq!(table.identify(&"x".repeat(MAX_LENGTH + 1)), None);
    }

    #[test]
    fn a_truncated_or_binary_file_is_not_a_token() {
        let token = Token::random().unwrap();
        assert_eq!(Token::parse(&format!("{}\n", token.secret())), Some(token.clone()));
        assert_eq!(Token::parse(""), None);
        assert_eq!(Token::parse(&token.secret()[..MIN_LENGTH - 1]), None);
        assert_eq!(Token::parse(&"a b".repeat(20)), None);
        assert!(!format!("{token:?}").contains(token.secret()));
    }
}
