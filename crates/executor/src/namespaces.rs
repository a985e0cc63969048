//! Starts a task's process where the sandbox is: its root, its folder, its user, its powers.
//!
//! In a pod that shares its processes, network, IPC and host name are the pod's and so are ours already. What is left is the file system. Entering a mount
//! namespace takes `CAP_SYS_ADMIN`; changing the root to what another process sees as its own takes `CAP_SYS_PTRACE` to look and `CAP_SYS_CHROOT`, which
//! every container has. So the second is done, and the first as well where it is permitted.
//!
//! All of it happens between fork and exec, so the process that calls this must have one thread. It is the only module that may step outside what the compiler
//! checks.

use std::{
    ffi::{CString, OsString},
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Gid, Signal, Uid},
    thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType},
};

use crate::{
    processes,
    target::{Container, Place},
};

/// What to start.
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [String],
    /// All of the process's variables.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Absent: where the sandbox's own process is.
    pub(crate) folder: Option<&'a str>,
    pub(crate) place: &'a Place,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The task's fault: exit code 127.
    #[error("{0}: not found in the sandbox")]
    NotFound(String),
    /// The task's fault: exit code 126.
    #[error("run {program}: {source}")]
    NotExecutable { program: String, source: io::Error },
    /// The task's fault: exit code 126.
    #[error("enter the folder {folder}: {source}")]
    Folder { folder: String, source: io::Error },
    /// Ours, or the pod's.
    #[error("{attempted}: {source}")]
    Sandbox { attempted: String, source: io::Error },
}

/// What the forked process was at when it failed: the only thing it can tell, beside the error, is one number.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Step {
    Root = 1,
    Folder = 2,
    Identity = 3,
    Session = 4,
}

/// Above every error number of Linux.
const STEP_SHIFT: i32 = 12;

impl Step {
    fn failed(self, error: rustix::io::Errno) -> io::Error {
        io::Error::from_raw_os_error(error.raw_os_error() | (self as i32) << STEP_SHIFT)
    }
}

/// Starts the process.
pub(crate) fn start(launch: Launch<'_>) -> Result<Child, LaunchError> {
    let sandbox = |attempted: &str| {
        let attempted = attempted.to_owned();
        move |source: io::Error| LaunchError::Sandbox { attempted, source }
    };
    let threads = fs::read_dir("/proc/self/task").map_err(sandbox("count threads"))?.count();
    if threads != 1 {
        let source = io::Error::other(format!("{threads} threads would be forked as one"));
        return Err(LaunchError::Sandbox { attempted: "start a process".to_owned(), source });
    }
    let folder = match launch.folder.filter(|folder| !folder.is_empty()) {
        None => None,
        Some(folder) => Some(CString::new(folder).map_err(|_| LaunchError::Folder {
            folder: folder.to_owned(),
            source: io::ErrorKind::InvalidInput.into(),
        })?),
    };
    let door = match launch.place {
        Place::Own => None,
        Place::Beside(container) => {
            Some(Door::open(container).map_err(sandbox("look into the sandbox's container"))?)
        }
    };
    if let Some(door) = &door {
        // A process of another user may open /dev/stdout by name.
        let [_, user, _] = door.identity.users;
        let [_, group, _] = door.identity.groups;
        for pipe in [&launch.stdout, &launch.stderr] {
            rustix::fs::fchown(pipe, Some(user), Some(group))
                .map_err(|e| sandbox("hand the output over")(e.into()))?;
        }
    }
    let away = match launch.place {
        Place::Beside(container) => {
            leave_for_children(container).map_err(sandbox("enter the sandbox's processes"))?
        }
        Place::Own => None,
    };

    let mut command = Command::new(launch.program);
    command
        .args(launch.arguments)
        .env_clear()
        .envs(launch.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::from(launch.stdout))
        .stderr(Stdio::from(launch.stderr));
    let become_task = move || -> io::Result<()> {
        rustix::process::setsid().map_err(|e| Step::Session.failed(e))?;
        close_inherited();
        if let Some(door) = &door {
            door.enter().map_err(|e| Step::Root.failed(e))?;
        }
        // Before the identity changes: the folder may be closed to the user and still be the one that was named.
        match (&folder, &door) {
            (Some(folder), _) => rustix::process::chdir(folder.as_c_str()),
            (None, Some(door)) => rustix::process::fchdir(&door.folder),
            (None, None) => Ok(()),
        }
        .map_err(|e| Step::Folder.failed(e))?;
        if let Some(door) = &door {
            door.identity.assume().map_err(|e| Step::Identity.failed(e))?;
        }
        // Without its watcher nobody would know how the task ended. A change of identity forgets this, so it comes last.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|e| Step::Session.failed(e))
    };
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: between fork and exec the closure makes system calls on what was prepared above and allocates nothing, and this process has one
    // thread (checked above), so no lock can be held by another across the fork.
    unsafe {
        command.pre_exec(become_task);
    }
    let child = command.spawn();
    if let Some(home) = away {
        rustix::thread::move_into_link_name_space(home.as_fd(), None)
            .map_err(|e| sandbox("leave the sandbox's processes")(e.into()))?;
    }
    child.map_err(|e| explain(launch.program, launch.folder, &e))
}

/// Closes on exec whatever others left open when they started us: a folder of the executor among it would be a way out of the sandbox.
fn close_inherited() {
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: nothing is closed here; descriptors are marked, and the process is about to become another program. Kernels without the call (before 5.11) leave them as they are.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Where the container's processes have a namespace of their own, children are born there from now on. Answers the way back.
fn leave_for_children(container: &Container) -> io::Result<Option<OwnedFd>> {
    let theirs = processes::namespace(&container.pid.to_string(), "pid");
    if theirs == processes::namespace("self", "pid") {
        return Ok(None);
    }
    let home =
        rustix::fs::open("/proc/self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let kind = ThreadNameSpaceType::PROCESS_ID;
    rustix::thread::move_into_thread_name_spaces(container.held.as_fd(), kind)?;
    Ok(Some(home))
}

fn explain(program: &str, folder: Option<&str>, error: &io::Error) -> LaunchError {
    let raw = error.raw_os_error().unwrap_or_default();
    let source = io::Error::from_raw_os_error(raw & ((1 << STEP_SHIFT) - 1));
    let sandbox =
        |attempted: &str, source| LaunchError::Sandbox { attempted: attempted.to_owned(), source };
    match raw >> STEP_SHIFT {
        step if step == Step::Root as i32 => sandbox("enter the sandbox's file system", source),
        step if step == Step::Identity as i32 => sandbox("become the sandbox's user", source),
        step if step == Step::Session as i32 => sandbox("begin a session", source),
        step if step == Step::Folder as i32 => {
            LaunchError::Folder { folder: folder.unwrap_or_default().to_owned(), source }
        }
        _ if error.kind() == io::ErrorKind::NotFound => LaunchError::NotFound(program.to_owned()),
        _ => {
            let source = match error.raw_os_error() {
                Some(raw) => io::Error::from_raw_os_error(raw),
                None => io::Error::new(error.kind(), error.to_string()),
            };
            LaunchError::NotExecutable { program: program.to_owned(), source }
        }
    }
}

/// The way into a container, opened before the fork.
struct Door {
    container: OwnedFd,
    root: OwnedFd,
    folder: OwnedFd,
    identity: Identity,
    /// Which namespaces may be joined: none without `CAP_SYS_ADMIN`.
    joined: ThreadNameSpaceType,
}

impl Door {
    fn open(container: &Container) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let look = |what: &str| {
            let path = format!("/proc/{}/{what}", container.pid);
            rustix::fs::open(&path, flags, Mode::empty())
                .map_err(|e| io::Error::new(e.kind(), format!("open {path}: {e}")))
        };
        let (root, folder) = (look("root")?, look("cwd")?);
        let powers = rustix::thread::capabilities(None)?;
        let joined = match powers.effective.contains(CapabilitySet::SYS_ADMIN) {
            true => {
                ThreadNameSpaceType::MOUNT
                    | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
                    | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
                    | ThreadNameSpaceType::NETWORK
            }
            false => ThreadNameSpaceType::empty(),
        };
        let status = fs::read_to_string(format!("/proc/{}/status", container.pid))?;
        let identity = Identity::parse(&status, powers.permitted).ok_or_else(|| {
            io::Error::other("the identity of the sandbox's process can't be read")
        })?;
        if !container.still_there() {
            return Err(io::Error::other("the sandbox's process has just ended"));
        }
        Ok(Self { container: container.held.try_clone()?, root, folder, identity, joined })
    }

    fn enter(&self) -> rustix::io::Result<()> {
        if !self.joined.is_empty() {
            // A profile of system calls may refuse what the capability allows; the root below is enough then.
            let _ =
                rustix::thread::move_into_thread_name_spaces(self.container.as_fd(), self.joined);
        }
        rustix::process::fchdir(&self.root)?;
        rustix::process::chroot(c".")
    }
}

/// Whom the task runs as: the sandbox's own process.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    users: [Uid; 3],
    groups: [Gid; 3],
    more_groups: Vec<Gid>,
    umask: Mode,
    bounding: CapabilitySet,
    sets: CapabilitySets,
    ambient: CapabilitySet,
    no_new_privileges: bool,
}

impl Identity {
    /// From the text of `/proc/PID/status`. Powers that we don't have ourselves can't be handed on.
    fn parse(status: &str, ours: CapabilitySet) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix(':').map(str::trim)
        };
        let numbers = |name: &str| -> Option<Vec<u32>> {
            field(name)?.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
        };
        let powers = |name: &str| {
            let bits = u64::from_str_radix(field(name)?, 16).ok()?;
            Some(CapabilitySet::from_bits_retain(bits))
        };
        let three = |name: &str| -> Option<[u32; 3]> { numbers(name)?.get(..3)?.try_into().ok() };
        let umask = field("Umask").and_then(|text| u32::from_str_radix(text, 8).ok());
        let permitted = powers("CapPrm")? & ours;
        Some(Self {
            users: three("Uid")?.map(Uid::from_raw),
            groups: three("Gid")?.map(Gid::from_raw),
            more_groups: numbers("Groups")?.into_iter().map(Gid::from_raw).collect(),
            umask: Mode::from_raw_mode(umask.unwrap_or(0o022)),
            bounding: powers("CapBnd")?,
            sets: CapabilitySets {
                effective: powers("CapEff")? & permitted,
                permitted,
                inheritable: powers("CapInh")? & ours,
            },
            ambient: powers("CapAmb").unwrap_or(CapabilitySet::empty()) & permitted,
            no_new_privileges: field("NoNewPrivs") == Some("1"),
        })
    }

    /// Makes the calling process this identity: between fork and exec, so without allocating.
    fn assume(&self) -> rustix::io::Result<()> {
        rustix::process::umask(self.umask);
        for capability in CapabilitySet::all().iter() {
            // The newest ones are unknown to older kernels.
            if !self.bounding.contains(capability)
                && rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false)
            {
                rustix::thread::remove_capability_from_bounding_set(capability)?;
            }
        }
        rustix::thread::set_thread_groups(&self.more_groups)?;
        let [real, effective, saved] = self.groups;
        rustix::thread::set_thread_res_gid(real, effective, saved)?;
        rustix::thread::set_keep_capabilities(true)?;
        let [real, effective, saved] = self.users;
        rustix::thread::set_thread_res_uid(real, effective, saved)?;
        rustix::thread::set_capabilities(None, self.sets)?;
        rustix::thread::set_keep_capabilities(false)?;
        rustix::thread::clear_ambient_capability_set()?;
        for capability in self.ambient.iter() {
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_s_identity_is_read_and_never_more_powerful_than_ours() {
        let status = "Name:\tsleep\nUmask:\t0027\nUid:\t1000\t1001\t1002\t1003\nGid:\t7\t8\t9\t10\nGroups:\t4 2000 \n\
                      CapInh:\t0000000000000000\nCapPrm:\t0000000000000003\nCapEff:\t0000000000000001\nCapBnd:\t00000000a80425fb\n\
                      CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
        let identity = Identity::parse(status, CapabilitySet::DAC_OVERRIDE).unwrap();
        assert_eq!(identity.users.map(Uid::as_raw), [1000, 1001, 1002]);
        assert_eq!(identity.groups.map(Gid::as_raw), [7, 8, 9]);
        assert_eq!(identity.more_groups.iter().map(|g| g.as_raw()).collect::<Vec<_>>(), [4, 2000]);
        assert_eq!(identity.umask.as_raw_mode(), 0o027);
        assert_eq!(identity.sets.permitted, CapabilitySet::DAC_OVERRIDE);
        assert_eq!(identity.sets.effective, CapabilitySet::empty());
        assert_eq!(identity.bounding.bits(), 0xa804_25fb);
        assert!(identity.no_new_privileges);
        assert_eq!(Identity::parse("Uid:\t1\t1\n", CapabilitySet::empty()), None);
    }

    #[test]
    fn a_missing_program_and_a_missing_folder_are_told_apart() {
        let missing = rustix::io::Errno::NOENT;
        let folder = explain("x", Some("/nowhere"), &Step::Folder.failed(missing));
        assert!(matches!(folder, LaunchError::Folder { .. }), "{folder}");
        let program = explain("x", None, &missing.into());
        assert!(matches!(program, LaunchError::NotFound(_)), "{program}");
        let root = explain("x", None, &Step::Root.failed(rustix::io::Errno::PERM));
        assert!(
            matches!(&root, LaunchError::Sandbox { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
        );
    }
}
