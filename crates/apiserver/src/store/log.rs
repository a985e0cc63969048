//! The border between the store and what makes it survive.

use bytes::Bytes;
use futures::future::BoxFuture;

use super::WriteError;
use crate::object::{Key, Object, Revision};

/// What one commit makes durable.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// The revision of its last change.
    pub(super) revision: Revision,
    /// What changed, in order.
    pub(super) entries: Vec<Entry>,
}

/// One changed key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// The acknowledged state, to return to if the commit fails; none if there was no object.
    pub(super) old: Option<Object>,
    /// The state to write; none for a deletion.
    pub(super) new: Option<Object>,
}

/// Makes batches durable. The memory store has none.
pub(super) trait Log: Send {
    /// Returns once the batch would survive the loss of this process and of the machine's power. After an error nothing
    /// of the batch may count as written: the next successful append replaces whatever part of it reached the disk.
    fn append(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), LogError>>;

    /// Lets go of the file.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What a log held when it was opened.
pub(super) struct Recovered {
    pub(super) revision: Revision,
    pub(super) objects: Vec<(Key, Object)>,
}

/// Why an append failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum LogError {
    /// The disk or the quota is full.
    #[error("{0}")]
    NoSpace(String),
    /// Anything else the engine reports.
    #[error("{0}")]
    Failed(String),
}

impl From<LogError> for WriteError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::NoSpace(detail) => Self::NoSpace(detail),
            LogError::Failed(detail) => Self::Log(detail),
        }
    }
}

/// Bytes of one object in the log: lengths first, so that opening need not search or parse the whole.
pub(super) fn encode(object: &Object) -> Vec<u8> {
    let layout = object.layout();
    let mut record = Vec::with_capacity(16 + object.bytes().len());
    record.extend_from_slice(&object.revision().0.to_be_bytes());
    for offset in layout {
        record.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_be_bytes());
    }
    record.extend_from_slice(object.bytes());
    record
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(record: &[u8]) -> Result<Object, String> {
    let (revision, rest) = record.split_first_chunk::<8>().ok_or("record too short")?;
    let (body_at, rest) = rest.split_first_chunk::<4>().ok_or("record too short")?;
    let (revision_at, bytes) = rest.split_first_chunk::<4>().ok_or("record too short")?;
    let layout = [u32::from_be_bytes(*body_at) as usize, u32::from_be_bytes(*revision_at) as usize];
    let revision = Revision(u64::from_be_bytes(*revision));
    Object::from_layout(Bytes::copy_from_slice(bytes), layout, revision)
        .map_err(|error| error.to_string())
}
