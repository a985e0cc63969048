//! The store: every object in memory to read, a log behind it to survive.
//!
//! The contract, held against a model by a property test for each kind of log:
//!
//! 1. revisions grow by one per changed object, over the whole store;
//! 2. a list at revision R followed by a watch from R shows every change once, in order;
//! 3. a write that changes nothing gets no revision and wakes nobody;
//! 4. a crash loses only writes that were not acknowledged;
//! 5. a watch from a forgotten revision fails distinctly ([`Forgotten`]);
//! 6. a slow watcher is cut off; it never stalls the writer.

use std::path::PathBuf;

use crate::object::{Draft, Key, Object, Revision};

/// Where objects survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreOptions {
    /// Nowhere: for tests and simulations. One thread, no file, no clock.
    Memory,
    /// In one file, made durable before a write is acknowledged.
    Durable {
        /// The file; its folder must exist.
        path: PathBuf,
    },
}

/// A set of writes that happen together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// What must hold beside the conditions of the operations themselves.
    pub requires: Vec<Require>,
    /// The writes, each on a different key.
    pub operations: Vec<Operation>,
}

/// A condition on an object that the transaction does not write.
#[derive(Debug, Clone)]
pub enum Require {
    /// The object is there and nobody asked for its deletion: a namespace one creates in.
    Alive(Key),
    /// The object is not there.
    Absent(Key),
}

/// One write.
#[derive(Debug, Clone)]
pub enum Operation {
    /// The key must be free.
    Create {
        /// Where.
        key: Key,
        /// What.
        draft: Draft,
    },
    /// The key must hold the revision that the new state was computed from.
    Update {
        /// Where.
        key: Key,
        /// The revision read.
        expected: Revision,
        /// The new state.
        draft: Draft,
    },
    /// The key must hold this revision.
    Delete {
        /// Where.
        key: Key,
        /// The revision read.
        expected: Revision,
    },
}

/// Why a transaction wrote nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// A create found the key taken.
    #[error("{0} exists already")]
    Exists(Key),
    /// An update or a delete found the key free.
    #[error("{0} does not exist")]
    Missing(Key),
    /// An update or a delete found another revision.
    #[error("{key} is at revision {found}, not {expected}")]
    Stale {
        /// Where.
        key: Key,
        /// What the writer had read.
        expected: Revision,
        /// What is there.
        found: Revision,
    },
    /// A [`Require`] does not hold.
    #[error("{0} is gone or going")]
    NotAlive(Key),
    /// A [`Require::Absent`] does not hold.
    #[error("{0} is there")]
    NotAbsent(Key),
    /// The disk is full. Nothing was written; reading goes on, and so does writing once there is room.
    #[error("no space left for the log: {0}")]
    NoSpace(String),
    /// The log failed otherwise.
    #[error("append to the log: {0}")]
    Log(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// What one change did to one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The revision of the change.
    pub revision: Revision,
    /// Where.
    pub key: Key,
    /// The state before; none for a create.
    pub old: Option<Object>,
    /// The state after. For a delete the last state under the revision of the deletion.
    pub new: Object,
    /// Whether the object is gone.
    pub effect: Effect,
}

/// Whether a change left the object there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Created or updated.
    Written,
    /// Deleted.
    Removed,
}

/// The history asked for is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("revision {asked} is forgotten; the oldest known is {oldest}")]
pub struct Forgotten {
    /// What was asked for.
    pub asked: Revision,
    /// The oldest revision that can be answered.
    pub oldest: Revision,
}
