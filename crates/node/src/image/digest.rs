//! Content digests, and readers that compute them on the way.

use std::{fmt, io, io::Read};

use sha2::{Digest as _, Sha256};

use super::ImageError;

/// `sha256:` and 64 hexadecimal digits. The only algorithm in use; others are refused when parsed.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(bytes))
    }

    fn finish(hasher: Sha256) -> Self {
        let mut hex = String::with_capacity(64);
        for byte in hasher.finalize() {
            hex.push_str(&format!("{byte:02x}"));
        }
        Self(hex)
    }

    /// The 64 digits: safe as a file name, because parsing admits nothing else.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// Fails unless `found` is this digest.
    pub fn check(&self, found: &Digest, what: &str) -> Result<(), ImageError> {
        if self == found {
            return Ok(());
        }
        Err(ImageError::DigestMismatch {
            what: what.into(),
            expected: self.to_string(),
            found: found.to_string(),
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl std::str::FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() == 64 && hex.bytes().all(digit) {
            return Ok(Self(hex.into()));
        }
        Err(ImageError::NotAnImage {
            source_name: format!("digest {text:?}"),
            reason: "only sha256 with 64 lower-case hexadecimal digits is understood".into(),
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Self, ImageError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Passes bytes through, computing their digest and refusing to go beyond a limit.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    left: u64,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self { inner, hasher: Sha256::new(), left: limit }
    }

    /// Reads what is left, so that the digest covers everything, and answers it.
    pub(super) fn digest(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Digest::finish(self.hasher))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other("larger than an image layer may be"))?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_digests_become_file_names() {
        let good = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(good.parse::<Digest>().unwrap().to_string(), good);
        for bad in ["", "sha256:", "sha512:00", "sha256:../../etc/passwd", &good.to_uppercase()] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_reader_answers_the_digest_of_all_bytes_also_of_those_nobody_read() {
        let mut reader = Hashing::new(&b"hello world"[..], 100);
        let mut some = [0; 5];
        reader.read_exact(&mut some).unwrap();
        assert_eq!(reader.digest().unwrap(), Digest::of(b"hello world"));
        assert!(Hashing::new(&b"hello world"[..], 5).digest().is_err(), "beyond the limit");
    }
}
