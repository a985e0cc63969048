//! Starting a container with libcontainer.
//!
//! The library clones this process twice and goes on in the clones, which is sound because the process has one thread. The container's
//! first process becomes our child.

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixListener, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
};

use libcontainer::{
    container::{Container, builder::ContainerBuilder},
    oci_spec::runtime::Spec,
    syscall::syscall::SyscallType,
    workload::{Executor, ExecutorError, ExecutorValidationError},
};
use rustix::pipe::PipeFlags;

use super::{
    output,
    protocol::{self, Failure},
    spec::{Joining, Surroundings, adapt},
    working_folder,
};
use crate::{
    cgroup::Group,
    runtime::{ContainerSetup, Limits},
};

/// Where a container is to be started.
pub(super) struct Place<'a> {
    /// A folder of its own for the adapted `config.json`, made and empty.
    pub(super) dir: &'a Path,
    /// Its group; made.
    pub(super) group: &'a Group,
    /// The shim's own, to come back to.
    pub(super) home: &'a Group,
    /// The first process of the pod's shared process namespace.
    pub(super) pause: Option<i32>,
}

/// The streams of the container's first process; absent with a terminal.
pub(super) struct Stdio {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// A started container.
pub(super) struct Launched {
    pub(super) pid: i32,
    /// Our end of its terminal.
    pub(super) terminal: Option<OwnedFd>,
}

/// Starts the container of `setup.bundle` and returns when its program runs.
pub(super) fn launch(
    setup: &ContainerSetup,
    spec: Spec,
    place: &Place<'_>,
    stdio: Option<Stdio>,
) -> Result<Launched, Failure> {
    let failed = |e: io::Error| Failure::new("prepare the container", e);
    let oom_score = spec.process().as_ref().and_then(|process| process.oom_score_adj());
    let program = program(&spec);
    let around = Surroundings {
        joining: Joining::Inherited,
        pause: place.pause,
        devices_governed: place.group.governs_devices(),
    };
    let spec = adapt(spec, setup, around).map_err(failed)?;
    working_folder::make(&spec)?;
    spec.save(place.dir.join("config.json")).map_err(|e| Failure::new("write config.json", e))?;
    let console = if setup.tty { Some(console(place.dir).map_err(failed)?) } else { None };
    let (report, reporter) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;

    let mut builder = ContainerBuilder::new(setup.id.name.clone(), SyscallType::default())
        .with_executor(Workload { report: Rc::new(reporter) })
        .with_root_path(place.dir.join("state"))
        .map_err(|e| explain(&e))?;
    if let Some(stdio) = stdio {
        builder =
            builder.with_stdin(stdio.stdin).with_stdout(stdio.stdout).with_stderr(stdio.stderr);
    }
    let builder = builder
        .with_console_socket(console.as_ref().map(|(_, path)| path.clone()))
        .as_init(place.dir)
        .with_systemd(false)
        .with_detach(true);

    // The clones inherit our group. Limits come afterwards: until the program is executed, they hold a copy of us.
    place.group.enter().map_err(failed)?;
    let built = builder.build();
    place.home.enter().map_err(failed)?;
    let mut container = built.map_err(|e| explain(&e))?;
    let pid = container
        .pid()
        .map(|pid| pid.as_raw())
        .ok_or_else(|| Failure::new("create the container", "it has no process"))?;

    let begun = begin(&mut container, place.group, &setup.limits, pid, oom_score)
        .and_then(|()| console.map(|(listener, _)| accept(&listener)).transpose().map_err(failed));
    let terminal = match begun {
        Ok(terminal) => terminal,
        Err(e) => {
            abandon(pid);
            return Err(e);
        }
    };
    drop(container);
    // The end comes when the program is executed, or when the process is gone.
    let reason = output::read_all(report, 4096).map_err(failed)?;
    if !reason.is_empty() {
        abandon(pid);
        return Err(Failure::NotExecutable { program, reason });
    }
    Ok(Launched { pid, terminal })
}

fn begin(
    container: &mut Container,
    group: &Group,
    limits: &Limits,
    pid: i32,
    oom_score: Option<i32>,
) -> Result<(), Failure> {
    group.limit(limits).map_err(|e| Failure::new("limit the container", e))?;
    if let Some(score) = oom_score {
        // Lowering it takes a capability that we may lack; it is advice to the kernel, no limit.
        let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string());
    }
    container.start().map_err(|e| explain(&e))
}

/// Ends a container that never got to its program.
fn abandon(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // Both fail only if it has ended.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    }
}

/// The program that a container is to run.
pub(super) fn program(spec: &Spec) -> String {
    let arguments = spec.process().as_ref().and_then(|process| process.args().as_ref());
    arguments.and_then(|arguments| arguments.first()).cloned().unwrap_or_default()
}

/// A socket through which the container's first process hands out its terminal.
pub(super) fn console(dir: &Path) -> io::Result<(UnixListener, PathBuf)> {
    const NAME: &str = "console.sock";
    let back = std::env::current_dir()?;
    std::env::set_current_dir(dir)?;
    let listener = UnixListener::bind(NAME);
    std::env::set_current_dir(back)?;
    Ok((listener?, dir.join(NAME)))
}

/// The terminal that came through the socket.
pub(super) fn accept(listener: &UnixListener) -> io::Result<OwnedFd> {
    let (socket, _) = listener.accept()?;
    let fd = protocol::receive_fd(&socket)?;
    fd.ok_or_else(|| io::Error::other("the container sent no terminal"))
}

fn explain(error: &dyn std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    Failure::new("create the container", text)
}

/// Executes the container's program, and says why if it can't.
#[derive(Clone)]
struct Workload {
    /// Closed by a successful exec.
    report: Rc<OwnedFd>,
}

impl Executor for Workload {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref();
        let arguments = process.and_then(|process| process.args().as_ref());
        let Some((program, arguments)) = arguments.and_then(|arguments| arguments.split_first())
        else {
            return Err(ExecutorError::InvalidArg);
        };
        let error = Command::new(program).args(arguments).exec();
        // Nobody to tell if this fails; the exit code still says it.
        let _ = output::write_all(self.report.as_fd(), &refusal(program, &error));
        std::process::exit(127)
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        // The kernel knows best, and says it to `exec`.
        Ok(())
    }
}

/// Why a program can't be executed, as people know it from other runtimes.
pub(super) fn refusal(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if !program.contains('/') => {
            "executable file not found in $PATH".to_owned()
        }
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
