//! The tasks of this executor: what callers asked for, and what has become of it.

use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{follow, journal::Journal};
use crate::{
    processes,
    protocol::{
        ProcessStatus, Running, Task, TaskResult, Terminated, Waiting, reason, whole_seconds,
    },
    records::{Folder, Record},
    target::Mode,
};

/// One sandbox, one task at a time. Those that have ended don't count.
const ACTIVE_TASKS: usize = 1;
/// Ended tasks stay until somebody removes them; a caller that never does is stopped here, long before the disk is full.
const ALL_TASKS: usize = 1024;
/// A name is a folder's name, and names of Kubernetes objects are no longer.
const LONGEST_NAME: usize = 253 - 11;
/// A process is started in milliseconds. An answer waits this long to be able to say so, and says `Pending` otherwise.
const START_WAIT: Duration = Duration::from_secs(1);

/// How tasks are run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) dir: PathBuf,
    pub(crate) mode: Mode,
    pub(crate) main_container: String,
}

/// Why a task was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("task name is required")]
    NoName,
    #[error("task name {0:?} can't be a folder's name")]
    BadName(String),
    #[error("task {0} already exists")]
    Exists(String),
    #[error("maximum concurrent tasks ({ACTIVE_TASKS}) reached, cannot create new task")]
    Busy,
    #[error("there are {ALL_TASKS} tasks, remove some that have ended")]
    TooMany,
    #[error("container mode is not implemented yet - use process mode instead")]
    NoProcess,
    #[error("keep task {name}: {source}")]
    Disk { name: String, source: io::Error },
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was accepted a moment ago.
    Starting,
    /// The sandbox is not there yet.
    Waiting(String),
    Running(Timestamp),
    /// Its time is up, and it is being stopped.
    TimedOut {
        since: Timestamp,
        at: Timestamp,
        message: String,
    },
    Ended(TaskResult),
}

struct Entry {
    record: Record,
    state: State,
    delete: Arc<Notify>,
}

impl Entry {
    fn deleting(&self) -> bool {
        self.record.task.deletion_timestamp.is_some()
    }

    fn active(&self) -> bool {
        !self.deleting() && !matches!(self.state, State::Ended(_))
    }

    /// As callers see it.
    fn task(&self) -> Task {
        let waiting = |message: &str| {
            let reason = reason::PENDING.to_owned();
            ProcessStatus::Waiting(Waiting { reason, message: message.to_owned() })
        };
        let (status, result) = match &self.state {
            State::Starting => (waiting(""), None),
            State::Waiting(message) => (waiting(message), None),
            State::Running(since) => {
                let started_at = Some(whole_seconds(*since));
                (ProcessStatus::Running(Running { started_at }), None)
            }
            State::TimedOut { since, at, message } => {
                let end = Terminated {
                    exit_code: 137,
                    signal: None,
                    reason: reason::TIMEOUT.to_owned(),
                    message: message.clone(),
                    started_at: Some(whole_seconds(*since)),
                    finished_at: Some(whole_seconds(*at)),
                };
                (ProcessStatus::Terminated(end), None)
            }
            State::Ended(result) => {
                (ProcessStatus::Terminated(result.terminated()), Some(result.clone()))
            }
        };
        Task {
            deletion_timestamp: None,
            process_status: Some(status),
            result,
            ..self.record.task.clone()
        }
    }
}

/// All tasks. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Tasks {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    journal: Journal,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Counts the changes of what callers see.
    version: watch::Sender<u64>,
    /// Makes versions of different runs of the executor different.
    epoch: u64,
}

impl Shared {
    fn spell(&self, version: u64) -> String {
        format!("{:x}-{version}", self.epoch)
    }
}

impl Tasks {
    pub(crate) fn new(settings: Settings, journal: Journal) -> Self {
        let (version, epoch) = (watch::Sender::new(0), fastrand::u64(..));
        let entries = Mutex::default();
        Self { shared: Arc::new(Shared { settings, journal, entries, version, epoch }) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// Takes over what an executor before left in the data directory.
    pub(crate) fn recover(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.settings().dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(".gone-") {
                fs::remove_dir_all(entry.path())?;
            } else if !name.starts_with('.') && entry.file_type()?.is_dir() {
                self.recover_one(&name)?;
            }
        }
        Ok(())
    }

    fn recover_one(&self, name: &str) -> io::Result<()> {
        let folder = self.folder(name);
        let record = match folder.task() {
            Ok(record) if record.task.name == name => record,
            other => {
                let why = other.err().map_or("it holds another task".to_owned(), |e| e.to_string());
                self.journal().say(format_args!("task {name}: put aside, it can't be read: {why}"));
                let aside = self.settings().dir.join(format!(".broken-{name}"));
                if aside.exists() {
                    fs::remove_dir_all(&aside)?;
                }
                return fs::rename(folder.path(), aside);
            }
        };
        self.journal().say(format_args!("task {name}: taken over from before"));
        self.add(&mut self.shared.entries.lock(), folder, record);
        Ok(())
    }

    /// All tasks and the version of that list.
    pub(crate) fn list(&self) -> (Vec<Task>, String) {
        let entries = self.shared.entries.lock();
        (entries.values().map(Entry::task).collect(), self.version())
    }

    /// One task and the version of the list.
    pub(crate) fn get(&self, name: &str) -> Option<(Task, String)> {
        let entries = self.shared.entries.lock();
        entries.get(name).map(|entry| (entry.task(), self.version()))
    }

    fn version(&self) -> String {
        self.shared.spell(*self.shared.version.borrow())
    }

    /// Waits until the list is no longer what it was at `seen`, or the time is up, or the executor goes.
    pub(crate) async fn changed_since(&self, seen: &str, wait: Duration) {
        let mut changes = self.shared.version.subscribe();
        let changed = changes.wait_for(|count| self.shared.spell(*count) != seen);
        // Late is fine: the answer is the same list.
        let _ = tokio::time::timeout(wait, changed).await;
    }

    /// Lets everyone who waits for news have their answer now.
    pub(crate) fn wake(&self) {
        self.shared.version.send_modify(|count| *count += 1);
    }

    /// Makes these the tasks. All that can be done is done; the first that can't is the error.
    pub(crate) fn set(&self, desired: Vec<Task>) -> Result<(), TaskError> {
        let named = |name: &String| desired.iter().any(|task| task.name == *name);
        let gone: Vec<String> =
            self.shared.entries.lock().keys().filter(|name| !named(name)).cloned().collect();
        let mut first = Ok(());
        for name in gone {
            first = first.and(self.delete(&name));
        }
        for task in desired.into_iter().filter(|task| !task.name.is_empty()) {
            if !self.shared.entries.lock().contains_key(&task.name) {
                first = first.and(self.create(task));
            }
        }
        first
    }

    /// Accepts a task and starts it.
    pub(crate) fn create(&self, task: Task) -> Result<(), TaskError> {
        let name = task.name.clone();
        if name.is_empty() {
            return Err(TaskError::NoName);
        }
        if name.starts_with('.') || name.contains(['/', '\0']) || name.len() > LONGEST_NAME {
            return Err(TaskError::BadName(name));
        }
        if task.process.is_none() {
            return Err(TaskError::NoProcess);
        }
        let mut entries = self.shared.entries.lock();
        let folder = self.folder(&name);
        if entries.contains_key(&name) || folder.path().exists() {
            return Err(TaskError::Exists(name));
        }
        if entries.values().filter(|entry| entry.active()).count() >= ACTIVE_TASKS {
            return Err(TaskError::Busy);
        }
        if entries.len() >= ALL_TASKS {
            return Err(TaskError::TooMany);
        }
        let asked = Task { name: name.clone(), process: task.process, ..Task::default() };
        let id = format!("{:016x}", fastrand::u64(..));
        let record = Record { task: asked, id, boot: processes::boot() };
        if let Err(source) = folder.create(&record) {
            // Nothing was promised yet; what is left must not block the name.
            let _ = folder.remove();
            return Err(TaskError::Disk { name, source });
        }
        self.journal().say(format_args!("task {name}: accepted"));
        self.add(&mut entries, folder, record);
        self.wake();
        Ok(())
    }

    fn add(&self, entries: &mut BTreeMap<String, Entry>, folder: Folder, record: Record) {
        let delete = Arc::new(Notify::new());
        if record.task.deletion_timestamp.is_some() {
            delete.notify_one();
        }
        let name = record.task.name.clone();
        let id = record.id.clone();
        entries
            .insert(name.clone(), Entry { record, state: State::Starting, delete: delete.clone() });
        tokio::spawn(follow::follow(follow::Subject {
            tasks: self.clone(),
            name,
            id,
            folder,
            delete,
        }));
    }

    /// Waits a moment for the tasks of these names to begin, so that the answer can say so.
    pub(crate) async fn begun(&self) {
        let mut changes = self.shared.version.subscribe();
        let begun = async {
            loop {
                let starting = |entry: &Entry| entry.state == State::Starting && !entry.deleting();
                if !self.shared.entries.lock().values().any(starting) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(START_WAIT, begun).await;
    }

    /// Asks a task to end and go. One that is not known is gone already.
    pub(crate) fn delete(&self, name: &str) -> Result<(), TaskError> {
        let mut entries = self.shared.entries.lock();
        let Some(entry) = entries.get_mut(name) else { return Ok(()) };
        if entry.deleting() {
            return Ok(());
        }
        let mut record = entry.record.clone();
        record.task.deletion_timestamp = Some(Timestamp::now());
        // On disk first: after a restart it must still be known that this is to go.
        self.folder(name)
            .write_task(&record)
            .map_err(|source| TaskError::Disk { name: name.to_owned(), source })?;
        entry.record = record;
        entry.delete.notify_one();
        self.journal().say(format_args!("task {name}: to be removed"));
        self.wake();
        Ok(())
    }

    /// Whether somebody asked for a task's removal.
    pub(super) fn to_go(&self, name: &str) -> bool {
        self.shared.entries.lock().get(name).is_some_and(Entry::deleting)
    }

    /// Records what has become of a task.
    pub(super) fn set_state(&self, name: &str, state: State) {
        let mut entries = self.shared.entries.lock();
        let Some(entry) = entries.get_mut(name) else { return };
        if entry.state != state {
            entry.state = state;
            self.wake();
        }
    }

    /// Forgets a task whose folder is gone.
    pub(super) fn forget(&self, name: &str) {
        self.shared.entries.lock().remove(name);
        self.wake();
    }

    pub(crate) fn folder(&self, name: &str) -> Folder {
        Folder::at(self.settings().dir.join(name))
    }
}
