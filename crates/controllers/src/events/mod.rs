//! Kubernetes events: a courtesy that never costs a claim anything.
//!
//! Whoever decides something drops a [`Note`] into a bounded queue and goes on; one task writes them. Notes about the same object and reason become one
//! event with a count. When the queue is full, notes are dropped and counted: events are for people, and people are not helped by the ten-thousandth.

mod series;
mod write;

use engine::{Key, Uid};
use tokio::sync::mpsc;

pub use write::run;

use crate::kinds::Kind;
use crate::metrics::Metrics;

/// Notes that may wait to be written. A burst of a thousand claims fits; beyond that the writer is behind by more than a second and dropping is kinder.
const QUEUE: usize = 1024;

/// How an event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something happened as it should.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

impl Severity {
    /// The event's `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

/// Something worth telling people about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The kind of the object.
    pub kind: Kind,
    /// The object.
    pub key: Key,
    /// Its life.
    pub uid: Uid,
    /// How it is shown.
    pub severity: Severity,
    /// The reason, in CamelCase.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// Where notes are dropped.
#[derive(Clone, Debug)]
pub struct Events(Option<mpsc::Sender<Note>>, Metrics);

/// The other end, for [`run`].
#[derive(Debug)]
pub struct Notes(mpsc::Receiver<Note>);

impl Events {
    /// A queue of notes.
    #[must_use]
    pub fn channel(metrics: Metrics) -> (Events, Notes) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Events(Some(sender), metrics), Notes(receiver))
    }

    /// No events at all.
    #[must_use]
    pub fn off(metrics: Metrics) -> Events {
        Events(None, metrics)
    }

    /// Tells, if there is room.
    pub fn note(&self, note: Note) {
        if let Some(sender) = &self.0
            && sender.try_send(note).is_err()
        {
            self.1.event("dropped");
        }
    }
}
