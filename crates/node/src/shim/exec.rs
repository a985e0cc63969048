//! Running a command in a running container.
//!
//! The shim forks (it has one thread), and the child joins the container's namespaces and takes on the identity of the
//! container's own process. The client gets the other ends of the command's streams, so no byte passes through us.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use libcontainer::oci_spec::runtime::Process;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    pipe::PipeFlags,
    process::{Pid, PidfdFlags},
    pty::OpenptFlags,
    thread::{LinkNameSpaceType, ThreadNameSpaceType},
};

use super::{
    identity::Identity,
    launch::refusal,
    protocol::{Failure, Streams},
};
use crate::{
    cgroup::{Group, enter_by},
    runtime::ExecSetup,
};

/// A command that runs.
pub(super) struct Running {
    pub(super) pid: i32,
    pub(super) streams: Streams,
    /// The client's ends, in the order `streams` names them.
    pub(super) fds: Vec<OwnedFd>,
}

/// The container in which to run it.
pub(super) struct Target<'a> {
    /// Its first process.
    pub(super) pid: i32,
    /// What `config.json` says of that process.
    pub(super) process: &'a Process,
    pub(super) group: &'a Group,
    /// The shim's own process namespace, to come back to.
    pub(super) own_processes: &'a File,
}

/// The environment of a process is bounded by the kernel at a quarter of its stack limit.
const ENVIRON_LIMIT: u64 = 2 << 20;

/// What the child was doing when it failed, as the raw number it can send through the error pipe of a fork.
const STEP_CHDIR: i32 = 0x1000;

/// Makes later children be born in the process namespace of `namespace` again.
pub(super) fn return_to(namespace: &File) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(
        namespace.as_fd(),
        Some(LinkNameSpaceType::ProcessID),
    )?)
}

/// Starts the command.
pub(super) fn exec(target: &Target<'_>, setup: &ExecSetup) -> Result<Running, Failure> {
    let failed = |e: io::Error| Failure::new("prepare the command", e);
    let Some((program, arguments)) = setup.argv.split_first() else {
        return Err(Failure::Unsupported("a command needs at least a program".to_owned()));
    };
    let pid = Pid::from_raw(target.pid).ok_or_else(|| Failure::NotRunning(program.clone()))?;
    let container =
        rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
    let identity = Identity::of(target.process);
    let doors = target.group.doors().map_err(failed)?;
    let folder = target.process.cwd().clone();
    let stdio = Ends::open(target.pid, &identity, setup).map_err(failed)?;
    let (stdin, stdout, stderr) = stdio.child().map_err(failed)?;
    let terminal = setup.tty;

    let mut command = Command::new(program);
    command.args(arguments).stdin(stdin).stdout(stdout).stderr(stderr).env_clear();
    command.envs(merged_environment(target.process, target.pid, &setup.env));
    let joined = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::CONTROL_GROUP
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME;
    let pidfd = container.try_clone().map_err(failed)?;
    let become_part = move || -> io::Result<()> {
        enter_by(&doors)?;
        rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), joined)?;
        rustix::process::setsid()?;
        if terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        // Before the identity changes: the folder may be closed to the user and still be the one the image names.
        if let Err(e) = rustix::process::chdir(&folder) {
            return Err(io::Error::from_raw_os_error(STEP_CHDIR | e.raw_os_error()));
        }
        identity.assume()
    };
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: between fork and exec the closure only makes system calls on what was prepared here; and this process has one
    // thread, so no lock can be held by another across the fork.
    unsafe {
        command.pre_exec(become_part);
    }
    // A process can't change its own process namespace, only that of its children.
    rustix::thread::move_into_thread_name_spaces(
        container.as_fd(),
        ThreadNameSpaceType::PROCESS_ID,
    )
    .map_err(|e| failed(e.into()))?;
    let child = command.spawn();
    return_to(target.own_processes).map_err(failed)?;
    // The parent's copies of the child's ends are in the command.
    drop(command);
    let child = child.map_err(|e| explain(program, target.process.cwd(), &e))?;
    let pid = i32::try_from(child.id()).map_err(|e| Failure::new("run the command", e))?;
    let (streams, fds) = stdio.client();
    Ok(Running { pid, streams, fds })
}

fn explain(program: &str, folder: &Path, error: &io::Error) -> Failure {
    if let Some(code) = error.raw_os_error()
        && code & STEP_CHDIR != 0
    {
        let cause = io::Error::from_raw_os_error(code & !STEP_CHDIR);
        return Failure::Failed(format!("enter folder {}: {cause}", folder.display()));
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {}
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {}
        _ => return Failure::new("run the command", error),
    }
    Failure::NotExecutable { program: program.to_owned(), reason: refusal(program, error) }
}

/// The container's environment: what `config.json` says, the home folder that was found when the container started, and `more`.
pub(super) fn merged_environment(
    process: &Process,
    pid: i32,
    more: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let split = |entry: &str| {
        entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let mut merged: BTreeMap<_, _> =
        process.env().iter().flatten().filter_map(|entry| split(entry)).collect();
    if !merged.contains_key("HOME") {
        let mut live = Vec::new();
        if let Ok(file) = File::open(format!("/proc/{pid}/environ")) {
            // Without it the command merely has no home.
            let _ = file.take(ENVIRON_LIMIT).read_to_end(&mut live);
        }
        let home = live
            .split(|byte| *byte == 0)
            .filter_map(|entry| std::str::from_utf8(entry).ok())
            .find(|entry| entry.starts_with("HOME="))
            .and_then(split);
        merged.extend(home);
    }
    merged.extend(more.clone());
    merged
}

/// Both ends of the command's streams.
enum Ends {
    Pipes {
        stdin: Option<(OwnedFd, OwnedFd)>,
        stdout: (OwnedFd, OwnedFd),
        stderr: (OwnedFd, OwnedFd),
    },
    Terminal {
        ours: OwnedFd,
        theirs: OwnedFd,
    },
}

impl Ends {
    fn open(pid: i32, identity: &Identity, setup: &ExecSetup) -> io::Result<Self> {
        if setup.tty {
            let (ours, theirs) = terminal(pid)?;
            // Without it, only the devpts' own owner could open it again by name.
            rustix::fs::fchown(&theirs, Some(identity.uid()), None)?;
            return Ok(Self::Terminal { ours, theirs });
        }
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let stdin = if setup.stdin { Some(pipe()?) } else { None };
        let ends = Self::Pipes { stdin, stdout: pipe()?, stderr: pipe()? };
        if let Self::Pipes { stdin, stdout, stderr } = &ends {
            // A command of another user may open /dev/stdout by name.
            let (uid, gid) = (Some(identity.uid()), Some(identity.gid()));
            if let Some((read, _)) = stdin {
                rustix::fs::fchown(read, uid, gid)?;
            }
            rustix::fs::fchown(&stdout.1, uid, gid)?;
            rustix::fs::fchown(&stderr.1, uid, gid)?;
        }
        Ok(ends)
    }

    fn child(&self) -> io::Result<(Stdio, Stdio, Stdio)> {
        let copy = |fd: &OwnedFd| fd.try_clone().map(Stdio::from);
        Ok(match self {
            Self::Terminal { theirs, .. } => (copy(theirs)?, copy(theirs)?, copy(theirs)?),
            Self::Pipes { stdin, stdout, stderr } => {
                let stdin = stdin.as_ref().map_or(Ok(Stdio::null()), |(read, _)| copy(read))?;
                (stdin, copy(&stdout.1)?, copy(&stderr.1)?)
            }
        })
    }

    fn client(self) -> (Streams, Vec<OwnedFd>) {
        match self {
            Self::Terminal { ours, .. } => {
                let streams = Streams { stdin: false, stdout: true, stderr: false, terminal: true };
                (streams, vec![ours])
            }
            Self::Pipes { stdin, stdout, stderr } => {
                let streams =
                    Streams { stdin: stdin.is_some(), stdout: true, stderr: true, terminal: false };
                let stdin = stdin.map(|(_, write)| write);
                (streams, stdin.into_iter().chain([stdout.0, stderr.0]).collect())
            }
        }
    }
}

/// A terminal of the container's own, so that it has a name inside.
fn terminal(pid: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty())?;
    let ours = beneath(root.as_fd(), "dev/pts/ptmx")?;
    rustix::pty::unlockpt(&ours)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, peer)?;
    Ok((ours, theirs))
}

/// Opens a device below a container's root. The container may have put anything there, so links end at that root.
fn beneath(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    rustix::io::ioctl_fionbio(&fd, false)?;
    Ok(fd)
}

/// Ends a command or container by its pid. One that has ended is fine.
pub(super) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It is our child and not reaped yet, or gone: the number can't be anybody else's.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
