//! The life of a shim process as its agent sees it. All of it blocks.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
            net::UnixStream,
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{PodSetup, RuntimeError, call::failed, program::Program};
use crate::{
    cgroup::Group,
    shim::{
        CONTAINERS, SHIM,
        protocol::{self, Boot, Reply},
    },
};

/// What has to be known of a pod when its shim is dead and can't be asked: its group.
const RECORD: &str = "pod.json";
/// What the shim has to complain about.
const SHIM_LOG: &str = "shim.log";
/// A shim is ready in a few milliseconds; on a machine that is this slow nothing will work.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// How long a shim that has answered `Remove` may take to be gone.
const GONE_DEADLINE: Duration = Duration::from_secs(5);

/// The program of a RuntimeClass handler: a path, or a name to look for where programs of the machine are.
pub(super) fn find_handler(handler: &str) -> Result<String, RuntimeError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = if handler.starts_with('/') {
        vec![PathBuf::from(handler)]
    } else if handler.contains('/') {
        Vec::new()
    } else {
        std::env::split_paths(&path).map(|folder| folder.join(handler)).collect()
    };
    let found = candidates.iter().find(|candidate| {
        fs::metadata(candidate)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    });
    found.map(|found| found.to_string_lossy().into_owned()).ok_or_else(|| {
        RuntimeError::Unsupported(format!(
            "the handler {handler:?} of the RuntimeClass is not a program of this machine"
        ))
    })
}

/// Starts the shim of a pod and waits until it is ready. On failure nothing is left.
pub(super) fn start(
    program: &Program,
    setup: PodSetup,
    ips: Vec<IpAddr>,
    group: Group,
    network: OwnedFd,
) -> Result<Child, RuntimeError> {
    let dir = setup.dir.join("runtime");
    let limits = setup.limits;
    let prepared = prepare(&dir, &group, &limits);
    let (child, socket) = match prepared.and_then(|()| spawn(program, &dir)) {
        Ok(spawned) => spawned,
        Err(e) => {
            drop(clean_group(&group).and_then(|()| remove_folder(&dir)));
            return Err(failed("start the pod's shim", e));
        }
    };
    let boot = Boot { setup, ips, group };
    let ready = protocol::send(&socket, &boot, &[network.as_fd()])
        .and_then(|()| protocol::receive::<Reply>(&socket));
    let problem: RuntimeError = match ready {
        Ok((Reply::Ready, _)) => return Ok(child),
        Ok((Reply::Failed(failure), _)) => failure.into(),
        Ok(_) => failed("start the pod's shim", "it answered something else"),
        Err(e) => failed("start the pod's shim", complaint(&dir).unwrap_or_else(|| e.to_string())),
    };
    abandon(child, &dir);
    Err(problem)
}

fn prepare(dir: &Path, group: &Group, limits: &super::Limits) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // Whole or not at all: whoever finds it relies on it to clean up.
    let draft = dir.join(format!("{RECORD}.draft"));
    let mut record = OpenOptions::new();
    record.create(true).truncate(true).write(true).mode(0o600);
    record.open(&draft)?.write_all(&serde_json::to_vec(group)?)?;
    fs::rename(draft, dir.join(RECORD))?;
    group.create()?;
    group.hand_down()?;
    let containers = group.child(CONTAINERS);
    containers.create()?;
    containers.hand_down()?;
    containers.limit(limits)
}

fn spawn(program: &Program, dir: &Path) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(READY_DEADLINE))?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(dir.join(SHIM_LOG))?;
    let child = Command::new(program.path())
        // For people who look at process lists.
        .arg0("sandbank-pod")
        .arg(SHIM)
        .arg(dir)
        // Nothing of ours may reach containers.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok((child, ours))
}

/// The last thing a shim complained about.
fn complaint(dir: &Path) -> Option<String> {
    let text = fs::read_to_string(dir.join(SHIM_LOG)).ok()?;
    text.lines().last().map(str::to_owned)
}

/// Ends a shim that did not become ready, and all it made.
pub(super) fn abandon(mut child: Child, dir: &Path) {
    // Both fail only if it has ended.
    let _ = child.kill();
    let _ = child.wait();
    if let Err(error) = clean(dir) {
        tracing::warn!(%error, dir = %dir.display(), "remove what a failed pod left");
    }
}

/// Waits for a shim that has removed its pod, or ends it, and removes the rest.
pub(super) fn finish(child: Option<Child>, group: &Group, dir: &Path) -> Result<(), RuntimeError> {
    if let Some(mut child) = child {
        wait_or_kill(&mut child).map_err(|e| failed("wait for the pod's shim", e))?;
    }
    clean_group(group).map_err(|e| failed("remove the pod's control group", e))?;
    remove_folder(dir).map_err(|e| failed("remove the pod's runtime folder", e))
}

fn wait_or_kill(child: &mut Child) -> io::Result<()> {
    let deadline = Instant::now() + GONE_DEADLINE;
    let pid = rustix::process::Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = rustix::event::Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    if rustix::event::poll(&mut fds, Some(&timeout))? == 0 {
        child.kill()?;
    }
    child.wait()?;
    Ok(())
}

/// The group of the pod whose runtime folder is `dir`.
pub(super) fn recorded_group(dir: &Path) -> io::Result<Group> {
    Ok(serde_json::from_slice(&fs::read(dir.join(RECORD))?)?)
}

/// Ends and removes everything that is left of a pod whose shim is gone or never became ready. Its namespaces, mounts and
/// interfaces go with its last process.
pub(super) fn clean(dir: &Path) -> io::Result<()> {
    match recorded_group(dir) {
        Ok(group) => clean_group(&group)?,
        // It was never written, so there never was a group.
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    remove_folder(dir)
}

fn clean_group(group: &Group) -> io::Result<()> {
    group.kill()?;
    group.remove()
}

fn remove_folder(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
