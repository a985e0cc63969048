//! Files that only their owner may read.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::AuthError;

/// No key, certificate chain or token of ours comes near this; a larger file is not one.
const MAX_BYTES: u64 = 64 * 1024;

/// Makes `dir` if it is missing and closes it to everyone but its owner.
pub(super) fn private_dir(dir: &Path) -> Result<(), AuthError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o700)))
        .map_err(|source| file_error("create", dir, source))
}

/// Replaces `path` in one step, so that a reader sees the old or the new content and a crash leaves one of them.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), AuthError> {
    let temporary = sibling(path);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            // The umask may have taken bits away; nothing may have added any.
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|source| file_error("write", path, source))
}

/// The content of `path`, or `None` if there is no such file. Takes away what permissions others had on it.
pub(super) fn read(path: &Path) -> Result<Option<String>, AuthError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file_error("read", path, source)),
    };
    let metadata = file.metadata().map_err(|source| file_error("read", path, source))?;
    if metadata.len() > MAX_BYTES {
        return Err(damaged(path, "it is too large"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others could read this file; closing it to them");
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|source| file_error("restrict", path, source))?;
    }
    let mut content = String::new();
    match (&file).take(MAX_BYTES).read_to_string(&mut content) {
        Ok(_) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(damaged(path, "it is not text"))
        }
        Err(source) => Err(file_error("read", path, source)),
    }
}

/// The error of a file that must not be replaced silently.
pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> AuthError {
    AuthError::Damaged { path: path.to_owned(), reason: reason.into() }
}

fn file_error(attempted: &'static str, path: &Path, source: io::Error) -> AuthError {
    AuthError::File { attempted, path: path.to_owned(), source }
}

/// A name beside `path` that no other writer of this process uses; the process id tells processes apart.
fn sibling(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}
