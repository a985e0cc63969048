//! One container of the pod.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use libcontainer::oci_spec::runtime::{Process, Spec};
use rustix::pipe::PipeFlags;

use super::{
    handler::Handler,
    launch::{self, Place, Stdio},
    mounts,
    output::Output,
    pod::Pod,
    protocol::{Failure, Streams},
};
use crate::{
    cgroup::Group,
    log::LogWriter,
    runtime::{ContainerSetup, ContainerState, Exit},
};

/// A container, running or ended.
pub(super) struct Container {
    pub(super) state: ContainerState,
    pub(super) process: Process,
    pub(super) group: Group,
    pub(super) output: Output,
    /// Our end of its standard input, or of its terminal.
    input: Option<OwnedFd>,
}

impl Container {
    /// Starts it in `pod`. On failure nothing is left.
    pub(super) fn start(pod: &Pod, setup: ContainerSetup) -> Result<Self, Failure> {
        let dir = pod.dir.join("c").join(&setup.id.name);
        let group = pod.group.child(&setup.id.name);
        let started = Self::try_start(pod, setup.clone(), &dir, &group);
        if started.is_err() {
            clear(&setup, &dir, &group);
        }
        started
    }

    fn try_start(
        pod: &Pod,
        setup: ContainerSetup,
        dir: &Path,
        group: &Group,
    ) -> Result<Self, Failure> {
        let failed = |e: io::Error| Failure::new("prepare the container", e);
        fs::create_dir_all(dir.join("state")).map_err(failed)?;
        for mount in &setup.mounts {
            mounts::make(mount).map_err(failed)?;
        }
        let spec = Spec::load(setup.bundle.join("config.json"))
            .map_err(|e| Failure::new("read config.json", e))?;
        let process = spec
            .process()
            .clone()
            .ok_or_else(|| Failure::Failed("config.json names no process".to_owned()))?;
        group.create().map_err(failed)?;
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        let ours = pod.handler.as_ref().is_none_or(Handler::leaves_groups);
        if let Some(rules) = resources.and_then(|resources| resources.devices().as_ref())
            && ours
        {
            group.allow_devices(rules).map_err(failed)?;
        }
        let log = LogWriter::open(&setup.log).map_err(|e| Failure::new("open the log", e))?;
        let place = Place { dir, group, home: &pod.home, pause: pod.pause };
        let (theirs, ours) = if setup.tty {
            (None, None)
        } else {
            let (theirs, ours) = pipes(&setup, &process).map_err(failed)?;
            (Some(theirs), Some(ours))
        };
        let launched = match &pod.handler {
            None => launch::launch(&setup, spec, &place, theirs)?,
            Some(handler) => handler.launch(&setup, spec, &place, theirs)?,
        };
        let (input, stdout, stderr) = match (ours, launched.terminal) {
            (Some(ours), _) => (ours.stdin, ours.stdout, Some(ours.stderr)),
            (None, Some(terminal)) => (Some(terminal.try_clone().map_err(failed)?), terminal, None),
            (None, None) => return Err(Failure::Failed("the container has no output".to_owned())),
        };
        let output = Output::new(log, stdout, stderr).map_err(failed)?;
        let state =
            ContainerState { setup, pid: launched.pid, started_at: Timestamp::now(), exit: None };
        Ok(Self { state, process, group: group.clone(), output, input })
    }

    /// The descriptors of a client that wants to see its output and perhaps write to it.
    pub(super) fn attach(
        &mut self,
        connection: u64,
        stdin: bool,
    ) -> io::Result<(Streams, Vec<OwnedFd>)> {
        let (stdout, stderr) = self.output.attach(connection)?;
        let terminal = self.state.setup.tty;
        let input = match &self.input {
            // A terminal is always handed out: its size is set through it.
            Some(input) if stdin || terminal => Some(input.as_fd().try_clone_to_owned()?),
            _ => None,
        };
        let streams =
            Streams { stdin: input.is_some(), stdout: true, stderr: stderr.is_some(), terminal };
        Ok((streams, input.into_iter().chain([stdout]).chain(stderr).collect()))
    }

    /// Records the end of its first process: whatever else is in it is ended, and its last output is written.
    pub(super) fn ended(&mut self, mut exit: Exit) -> Exit {
        // With a process namespace of its own the kernel has done it.
        if let Err(e) = self.group.kill() {
            eprintln!("end what is left of {}: {e}", self.state.setup.id.name);
        }
        exit.oom = exit.code == 137 && self.group.oom_kills() > 0;
        self.output.drain();
        self.input = None;
        self.state.exit = Some(exit.clone());
        exit
    }

    /// Frees what an ended container holds.
    pub(super) fn clear(&self, pod: &Pod) {
        if let Some(handler) = &pod.handler {
            handler.forget(&self.state.setup.id.name, &self.dir(pod));
        }
        clear(&self.state.setup, &self.dir(pod), &self.group);
    }

    /// Its folder among the shim's files.
    pub(super) fn dir(&self, pod: &Pod) -> PathBuf {
        pod.dir.join("c").join(&self.state.setup.id.name)
    }
}

fn clear(setup: &ContainerSetup, dir: &Path, group: &Group) {
    if let Err(e) = group.kill().and_then(|()| group.remove()) {
        eprintln!("remove the group of {}: {e}", setup.id.name);
    }
    for mount in setup.mounts.iter().rev() {
        mounts::unmake(mount);
    }
    // It may never have been made.
    let _ = fs::remove_dir_all(dir);
}

struct Ours {
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

fn pipes(setup: &ContainerSetup, process: &Process) -> io::Result<(Stdio, Ours)> {
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    let (stdin, input) = if setup.stdin {
        let (theirs, ours) = pipe()?;
        (theirs, Some(ours))
    } else {
        (fs::File::open("/dev/null")?.into(), None)
    };
    let (stdout, out) = {
        let (ours, theirs) = pipe()?;
        (theirs, ours)
    };
    let (stderr, err) = {
        let (ours, theirs) = pipe()?;
        (theirs, ours)
    };
    // Programs of other users open /dev/stdout and /dev/stderr by name.
    let user = process.user();
    let (uid, gid) =
        (rustix::process::Uid::from_raw(user.uid()), rustix::process::Gid::from_raw(user.gid()));
    for fd in [&stdout, &stderr] {
        rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    }
    if setup.stdin {
        rustix::fs::fchown(&stdin, Some(uid), Some(gid))?;
    }
    Ok((Stdio { stdin, stdout, stderr }, Ours { stdin: input, stdout: out, stderr: err }))
}
