//! What went wrong with the writes for a sandbox, and what its status may say of it.
//!
//! A refused write becomes part of the next plan's view, so that the sandbox explains itself. An invalid one is not even asked for again as long as the sandbox
//! asks for the same.

use std::time::Duration;

use engine::sandbox::Setback;
use engine::{Key, Uid};
use tokio::time::Instant;

use super::{Failure, Reconciler};
use crate::act::WriteError;
use crate::family::Family;
use crate::kinds::Kind;
use crate::queue::Priority;
use crate::subject::Subject;

/// A write that was found invalid is made again so long after, although nothing was edited: it may have been a policy of the cluster that found it so, and nobody
/// tells us when that changes. One refused write in ten minutes is nothing to a server.
const INVALID_RECHECK: Duration = Duration::from_secs(600);

/// A write for a sandbox that was found invalid. It is not made again as long as the sandbox asks for the same.
#[derive(Clone, Debug)]
pub(super) struct InvalidWrite {
    life: Uid,
    generation: i64,
    verb: &'static str,
    kind: Kind,
    key: Key,
    message: String,
    /// When it is made again all the same.
    until: Instant,
}

/// What a sandbox asks for: a write that was invalid for it stays so until this changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its name.
    pub sandbox: Key,
    /// Its life.
    pub life: Uid,
    /// The generation of its spec.
    pub generation: i64,
}

impl<F: Family> Reconciler<F> {
    /// A refused write becomes part of the status; other failures pass and are not worth showing. Returns what it was given, except that an invalid write is no
    /// failure any more: the answer is when to try it again.
    pub(crate) fn remember(
        &self,
        sandbox: &Key,
        done: Result<(), Failure>,
    ) -> Result<Option<Instant>, Failure> {
        let before = self.memory.error(sandbox);
        let now = match &done {
            Ok(()) => None,
            Err(Failure::Write { source: WriteError::Refused(message), verb, kind, .. }) => {
                Some(Setback::Denied(format!("{verb} {kind}: {message}")))
            }
            Err(Failure::Write { source: WriteError::Invalid(message), verb, kind, .. }) => {
                Some(Setback::Invalid(format!("{verb} {kind}: {message}")))
            }
            Err(_) => before.clone(),
        };
        if now != before {
            self.memory.note_error(sandbox, now);
            // The status that tells it comes from the next plan.
            self.wake(Subject::Sandbox(sandbox.clone()), Priority::Background);
        }
        match done {
            // An edit of the sandbox brings it back at once.
            Err(Failure::Write { source: WriteError::Invalid(_), .. }) => {
                Ok(self.memory.invalid(sandbox).map(|known| known.until))
            }
            other => other.map(|()| None),
        }
    }

    /// Says again what the server said to the same write, without asking it.
    pub(crate) fn refuse_known_invalid(
        &self,
        asked: &Asked,
        write: (&'static str, Kind, &Key),
    ) -> Result<(), Failure> {
        let Some(known) = self.memory.invalid(&asked.sandbox) else { return Ok(()) };
        let same = known.life == asked.life
            && known.generation == asked.generation
            && (known.verb, known.kind, &known.key) == write
            && Instant::now() < known.until;
        if !same {
            return Ok(());
        }
        let invalid = WriteError::Invalid(known.message);
        Err(Failure::write(known.verb, known.kind, &known.key, invalid))
    }

    /// Notes a write that was found invalid.
    pub(crate) fn note_invalid<T>(&self, asked: &Asked, done: &Result<T, Failure>) {
        if let Err(Failure::Write { source: WriteError::Invalid(message), verb, kind, key }) = done
        {
            let write = InvalidWrite {
                life: asked.life.clone(),
                generation: asked.generation,
                verb,
                kind: *kind,
                key: key.clone(),
                message: message.clone(),
                until: Instant::now() + INVALID_RECHECK,
            };
            self.memory.note_invalid(&asked.sandbox, write);
        }
    }
}
