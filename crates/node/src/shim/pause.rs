//! The first process of a process namespace that the containers of a pod share: it reaps what nobody waits for, and does nothing else.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode, Stdio},
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
    thread::{CapabilitySet, CapabilitySets, UnshareFlags},
};

use super::{PAUSE, signals};
use crate::cgroup::{Group, enter_by};

/// The group of this process, below the pod's. No container can have this name.
const GROUP: &str = "_pause";

/// Starts the process. `own_processes` is the shim's own process namespace, to come back to. Answers its pid.
pub(super) fn start(own_processes: &File, pod: &Group) -> io::Result<i32> {
    let group = pod.child(GROUP);
    group.create()?;
    let doors = group.doors()?;
    #[allow(unsafe_code, reason = "the calls themselves; the arguments are below")]
    // SAFETY: unsharing the process namespace only concerns children that are made later. The closure allocates nothing, and the
    // process has one thread, so no lock can be held across the fork.
    let child = unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWPID)?;
        Command::new("/proc/self/exe")
            .arg0("pause")
            .arg(PAUSE)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .pre_exec(move || enter_by(&doors))
            .spawn()
    };
    super::exec::return_to(own_processes)?;
    i32::try_from(child?.id()).map_err(io::Error::other)
}

/// What the process does.
pub(super) fn main() -> ExitCode {
    // A container with CAP_SYS_PTRACE may look through /proc/1/root: it must find nothing there, and no power to borrow.
    if let Err(e) = empty_root().and_then(|()| drop_privileges()) {
        eprintln!("pause: {e}");
        return ExitCode::FAILURE;
    }
    // Orphans of the shared namespace become children of its first process.
    signals::ignore_children();
    loop {
        // The first process of a namespace gets no signal it has no handler for, except to end it from outside.
        let _ = rustix::event::poll(&mut [], None);
    }
}

fn empty_root() -> io::Result<()> {
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: the process has one thread.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    rustix::mount::mount("none", "/proc", "tmpfs", flags, c"size=4k")?;
    rustix::process::chdir("/proc")?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

fn drop_privileges() -> io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_no_new_privs(true)?;
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
