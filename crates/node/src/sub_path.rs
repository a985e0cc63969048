//! A path inside a volume, or inside a root file system. The volume's content belongs to containers, so links in it must not lead outside.
//!
//! A container that runs may change the path at any moment, so a name that was checked says nothing a moment later. What is to be mounted is held by a
//! descriptor from the check on.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};

/// What is at the path below the volume, made as a folder if it isn't there. A link that leads out is an error.
pub(crate) fn open(volume: &Path, sub_path: &str) -> io::Result<OwnedFd> {
    walk(volume, Path::new(sub_path), ResolveFlags::BENEATH)
}

/// The same below a root file system, where links lead to where they lead for whoever lives in it.
pub(crate) fn open_in_root(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    walk(root, path, ResolveFlags::IN_ROOT)
}

fn walk(root: &Path, path: &Path, links: ResolveFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = fs::open(root, flags | OFlags::DIRECTORY, Mode::empty())?;
    let mut at = PathBuf::new();
    let mut found = fs::openat(&root, ".", flags, Mode::empty())?;
    for component in path.components() {
        let Component::Normal(name) = component else {
            return Err(io::Error::other("only plain names may be in it"));
        };
        at.push(name);
        let inside = links | ResolveFlags::NO_MAGICLINKS;
        found = match fs::openat2(&root, &at, flags, Mode::empty(), inside) {
            Err(rustix::io::Errno::NOENT) => {
                fs::mkdirat(&found, name, Mode::from_raw_mode(0o755))?;
                fs::openat2(&root, &at, flags, Mode::empty(), inside)?
            }
            answer => answer?,
        };
    }
    Ok(found)
}

/// A path that leads to what is open, whatever becomes of its names; good for this process while it stays open.
pub(crate) fn of(open: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()))
}
