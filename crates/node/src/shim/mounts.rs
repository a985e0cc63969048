//! Mounts in the shim's own mount namespace.

use std::{
    ffi::CString,
    io,
    path::{Path, PathBuf},
};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
};

use crate::{runtime::PodMount, sub_path};

/// Makes one mount.
pub(super) fn make(mount: &PodMount) -> io::Result<()> {
    match mount {
        PodMount::Overlay { target, lower, upper, work } => {
            overlay(target, lower, upper, work).map_err(|e| named(e, "mount the layers at", target))
        }
        PodMount::Tmpfs { target, size_bytes } => {
            let size = size_bytes.map_or(String::new(), |size| format!(",size={size}"));
            let options = CString::new(format!("mode=1777{size}"))?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount("tmpfs", target, "tmpfs", flags, options.as_c_str())
                .map_err(|e| named(e.into(), "mount memory at", target))
        }
        PodMount::Beneath { target, volume, sub_path } => {
            beneath(target, volume, sub_path).map_err(|e| named(e, "bind to", target))
        }
        PodMount::Bind { target, source, read_only } => {
            bind(target, source, *read_only).map_err(|e| named(e, "bind to", target))
        }
    }
}

/// Takes a mount away, however it is used.
pub(super) fn unmake(mount: &PodMount) {
    let (PodMount::Overlay { target, .. }
    | PodMount::Tmpfs { target, .. }
    | PodMount::Beneath { target, .. }
    | PodMount::Bind { target, .. }) = mount;
    // One that is not there is what we want; any other trouble ends with the namespace.
    let _ = rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
}

/// By the mount calls that take one layer at a time: the older one fits all paths into one page.
fn overlay(target: &Path, lower: &[PathBuf], upper: &Path, work: &Path) -> io::Result<()> {
    // The mark that a volatile overlay leaves, so that nobody trusts the layer after a crash of the machine. We know that there was
    // none: this namespace has mounted it before, or it is fresh.
    match std::fs::remove_dir_all(work.join("work/incompat")) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        rustix::mount::fsconfig_set_string(fs_ref(&fs), "lowerdir+", layer)?;
    }
    rustix::mount::fsconfig_set_string(fs_ref(&fs), "upperdir", upper)?;
    rustix::mount::fsconfig_set_string(fs_ref(&fs), "workdir", work)?;
    // A container's writable layer is thrown away with it: nothing of it needs to survive a crash of the machine, and a sync of the
    // whole file system at unmount costs five milliseconds.
    rustix::mount::fsconfig_set_flag(fs_ref(&fs), "volatile")?;
    rustix::mount::fsconfig_create(fs_ref(&fs))?;
    let mounted = rustix::mount::fsmount(
        fs_ref(&fs),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    rustix::mount::move_mount(
        &mounted,
        "",
        rustix::fs::CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}

fn fs_ref(fd: &std::os::fd::OwnedFd) -> std::os::fd::BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(fd)
}

fn bind(target: &Path, source: &Path, read_only: bool) -> io::Result<()> {
    rustix::mount::mount_bind_recursive(source, target)?;
    if read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        rustix::mount::mount_remount(target, flags, c"")?;
    }
    Ok(())
}

/// By descriptor: between the look and the mount a container may put a link in the place of what was found.
fn beneath(target: &Path, volume: &Path, sub_path: &str) -> io::Result<()> {
    let open = sub_path::open(volume, sub_path)?;
    let found = sub_path::of(&open);
    if std::fs::metadata(&found)?.is_dir() {
        std::fs::create_dir_all(target)?;
    } else {
        target.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::File::create(target)?;
    }
    Ok(rustix::mount::mount_bind_recursive(&found, target)?)
}

fn named(e: io::Error, attempted: &str, target: &Path) -> io::Error {
    io::Error::new(e.kind(), format!("{attempted} {}: {e}", target.display()))
}
