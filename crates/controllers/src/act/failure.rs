//! What a failed write means for the next plan.

use thiserror::Error;

/// A write that did not succeed, by what may be concluded from it.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The object is not there (404).
    #[error("the object is gone: {0}")]
    Gone(String),
    /// The object is not the one, or not in the version, that the write was about (409).
    #[error("the object changed: {0}")]
    Conflict(String),
    /// The name is taken (409).
    #[error("the name is taken: {0}")]
    AlreadyExists(String),
    /// What was written can't be such an object (400, 413, 422). Only an edit of what it was made from helps.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The server understood and said no (403: a quota, a webhook, a missing right). The same may be allowed later.
    #[error("refused: {0}")]
    Refused(String),
    /// The server is not able to answer now (429, 5xx). It may or may not have applied the write.
    #[error("the API server could not: {0}")]
    Unavailable(String),
    /// No answer came. The write may or may not have been applied.
    #[error("no answer within {:?}", super::WRITE_TIMEOUT)]
    TimedOut,
    /// The connection failed. The write may or may not have been applied.
    #[error("the API server could not be reached")]
    Unreachable(#[source] Box<kube::Error>),
    /// This process may not write now.
    #[error("another process leads")]
    NotLeading,
    /// The request could not be built; a mistake in our own names.
    #[error("build the request")]
    Build(#[source] kube::core::request::Error),
    /// The answer to a write that succeeded could not be read.
    #[error("read the answer")]
    Answer(#[source] serde_json::Error),
}

impl WriteError {
    pub(super) fn from_client(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return WriteError::Unreachable(Box::new(error));
        };
        let message = status.message.clone();
        match (status.code, status.reason.as_str()) {
            (404, _) => WriteError::Gone(message),
            (409, "AlreadyExists") => WriteError::AlreadyExists(message),
            (409, _) => WriteError::Conflict(message),
            (408 | 429, _) => WriteError::Unavailable(message),
            (code, _) if code >= 500 => WriteError::Unavailable(message),
            (400 | 413 | 422, _) => WriteError::Invalid(message),
            // A 401 or a namespace that is going away is not cured by an edit of the object, but neither by saying it again at once.
            (_, _) => WriteError::Refused(message),
        }
    }

    /// Whether the write can't have been applied. If not, the next plan must look for its effect before doing it again.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match self {
            WriteError::Gone(_)
            | WriteError::Conflict(_)
            | WriteError::AlreadyExists(_)
            | WriteError::Invalid(_)
            | WriteError::Refused(_)
            | WriteError::NotLeading
            | WriteError::Build(_) => true,
            WriteError::Unavailable(_)
            | WriteError::TimedOut
            | WriteError::Unreachable(_)
            | WriteError::Answer(_) => false,
        }
    }

    /// The label of the metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            WriteError::Gone(_) => "gone",
            WriteError::Conflict(_) => "conflict",
            WriteError::AlreadyExists(_) => "already_exists",
            WriteError::Invalid(_) => "invalid",
            WriteError::Refused(_) => "refused",
            WriteError::Unavailable(_) => "unavailable",
            WriteError::TimedOut => "timed_out",
            WriteError::Unreachable(_) => "unreachable",
            WriteError::NotLeading => "not_leading",
            WriteError::Build(_) => "build",
            WriteError::Answer(_) => "answer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str) -> WriteError {
        let status = kube::core::Status::failure("message", reason).with_code(code);
        WriteError::from_client(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn answers_are_told_apart_by_what_may_be_concluded() {
        let cases = [
            (404, "NotFound", "gone", true),
            (409, "AlreadyExists", "already_exists", true),
            (409, "Conflict", "conflict", true),
            (422, "Invalid", "invalid", true),
            (403, "Forbidden", "refused", true),
            (429, "TooManyRequests", "unavailable", false),
            (500, "InternalError", "unavailable", false),
            (504, "Timeout", "unavailable", false),
        ];
        for (code, reason, label, certain) in cases {
            let error = api(code, reason);
            assert_eq!((error.label(), error.is_certain()), (label, certain), "{code} {reason}");
        }
        assert!(!WriteError::TimedOut.is_certain());
    }
}
