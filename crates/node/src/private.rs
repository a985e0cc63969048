//! Folders that nobody but their owner may enter.
//!
//! What a container writes lies below them with its own owners and modes. A program there that is set-user-ID root is harmless inside its container; any user
//! of the machine who could reach it from outside would be root.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

const OWNER_ONLY: u32 = 0o700;

/// Makes the folder and those above it, or closes one that is there to others.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    match fs::DirBuilder::new().mode(OWNER_ONLY).create(path) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let permissions = fs::metadata(path)?.permissions();
    if permissions.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_closed_to_others_whether_it_was_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let (new, open) = (dir.path().join("a/new"), dir.path().join("open"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&new, &open, &new] {
            folder(path).unwrap();
            assert_eq!(mode(path), OWNER_ONLY, "{}", path.display());
        }
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(folder(&dir.path().join("file/below")).is_err());
    }
}
