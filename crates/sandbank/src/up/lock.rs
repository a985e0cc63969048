//! One server to a data directory: a file lock that the kernel frees however the server ends, and in the
//! same file a record of who holds it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::exit::Error;
use crate::paths::DataDir;

/// Held by a server for as long as it lives. Dropping it frees the directory.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// The server that holds a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: i32,
    /// Where it serves; absent while it starts.
    pub listen: Option<SocketAddr>,
}

impl Lock {
    /// Makes the directory (0700) if need be and takes it, or says who has it.
    pub fn take(dir: &DataDir) -> Result<Self, Error> {
        let shown = dir.path().display();
        let file = open(dir)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let mut lock = Self { file };
                lock.record(None)?;
                Ok(lock)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let who = match read(&mut &file) {
                    Some(Holder { pid, listen: Some(listen) }) => {
                        format!("the server with process id {pid} uses it and listens on {listen}")
                    }
                    Some(Holder { pid, listen: None }) => {
                        format!("the server with process id {pid} uses it")
                    }
                    None => "another server uses it".into(),
                };
                Err(Error::refused(
                    format!("the data directory {shown}"),
                    who,
                    format!(
                        "use that server, stop it with `sandbank down --data-dir {shown}`, or name another directory"
                    ),
                ))
            }
            Err(e) => Err(anyhow::Error::new(e).context(format!("cannot lock {shown}")).into()),
        }
    }

    /// Waits, without a bound, until nobody has the directory, and takes it. Blocks the thread.
    pub fn wait(dir: &DataDir) -> Result<Self, Error> {
        let file = open(dir)?;
        flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", dir.path().display()))?;
        Ok(Self { file })
    }
    /// Writes down who holds the directory and where it serves.
    pub fn record(&mut self, listen: Option<SocketAddr>) -> Result<(), Error> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let text =
            serde_json::to_string(&Holder { pid, listen }).context("cannot write the lock")?;
        let write = |file: &mut File| -> io::Result<()> {
            file.rewind()?;
            file.set_len(0)?;
            file.write_all(text.as_bytes())
        };
        write(&mut self.file).context("cannot write the lock file")?;
        Ok(())
    }
}

/// Makes the directory and the file in it if need be.
fn open(dir: &DataDir) -> Result<File, Error> {
    let shown = dir.path().display();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.path()).map_err(|e| {
        Error::refused(
            format!("the data directory {shown}"),
            format!("it cannot be made: {e}"),
            "name another with --data-dir DIR",
        )
    })?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file_of(dir))
        .map_err(|e| {
            Error::refused(
                format!("the data directory {shown}"),
                format!("it cannot be written: {e}"),
                "make it writable, or name another with --data-dir DIR",
            )
        })
}

/// Who holds the directory now; none if nobody does.
pub fn holder(dir: &DataDir) -> Result<Option<Holder>, Error> {
    let mut file = match File::open(file_of(dir)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            return Err(anyhow::Error::new(e)
                .context(format!("cannot read {}", file_of(dir).display()))
                .into());
        }
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        // A server between taking the lock and writing the record has no record yet: process 0 is nobody.
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Ok(Some(read(&mut file).unwrap_or(Holder { pid: 0, listen: None })))
        }
        Err(e) => Err(anyhow::Error::new(e)
            .context(format!("cannot ask for the lock of {}", dir.path().display()))
            .into()),
    }
}

/// Whether a server ever used the directory. `reset` removes nothing else.
pub fn is_data_dir(dir: &DataDir) -> bool {
    file_of(dir).is_file()
}

fn file_of(dir: &DataDir) -> PathBuf {
    dir.path().join("server.lock")
}

fn read(file: &mut (impl Read + Seek)) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}
