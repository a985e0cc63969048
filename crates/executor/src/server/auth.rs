//! The token that callers must show, where one is configured.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use http::{HeaderMap, header};

/// A token of any sensible kind is shorter; a file that is longer is another file.
const LONGEST: u64 = 16 << 10;

/// The token, or where it is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// As it is.
    Value(String),
    /// In a file, which is read for each call: a mounted Secret may change.
    File(PathBuf),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Why there is no token although one was asked for. Without it everybody would be let in, or nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is empty")]
    Empty,
    #[error("read the token file {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl Token {
    pub(crate) fn new(value: String) -> Result<Self, TokenError> {
        match value.trim() {
            "" => Err(TokenError::Empty),
            token => Ok(Self::Value(token.to_owned())),
        }
    }

    /// A token in a file, which must be there already.
    pub(crate) fn in_file(path: PathBuf) -> Result<Self, TokenError> {
        let token = Self::File(path);
        token.read().map(|_| token)
    }

    fn read(&self) -> Result<String, TokenError> {
        let path = match self {
            Self::Value(token) => return Ok(token.clone()),
            Self::File(path) => path,
        };
        let read = |source| TokenError::Read { path: path.clone(), source };
        let mut text = String::new();
        File::open(path).map_err(read)?.take(LONGEST).read_to_string(&mut text).map_err(read)?;
        match text.trim() {
            "" => Err(TokenError::Empty),
            token => Ok(token.to_owned()),
        }
    }

    /// Whether a call shows it.
    pub(crate) fn shown(&self, headers: &HeaderMap) -> Result<bool, TokenError> {
        let expected = self.read()?;
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        Ok(token.is_some_and(|token| same(token.as_bytes(), expected.as_bytes())))
    }
}

/// Compares without telling by its duration where the first difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_token_opens_and_a_changed_file_counts_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(Token::in_file(path.clone()).is_err());
        std::fs::write(&path, " \n").unwrap();
        assert!(matches!(Token::in_file(path.clone()), Err(TokenError::Empty)));
        std::fs::write(&path, "one\n").unwrap();
        let token = Token::in_file(path.clone()).unwrap();
        let shown = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            token.shown(&headers).unwrap()
        };
        assert!(shown("Bearer one") && shown("bearer one"));
        assert!(
            !shown("Bearer on") && !shown("Bearer ones") && !shown("one") && !shown("Basic one")
        );
        assert!(!token.shown(&HeaderMap::new()).unwrap());
        std::fs::write(&path, "two").unwrap();
        assert!(shown("Bearer two") && !shown("Bearer one"));
        assert_eq!(format!("{:?}", Token::new("secret".to_owned()).unwrap()), "Value(..)");
    }
}
