//! Containers by another OCI runtime of this machine: the handler of the pod's RuntimeClass.
//!
//! Everything goes through the command line that all of them have in common. What a handler starts becomes our child when the
//! handler itself has ended, because the shim is the reaper of everything below it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use libcontainer::oci_spec::runtime::{Process, Spec};
use rustix::pipe::PipeFlags;

use super::{
    exec::{Running, merged_environment},
    launch::{self, Launched, Place},
    protocol::{Failure, Streams},
    spec::{Joining, Surroundings, adapt},
};
use crate::{
    cgroup::Group,
    runtime::{ContainerSetup, ExecSetup},
};

/// Another OCI runtime.
pub(super) struct Handler {
    program: PathBuf,
    /// Where it keeps what it knows of its containers.
    state: PathBuf,
    /// The pod's network namespace.
    network: PathBuf,
}

/// Runtimes look for their own helpers here.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Handler {
    pub(super) fn new(program: &str, dir: &Path, network: PathBuf) -> Self {
        Self { program: PathBuf::from(program), state: dir.join("handler"), network }
    }

    /// Whether it leaves control groups, and so devices, to us. One that makes its own below ours governs devices itself.
    pub(super) fn leaves_groups(&self) -> bool {
        self.is("crun") || self.is("runsc")
    }

    fn is(&self, name: &str) -> bool {
        self.program.file_name().is_some_and(|own| own == name)
    }

    /// Starts the container of `setup.bundle`. On failure nothing of it is left.
    pub(super) fn launch(
        &self,
        setup: &ContainerSetup,
        spec: Spec,
        place: &Place<'_>,
        stdio: Option<launch::Stdio>,
    ) -> Result<Launched, Failure> {
        let failed = |e: io::Error| Failure::new("prepare the container", e);
        let oom_score = spec.process().as_ref().and_then(|process| process.oom_score_adj());
        let around = Surroundings {
            joining: Joining::ByPath {
                own_groups: !self.leaves_groups(),
                network: self.network.clone(),
            },
            pause: place.pause,
            devices_governed: place.group.governs_devices() || !self.leaves_groups(),
        };
        let program = launch::program(&spec);
        let spec = adapt(spec, setup, around).map_err(failed)?;
        spec.save(place.dir.join("config.json"))
            .map_err(|e| Failure::new("write config.json", e))?;
        let console =
            if setup.tty { Some(launch::console(place.dir).map_err(failed)?) } else { None };
        let pid_file = place.dir.join("pid");

        let mut create = self.command(place.dir);
        create.arg("create").arg("--bundle").arg(place.dir).arg("--pid-file").arg(&pid_file);
        if let Some((_, path)) = &console {
            create.arg("--console-socket").arg(path);
        }
        create.arg(&setup.id.name);
        if let Some(stdio) = stdio {
            create.stdin(stdio.stdin).stdout(stdio.stdout).stderr(stdio.stderr);
        }
        let created = within(place.group, place.home, || create.status()).map_err(failed)?;
        drop(create);
        let begun =
            self.done("create the container", created, place.dir, &program).and_then(|()| {
                let pid = read_pid(&pid_file).map_err(failed)?;
                let terminal = console.map(|(listener, _)| launch::accept(&listener)).transpose();
                let terminal = terminal.map_err(failed)?;
                place
                    .group
                    .limit(&setup.limits)
                    .map_err(|e| Failure::new("limit the container", e))?;
                if let Some(score) = oom_score {
                    // Advice to the kernel, and lowering it takes a capability that we may lack.
                    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string());
                }
                let started = self.command(place.dir).arg("start").arg(&setup.id.name).status();
                self.done("start the container", started.map_err(failed)?, place.dir, &program)?;
                Ok(Launched { pid, terminal })
            });
        if begun.is_err() {
            self.forget(&setup.id.name, place.dir);
        }
        begun
    }

    /// Runs a command in a container.
    pub(super) fn exec(
        &self,
        name: &str,
        process: &Process,
        pid: i32,
        setup: &ExecSetup,
        (group, home): (&Group, &Group),
        dir: &Path,
    ) -> Result<Running, Failure> {
        let failed = |e: io::Error| Failure::new("prepare the command", e);
        let program = setup.argv.first().cloned().unwrap_or_default();
        let mut process = process.clone();
        let environment = merged_environment(&process, pid, &setup.env);
        let environment = environment.into_iter().map(|(name, value)| format!("{name}={value}"));
        process
            .set_args(Some(setup.argv.clone()))
            .set_env(Some(environment.collect()))
            .set_terminal(Some(setup.tty));
        // Several commands may be on their way at once, one after the other through here.
        let own = tempdir(dir).map_err(failed)?;
        let description = own.join("process.json");
        let text = serde_json::to_vec(&process).map_err(|e| failed(e.into()))?;
        // It names the environment, secrets included.
        let mut file = OpenOptions::new();
        file.create(true).write(true).mode(0o600);
        file.open(&description).and_then(|mut file| file.write_all(&text)).map_err(failed)?;
        let pid_file = own.join("pid");
        let console = if setup.tty { Some(launch::console(&own).map_err(failed)?) } else { None };

        let mut exec = self.command(&own);
        exec.arg("exec").arg("--detach").arg("--process").arg(&description);
        exec.arg("--pid-file").arg(&pid_file);
        let (mut streams, mut fds) = (
            Streams { stdin: false, stdout: true, stderr: !setup.tty, terminal: setup.tty },
            Vec::new(),
        );
        if let Some((_, path)) = &console {
            exec.arg("--console-socket").arg(path);
        } else {
            if setup.stdin {
                let (theirs, ours) = pipe().map_err(failed)?;
                exec.stdin(theirs);
                streams.stdin = true;
                fds.push(ours);
            }
            let (out, theirs) = pipe().map_err(failed)?;
            exec.stdout(theirs);
            let (err, theirs) = pipe().map_err(failed)?;
            exec.stderr(theirs);
            fds.extend([out, err]);
        }
        exec.arg(name);
        let ran = within(group, home, || exec.status()).map_err(failed)?;
        // The parent's copies of the command's ends are in there.
        drop(exec);
        let running = self.done("run the command", ran, &own, &program).and_then(|()| {
            let pid = read_pid(&pid_file).map_err(failed)?;
            if let Some((listener, _)) = &console {
                fds.push(launch::accept(listener).map_err(failed)?);
            }
            Ok(Running { pid, streams, fds })
        });
        // Nothing in it is needed any more.
        let _ = fs::remove_dir_all(own);
        running
    }

    pub(super) fn signal(&self, name: &str, signal: i32, dir: &Path) -> Result<(), Failure> {
        let status = self.command(dir).arg("kill").arg(name).arg(signal.to_string()).status();
        let status = status.map_err(|e| Failure::new("send the signal", e))?;
        self.done("send the signal", status, dir, name)
    }

    /// Lets the handler forget a container, running or not.
    pub(super) fn forget(&self, name: &str, dir: &Path) {
        // One that it does not know is what we want.
        let _ = self.command(dir).args(["delete", "--force"]).arg(name).status();
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .arg("--root")
            .arg(&self.state)
            .arg("--log")
            .arg(dir.join(LOG));
        // What it starts is in our groups already; those that can be told not to make their own are told.
        if self.is("crun") {
            command.arg("--cgroup-manager=disabled");
        } else if self.is("runsc") {
            command.arg("--ignore-cgroups");
        }
        command
    }

    fn done(
        &self,
        attempted: &str,
        status: ExitStatus,
        dir: &Path,
        program: &str,
    ) -> Result<(), Failure> {
        if status.success() {
            return Ok(());
        }
        let name = self.program.display();
        let Some(complaint) = complaint(&dir.join(LOG)) else {
            return Err(Failure::new(attempted, format!("{name} ended with {status}")));
        };
        // Runtimes agree on nothing here but these words of the kernel and the shell.
        for reason in
            ["executable file not found in $PATH", "no such file or directory", "permission denied"]
        {
            let about_program = complaint.contains(program) || complaint.contains("exec");
            if about_program && complaint.to_lowercase().contains(&reason.to_lowercase()) {
                let (program, reason) = (program.to_owned(), reason.to_owned());
                return Err(Failure::NotExecutable { program, reason });
            }
        }
        Err(Failure::new(attempted, format!("{name}: {complaint}")))
    }
}

/// Where a handler complains, in the folder of its container.
const LOG: &str = "handler.log";

fn complaint(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

/// Runs something as a member of `group`.
fn within<T>(group: &Group, home: &Group, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    group.enter()?;
    let result = run();
    home.enter()?;
    result
}

fn read_pid(file: &Path) -> io::Result<i32> {
    fs::read_to_string(file)?.trim().parse().map_err(io::Error::other)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

fn tempdir(dir: &Path) -> io::Result<PathBuf> {
    let own = dir.join("command");
    match fs::remove_dir_all(&own) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs::create_dir(&own)?;
    Ok(own)
}
