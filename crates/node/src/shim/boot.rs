//! From a fresh process to a pod: a session, namespaces, a control group and a socket of its own.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, IntoRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
    process::DumpableBehavior,
    thread::UnshareFlags,
};

use super::{
    CONTAINERS,
    handler::Handler,
    mounts, pause,
    pod::Pod,
    protocol::{self, Boot, Reply, SOCKET},
};
use crate::{cgroup::Group, net, runtime::PodNetwork};

/// The group of the shim itself, below the pod's: ending the pod's group ends it as well. No container can have this name.
const OWN_GROUP: &str = "_shim";

/// The pod and the socket on which its agent will call.
pub(super) fn boot() -> io::Result<(Pod, UnixListener)> {
    // What is forked here stands in a container's process namespace for a moment before it becomes the container's program, and still holds our descriptors
    // then. Not dumpable, it can neither be traced nor be looked into through /proc by whoever runs there; exec ends that.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    close_inherited()?;
    // Standard input is the agent's end of a pair of sockets; afterwards it is nothing.
    let agent = UnixStream::from(rustix::io::dup(io::stdin().as_fd())?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));

    let (boot, mut fds) = protocol::receive::<Boot>(&agent)?;
    let network = fds.pop().ok_or_else(|| io::Error::other("no network namespace came along"))?;
    let made = set_up(boot, network);
    match &made {
        Ok(_) => protocol::send(&agent, &Reply::Ready, &[])?,
        Err(e) => {
            let failure = protocol::Failure::new("prepare the pod", e);
            protocol::send(&agent, &Reply::Failed(failure), &[])?;
        }
    }
    made
}

/// Closes what whoever started the agent left open, and the agent handed on without knowing. A folder of the machine among it would be a way out of every
/// container that inherits it.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // The folder that was just read was one of them.
        if fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err() {
            continue;
        }
        #[allow(unsafe_code, reason = "the call itself; the argument is below")]
        // SAFETY: the process has just begun and has opened nothing but its standard streams, so nobody owns these.
        unsafe {
            rustix::io::close(number);
        }
    }
    Ok(())
}

fn set_up(boot: Boot, network: OwnedFd) -> io::Result<(Pod, UnixListener)> {
    let dir = boot.setup.dir.join("runtime");
    let network = join_network(&boot, network)?;
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: the process has one thread, and its file descriptor table isn't asked to be separated.
    unsafe {
        rustix::thread::unshare_unsafe(flags)?;
    }
    rustix::system::sethostname(boot.setup.hostname.as_bytes())?;
    // Mounts of the machine still come in (volumes may be mounted later), ours never get out.
    let inwards = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", inwards)?;

    let group = hold(&boot.group)?;
    let home = group.child(OWN_GROUP);
    home.create()?;
    home.enter()?;
    match &boot.setup.handler {
        None => hide_groups()?,
        Some(_) => hide_unified()?,
    }
    for mount in &boot.setup.mounts {
        mounts::make(mount)?;
    }
    let own_processes = File::open("/proc/self/ns/pid")?;
    let pause =
        if boot.setup.share_processes { Some(pause::start(&own_processes, &group)?) } else { None };
    let listener = listen(&dir)?;
    let containers = group.child(CONTAINERS);
    let handler = boot.setup.handler.as_ref();
    let handler = handler.map(|program| Handler::new(program, &dir, network));
    let pod = Pod::new(boot, dir, containers, home, own_processes, handler, pause);
    Ok((pod, listener))
}

/// Makes the pod's network that of this process, so that containers inherit it; answers where it can be found.
fn join_network(boot: &Boot, network: OwnedFd) -> io::Result<PathBuf> {
    let own = std::process::id();
    if boot.setup.handler.is_some() && boot.setup.network == PodNetwork::Own {
        // Another runtime is told where it is. gVisor refuses to work from within the namespace itself.
        let number = network.into_raw_fd();
        return Ok(PathBuf::from(format!("/proc/{own}/fd/{number}")));
    }
    net::enter(&network)?;
    Ok(PathBuf::from(format!("/proc/{own}/ns/net")))
}

/// The same group, reached through open descriptors instead of mounts.
fn hold(group: &Group) -> io::Result<Group> {
    group.map_dirs(|dir| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|e| io::Error::other(format!("open {}: {e}", dir.display())))?;
        // Held for the life of the process: the path is how the group is reached.
        let number = fd.into_raw_fd();
        Ok(PathBuf::from(format!("/proc/self/fd/{number}")))
    })
}

/// Takes the control groups out of sight of the OCI library, which would otherwise place containers by its own rules: at the root of
/// each hierarchy and by the slow way. The shim enters a container's group itself while the library clones.
fn hide_groups() -> io::Result<()> {
    const GROUPS: &str = "/sys/fs/cgroup";
    if !Path::new(GROUPS).exists() {
        return Ok(());
    }
    match rustix::mount::unmount(GROUPS, UnmountFlags::DETACH) {
        // Not a mount point.
        Err(rustix::io::Errno::INVAL) | Ok(()) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(rustix::mount::mount("none", GROUPS, "tmpfs", flags, c"size=64k,mode=755")?)
}

/// Some runtimes refuse to work where version 1 and version 2 are mixed. Ours see version 1 only, then; what they start is in
/// the right version 2 group already.
fn hide_unified() -> io::Result<()> {
    match rustix::mount::unmount("/sys/fs/cgroup/unified", UnmountFlags::DETACH) {
        // No such folder, or not a mount point: a machine with one version.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) | Ok(()) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn listen(dir: &Path) -> io::Result<UnixListener> {
    // A socket's path is limited to 108 bytes, so it is bound from within its folder.
    let back = std::env::current_dir()?;
    std::env::set_current_dir(dir)?;
    // A shim that is gone may have left its socket.
    let _ = fs::remove_file(SOCKET);
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(SOCKET);
    rustix::process::umask(umask);
    std::env::set_current_dir(back)?;
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
