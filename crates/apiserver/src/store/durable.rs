//! The durable log: one redb file, owned by a thread of its own because a commit waits for the disk.
//!
//! Two tables: the newest state of each key, and the revision row. History is not kept: after a restart the first watch of
//! each client lists again, which is cheaper than writing every state twice.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use futures::FutureExt;
use futures::future::BoxFuture;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use super::log::{Batch, Entry, Log, LogError, Recovered, decode, encode};
use crate::object::{Key, Object, ResourceId, Revision};

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");

/// The version of the records in the file. A server that finds a higher one refuses the file rather than guess.
const FORMAT: u64 = 1;

/// Pages kept by the engine. All reading is from our own memory, so only the upper levels of its trees matter.
const CACHE_BYTES: usize = 32 << 20;

/// Why a store did not open. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file open.
    #[error("open store {path}: another process is using it; stop that one first")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The bytes of the file are not what was written.
    #[error(
        "open store {path}: the file is damaged ({detail}); restore a copy, or move it away to start empty"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// What every cluster has could not be written into a new store.
    #[error("write what every cluster has: {0}")]
    Unprepared(String),
    /// A later release wrote the file.
    #[error(
        "open store {path}: its format {found} is newer than this program's {FORMAT}; use the newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// The file or its folder can't be written.
    #[error(
        "open store {path}: it can't be written ({detail}); check the owner and the mount of its folder"
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The disk is full.
    #[error("open store {path}: no space left on its disk ({detail})")]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Anything else the system reports.
    #[error("open store {path}: {detail}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

/// One redb file behind a thread.
pub(super) struct DurableLog {
    work: mpsc::Sender<Work>,
}

struct Work {
    batch: Batch,
    done: oneshot::Sender<Result<(), LogError>>,
}

impl DurableLog {
    /// Opens or creates the file, checks it, and reads everything in it.
    pub(super) async fn open(path: PathBuf) -> Result<(Self, Recovered), OpenError> {
        let (work, queue) = mpsc::channel::<Work>();
        let (opened, outcome) = oneshot::channel();
        let file = path.clone();
        let spawned = std::thread::Builder::new().name("store-log".into()).spawn(move || {
            match open_file(&file).and_then(|database| {
                let recovered = recover(&file, &database)?;
                Ok((database, recovered))
            }) {
                Ok((database, recovered)) => {
                    let _ = opened.send(Ok(recovered));
                    File { path: file, database: Some(database), unsettled: BTreeMap::new() }
                        .serve(&queue);
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        });
        if let Err(error) = spawned {
            return Err(OpenError::Io { path, detail: error.to_string() });
        }
        match outcome.await {
            Ok(result) => result.map(|recovered| (Self { work }, recovered)),
            // The engine may panic on bytes it did not write; the thread took the panic with it.
            Err(_) => Err(OpenError::Damaged { path, detail: "reading it failed".into() }),
        }
    }
}

impl Log for DurableLog {
    fn append(&mut self, batch: Batch) -> BoxFuture<'_, Result<(), LogError>> {
        async move {
            let (done, outcome) = oneshot::channel();
            let gone = || LogError::Failed("the log's thread ended".into());
            self.work.send(Work { batch, done }).map_err(|_| gone())?;
            outcome.await.map_err(|_| gone())?
        }
        .boxed()
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self { work } = *self;
        async move {
            // An empty batch passes through the queue like any other; a second one can't be answered after the thread
            // saw the channel close, which it does once the file is dropped.
            let (done, ended) = oneshot::channel();
            let last = Batch { revision: Revision::default(), entries: Vec::new() };
            let _ = work.send(Work { batch: last, done });
            drop(work);
            let _ = ended.await;
        }
        .boxed()
    }
}

/// The thread's side.
struct File {
    path: PathBuf,
    /// None after a failed commit: the engine refuses to go on after an I/O error until the file is opened again.
    database: Option<Database>,
    /// Entries of failed batches, as they were before: a commit that reported an error may still have reached the disk,
    /// so the next one writes the acknowledged state of these keys too.
    unsettled: BTreeMap<String, Option<Vec<u8>>>,
}

impl File {
    fn serve(mut self, queue: &mpsc::Receiver<Work>) {
        while let Ok(Work { batch, done }) = queue.recv() {
            if batch.entries.is_empty() {
                // The last word of `close`: answer only when the file is free for others.
                drop(self);
                let _ = done.send(Ok(()));
                return;
            }
            let outcome = self.append(&batch);
            let _ = done.send(outcome);
        }
    }

    fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        if self.database.is_none() {
            let database =
                open_file(&self.path).map_err(|error| LogError::Failed(error.to_string()))?;
            self.database = Some(database);
        }
        let Some(database) = &self.database else {
            return Err(LogError::Failed("the file is not open".into()));
        };
        match commit(database, batch, &self.unsettled) {
            Ok(()) => {
                self.unsettled.clear();
                Ok(())
            }
            Err(error) => {
                for Entry { key, old, .. } in &batch.entries {
                    self.unsettled.entry(row(key)).or_insert_with(|| old.as_ref().map(encode));
                }
                self.database = None;
                Err(log_error(&error))
            }
        }
    }
}

fn commit(
    database: &Database,
    batch: &Batch,
    unsettled: &BTreeMap<String, Option<Vec<u8>>>,
) -> Result<(), redb::Error> {
    // redb's default durability: `commit` returns after the file is synced.
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for (at, bytes) in unsettled {
            match bytes {
                Some(bytes) => drop(objects.insert(at.as_str(), bytes.as_slice())?),
                None => drop(objects.remove(at.as_str())?),
            }
        }
        for Entry { key, new, .. } in &batch.entries {
            match new {
                Some(object) => {
                    drop(objects.insert(row(key).as_str(), encode(object).as_slice())?);
                }
                None => drop(objects.remove(row(key).as_str())?),
            }
        }
        let mut counters = transaction.open_table(COUNTERS)?;
        counters.insert("revision", batch.revision.0)?;
    }
    transaction.commit()?;
    Ok(())
}

/// A key as the file orders it. No part can hold a NUL: names are validated.
fn row(key: &Key) -> String {
    let resource = &key.resource;
    format!("{}\0{}\0{}\0{}", resource.group, resource.plural, key.namespace, key.name)
}

fn key(row: &str) -> Option<Key> {
    let mut parts = row.split('\0');
    let resource = ResourceId::new(parts.next()?, parts.next()?);
    Some(Key::new(resource, parts.next()?, parts.next()?))
}

fn open_file(path: &Path) -> Result<Database, OpenError> {
    let io = |error: &io::Error| io_error(path, error);
    // Secrets are in here, so the mode is set before the first byte and again on a file that someone opened up.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| io(&error))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(|error| io(&error))?;
    drop(file);
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error| open_error(path, &error.into()))?;
    set_format(path, &database)?;
    Ok(database)
}

fn set_format(path: &Path, database: &Database) -> Result<(), OpenError> {
    let check = || -> Result<u64, redb::Error> {
        let transaction = database.begin_write()?;
        let found = {
            let mut counters = transaction.open_table(COUNTERS)?;
            let found = counters.get("format")?.map(|guard| guard.value());
            match found {
                Some(found) => found,
                None => {
                    counters.insert("format", FORMAT)?;
                    transaction.open_table(OBJECTS)?;
                    FORMAT
                }
            }
        };
        transaction.commit()?;
        Ok(found)
    };
    match check().map_err(|error| open_error(path, &error))? {
        found if found > FORMAT => Err(OpenError::Newer { path: path.to_owned(), found }),
        _ => Ok(()),
    }
}

/// A row of the file: its key, and what its record reads as.
type Row = (String, Result<Object, String>);

fn recover(path: &Path, database: &Database) -> Result<Recovered, OpenError> {
    let damaged = |detail: String| OpenError::Damaged { path: path.to_owned(), detail };
    let read = || -> Result<(u64, Vec<Row>), redb::Error> {
        let transaction = database.begin_read()?;
        let revision =
            transaction.open_table(COUNTERS)?.get("revision")?.map_or(0, |guard| guard.value());
        let mut rows = Vec::new();
        for entry in transaction.open_table(OBJECTS)?.iter()? {
            let (at, record) = entry?;
            rows.push((at.value().to_owned(), decode(record.value())));
        }
        Ok((revision, rows))
    };
    let (revision, rows) = read().map_err(|error| open_error(path, &error))?;
    let mut objects = Vec::with_capacity(rows.len());
    for (at, object) in rows {
        let key = key(&at).ok_or_else(|| damaged(format!("bad key {at:?}")))?;
        let object = object.map_err(|error| damaged(format!("{key}: {error}")))?;
        if object.revision().0 > revision {
            return Err(damaged(format!("{key} is newer than the revision row")));
        }
        objects.push((key, object));
    }
    Ok(Recovered { revision: Revision(revision), objects })
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

fn log_error(error: &redb::Error) -> LogError {
    match error {
        redb::Error::Io(io) if is_full(io) => LogError::NoSpace(io.to_string()),
        other => LogError::Failed(other.to_string()),
    }
}

fn io_error(path: &Path, error: &io::Error) -> OpenError {
    let path = path.to_owned();
    let detail = error.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::ReadOnly { path, detail }
        }
        // What redb reports for a file it did not write, or one cut short.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            OpenError::Damaged { path, detail }
        }
        _ if is_full(error) => OpenError::NoSpace { path, detail },
        _ => OpenError::Io { path, detail },
    }
}

fn open_error(path: &Path, error: &redb::Error) -> OpenError {
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::Locked { path: path.to_owned() },
        redb::Error::Io(io) => io_error(path, io),
        other => OpenError::Damaged { path: path.to_owned(), detail: other.to_string() },
    }
}
