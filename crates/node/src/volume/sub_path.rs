//! A path inside a volume. The volume's content belongs to containers, so links in it must not lead outside.

use std::{
    io,
    os::fd::AsRawFd as _,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};

/// The real path below the volume, made as a folder if it isn't there.
pub(super) fn resolve(volume: &Path, sub_path: &str) -> io::Result<PathBuf> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = fs::open(volume, flags | OFlags::DIRECTORY, Mode::empty())?;
    let mut at = PathBuf::new();
    let mut found = fs::openat(&root, ".", flags, Mode::empty())?;
    for component in Path::new(sub_path).components() {
        let Component::Normal(name) = component else {
            return Err(io::Error::other("only plain names may be in it"));
        };
        at.push(name);
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        found = match fs::openat2(&root, &at, flags, Mode::empty(), beneath) {
            Err(rustix::io::Errno::NOENT) => {
                fs::mkdirat(&found, name, Mode::from_raw_mode(0o755))?;
                fs::openat2(&root, &at, flags, Mode::empty(), beneath)?
            }
            answer => answer?,
        };
    }
    // Where links led, as a path without any.
    std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
}
