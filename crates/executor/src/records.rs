//! What is on disk of each task: enough to go on after the executor, or the task's waiter, was killed at any moment.
//!
//! ```text
//!   DATA_DIR/TASK/task.json      what was asked for; with a deletion time once it is to go
//!                 lock           held by the task's waiter for as long as it lives
//!                 launch.json    written before the process is started: from here on it is never started again
//!                 result.json    how it ended
//!                 control.sock   the way to the waiter
//!                 stdout.log ... see `output`
//! ```
//!
//! Who is alive is asked of the lock, which the kernel releases with its holder, and never of a process number.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    processes::{self, Identity},
    protocol::{Task, TaskResult},
};

const TASK: &str = "task.json";
const LAUNCH: &str = "launch.json";
const RESULT: &str = "result.json";
const LOCK: &str = "lock";
/// The waiter's socket.
pub(crate) const SOCKET: &str = "control.sock";

/// A task is accepted up to a megabyte; what is larger on disk was not written by us.
const LARGEST_RECORD: u64 = 4 << 20;

/// `task.json`: the task in the form every executor of this kind keeps it, and our own mark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) task: Task,
    /// What its processes carry in their environment, so that they are found again wherever they went.
    #[serde(default)]
    pub(crate) id: String,
    /// In which boot of the machine it was accepted. Of what was written after that, a power cut may have lost the end.
    #[serde(default)]
    pub(crate) boot: String,
}

/// `launch.json`: the process was started, or was about to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Launched {
    pub(crate) at: Timestamp,
    /// Absent: whether it was started is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<Identity>,
}

/// A task's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// How a task stands, judged by its folder alone.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It was never started, and nobody is about to.
    New,
    /// A waiter sees to it.
    Attended,
    Ended(Box<TaskResult>),
    /// It was started, or may have been, and its waiter is gone.
    Abandoned(Option<Launched>),
}

impl Folder {
    /// The folder at a path, which may not be there.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder for a new task.
    pub(crate) fn create(&self, record: &Record) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.path)?;
        self.write_task(record)
    }

    pub(crate) fn write_task(&self, record: &Record) -> io::Result<()> {
        self.write(TASK, record, Durability::Synced)
    }

    pub(crate) fn task(&self) -> io::Result<Record> {
        self.read(TASK)?.ok_or_else(|| io::Error::other("it has no task.json"))
    }

    /// Says that the process is about to be started. It is not forced to the disk, which can take long: after a power cut the record's boot tells as much.
    pub(crate) fn write_intent(&self, at: Timestamp) -> io::Result<()> {
        self.write_launch(&Launched { at, process: None })
    }

    /// Says which process was started. Losing this to a power cut loses nothing: the process is gone as well.
    pub(crate) fn write_launch(&self, launched: &Launched) -> io::Result<()> {
        self.write(LAUNCH, launched, Durability::Cached)
    }

    pub(crate) fn launch(&self) -> io::Result<Option<Launched>> {
        self.read(LAUNCH)
    }

    pub(crate) fn write_result(&self, result: &TaskResult) -> io::Result<()> {
        self.write(RESULT, result, Durability::Cached)
    }

    /// Forces the result to the disk, once those who wait for it have been told.
    pub(crate) fn sync_result(&self) -> io::Result<()> {
        File::open(self.path.join(RESULT))?.sync_all()?;
        File::open(&self.path)?.sync_all()
    }

    pub(crate) fn result(&self) -> io::Result<Option<TaskResult>> {
        self.read(RESULT)
    }

    /// How the task stands.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        // Asked first: a waiter that ends between the questions has written its result before.
        let attended = self.try_lock()?.is_none();
        if let Some(result) = self.result()? {
            return Ok(Standing::Ended(Box::new(result)));
        }
        if attended {
            return Ok(Standing::Attended);
        }
        if let Some(launched) = self.launch()? {
            return Ok(Standing::Abandoned(Some(launched)));
        }
        let accepted = self.task()?.boot;
        // Before this boot: that it had been started may be what is missing.
        let earlier = !accepted.is_empty() && accepted != processes::boot();
        Ok(if earlier { Standing::Abandoned(None) } else { Standing::New })
    }

    /// Takes the waiter's lock, if nobody has it. It is held as long as the file is open.
    pub(crate) fn try_lock(&self) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(self.path.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    /// Removes the folder. Its name is free at once, whatever is left behind if this is cut short.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let gone = self.path.with_file_name(format!(".gone-{name}"));
        if gone.exists() {
            fs::remove_dir_all(&gone)?;
        }
        match fs::rename(&self.path, &gone) {
            Ok(()) => fs::remove_dir_all(gone),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST_RECORD).read_to_end(&mut bytes)?;
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|e| io::Error::other(format!("{name}: {e}")))
    }

    /// Writes a file whole or not at all.
    fn write<T: Serialize>(&self, name: &str, value: &T, durability: Durability) -> io::Result<()> {
        let draft = self.path.join(format!("{name}.tmp"));
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        fs::rename(draft, self.path.join(name))?;
        if durability == Durability::Synced {
            File::open(&self.path)?.sync_all()?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    Synced,
    Cached,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::End;

    fn folder(dir: &Path) -> Folder {
        let folder = Folder::at(dir.join("t-0"));
        let task = Task { name: "t-0".to_owned(), ..Task::default() };
        let record = Record { task, id: "x".to_owned(), boot: processes::boot() };
        folder.create(&record).unwrap();
        folder
    }

    #[test]
    fn a_task_s_standing_is_read_from_what_is_there_and_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        assert!(matches!(folder.standing().unwrap(), Standing::New));
        let mut record = folder.task().unwrap();
        record.boot = "before".to_owned();
        folder.write_task(&record).unwrap();
        // It may have run before the power went.
        assert!(matches!(folder.standing().unwrap(), Standing::Abandoned(None)));
        record.boot = processes::boot();
        folder.write_task(&record).unwrap();
        let held = folder.try_lock().unwrap().unwrap();
        assert!(matches!(folder.standing().unwrap(), Standing::Attended));
        folder.write_intent(Timestamp::UNIX_EPOCH).unwrap();
        assert!(matches!(folder.standing().unwrap(), Standing::Attended));
        drop(held);
        assert!(matches!(folder.standing().unwrap(), Standing::Abandoned(Some(_))));
        let result = TaskResult {
            exit_code: 0,
            signal: None,
            end: End::Exited,
            failure: None,
            message: String::new(),
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
        };
        folder.write_result(&result).unwrap();
        assert!(matches!(folder.standing().unwrap(), Standing::Ended(found) if *found == result));
        folder.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        folder.remove().unwrap();
    }

    #[test]
    fn only_the_owner_may_read_and_a_spoilt_file_is_an_error() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.path().join(TASK))), (0o700, 0o600));
        fs::write(folder.path().join(RESULT), "{").unwrap();
        assert!(folder.standing().unwrap_err().to_string().starts_with("result.json: "));
    }
}
