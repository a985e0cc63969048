//! Places for what is not finished: `tmp/` for what is being imported, `trash/` for what is being deleted.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::ImageError;

/// A folder of its own for one import. It is locked while its process lives, so that another one can tell a running import
/// from what a killed one left behind.
pub(super) struct Staging {
    dir: PathBuf,
    trash: PathBuf,
    _lock: File,
}

impl Staging {
    pub(super) fn new(images: &Path) -> Result<Self, ImageError> {
        let tmp = images.join("tmp");
        let dir = tmp.join(unique_name());
        fs::create_dir_all(&dir).map_err(ImageError::io("making", &dir))?;
        let lock = File::open(&dir).map_err(ImageError::io("opening", &dir))?;
        flock(&lock, FlockOperation::LockExclusive)
            .map_err(|e| ImageError::io("locking", &dir)(e.into()))?;
        Ok(Self { dir, trash: images.join("trash"), _lock: lock })
    }

    /// The folder itself.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, ImageError> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).map_err(ImageError::io("making", &dir))?;
        Ok(dir)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        discard(&self.dir, &self.trash);
    }
}

/// Moves what nobody is importing any more to the trash.
pub(super) fn sweep(images: &Path) {
    let Ok(entries) = fs::read_dir(images.join("tmp")) else { return };
    for entry in entries.flatten() {
        let Ok(lock) = File::open(entry.path()) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            discard(&entry.path(), &images.join("trash"));
        }
    }
}

/// Takes a tree out of the way at once; deleting it (seconds for a large one) comes later. What can't be moved stays.
pub(crate) fn discard(path: &Path, trash: &Path) {
    if fs::create_dir_all(trash).is_ok() {
        // A failure leaves the tree where it is, and the next sweep finds it.
        let _ = fs::rename(path, trash.join(unique_name()));
    }
}

/// Deletes what is in the trash. Slow: for a thread that may wait. Several processes may do it at once.
pub(crate) fn empty_trash(trash: &Path) {
    let Ok(entries) = fs::read_dir(trash) else { return };
    for entry in entries.flatten() {
        // Another process may be deleting the same tree; what both fail at is tried again next time.
        let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
    }
}

fn unique_name() -> String {
    format!("{}-{:016x}", std::process::id(), fastrand::u64(..))
}
