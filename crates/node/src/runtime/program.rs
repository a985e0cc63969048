//! The program that becomes a shim, seen through a mount that can't be written.
//!
//! Until a container's own program is executed, its first process is a copy of ours, and `/proc/PID/exe` inside leads to our binary
//! on the machine. A root user in the container could keep it open and overwrite it once it is no longer running. Through a
//! read-only mount, which exists only as a descriptor of ours, that is refused.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::mount::OpenTreeFlags;

/// The program, ready to be executed any number of times.
#[derive(Debug)]
pub(super) enum Program {
    /// Through a mount of its own.
    Sealed(OwnedFd),
    /// As it is: the machine does not let it be mounted (it lies in a mount namespace that is not ours).
    Plain(PathBuf),
}

impl Program {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let file = File::open(path)
            .map_err(|e| io::Error::new(e.kind(), format!("open {}: {e}", path.display())))?;
        match seal(&file) {
            Ok(sealed) => Ok(Self::Sealed(sealed)),
            Err(error) => {
                tracing::warn!(%error, "containers run from a writable copy of this program");
                Ok(Self::Plain(path.to_owned()))
            }
        }
    }

    /// The path to execute; good as long as this lives, and in this process only.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Sealed(fd) => PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
            Self::Plain(path) => path.clone(),
        }
    }
}

fn seal(file: &File) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = rustix::mount::open_tree(file.as_fd(), "", flags)?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: the path is a literal that ends with zero, the structure is of the size that is told, and the kernel writes to neither.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(mount) } else { Err(io::Error::last_os_error()) }
}
