//! What the shim knows: its containers and every process it has to wait for.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::{
    container::Container,
    exec::{self, Running, Target},
    handler::Handler,
    protocol::{Boot, Failure},
};
use crate::{
    cgroup::Group,
    runtime::{ContainerSetup, ContainerState, ExecSetup, Exit, Limits, PodState, Resize},
};

/// The pod.
pub(super) struct Pod {
    boot: Boot,
    /// The runtime's folder of the pod.
    pub(super) dir: PathBuf,
    /// The group of all containers.
    pub(super) group: Group,
    /// The shim's own.
    pub(super) home: Group,
    own_processes: File,
    /// The OCI runtime of its RuntimeClass; absent: the built-in one.
    pub(super) handler: Option<Handler>,
    /// The first process of the shared process namespace.
    pub(super) pause: Option<i32>,
    pub(super) containers: BTreeMap<String, Container>,
    /// The processes that somebody waits for.
    children: BTreeMap<i32, Role>,
}

/// What a process is to the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The first process of a container.
    Container(String),
    /// A command that a client waits for.
    Command { connection: u64 },
}

/// How long removal waits for killed processes.
const REMOVE_DEADLINE: Duration = Duration::from_secs(5);

impl Pod {
    pub(super) fn new(
        boot: Boot,
        dir: PathBuf,
        group: Group,
        home: Group,
        own_processes: File,
        handler: Option<Handler>,
        pause: Option<i32>,
    ) -> Self {
        Self {
            boot,
            handler,
            dir,
            group,
            home,
            own_processes,
            pause,
            containers: BTreeMap::new(),
            children: BTreeMap::new(),
        }
    }

    pub(super) fn state(&self) -> PodState {
        PodState {
            setup: self.boot.setup.clone(),
            ips: self.boot.ips.clone(),
            containers: self
                .containers
                .iter()
                .map(|(name, container)| (name.clone(), container.state.clone()))
                .collect(),
        }
    }

    /// Starts a container; one of that name that has ended makes room.
    pub(super) fn start(&mut self, setup: ContainerSetup) -> Result<ContainerState, Failure> {
        let name = setup.id.name.clone();
        if !plain(&name) {
            return Err(Failure::Unsupported(format!("{name:?} can't name a container")));
        }
        if let Some(old) = self.containers.get(&name) {
            if old.state.exit.is_none() {
                return Err(Failure::Unsupported(format!("container {name} is running")));
            }
            old.clear(self);
            self.containers.remove(&name);
        }
        let container = Container::start(self, setup)?;
        let state = container.state.clone();
        self.children.insert(state.pid, Role::Container(name.clone()));
        self.containers.insert(name, container);
        Ok(state)
    }

    /// A running container.
    pub(super) fn running(&mut self, name: &str) -> Result<&mut Container, Failure> {
        self.containers
            .get_mut(name)
            .filter(|container| container.state.exit.is_none())
            .ok_or_else(|| Failure::NotRunning(format!("container {name}")))
    }

    pub(super) fn signal(&mut self, name: &str, signal: i32) -> Result<(), Failure> {
        let pid = self.running(name)?.state.pid;
        if let (Some(handler), Some(container)) = (&self.handler, self.containers.get(name)) {
            return handler.signal(name, signal, &container.dir(self));
        }
        let unknown = || Failure::Unsupported(format!("there is no signal {signal}"));
        let signal = rustix::process::Signal::from_named_raw(signal).ok_or_else(unknown)?;
        let pid = Pid::from_raw(pid).ok_or_else(|| Failure::NotRunning(name.to_owned()))?;
        rustix::process::kill_process(pid, signal).map_err(|e| Failure::new("send the signal", e))
    }

    /// Changes limits. The pod as a whole first gets what is the larger of before and after, because none of its containers may have
    /// more than it.
    pub(super) fn resize(&mut self, resize: Resize) -> Result<(), Failure> {
        for (name, change) in &resize.containers {
            let container = self.running(name)?;
            let before = container.state.setup.limits.memory_bytes;
            let shrinks = |limit: &u64| before.is_none_or(|before| *limit < before);
            if let Some(limit) = change.limits.memory_bytes.filter(shrinks)
                && let Some(used) = container.group.memory_in_use().filter(|used| *used > limit)
            {
                return Err(Failure::Failed(format!(
                    "container {name} uses {used} bytes of memory, more than the new limit of {limit}"
                )));
            }
        }
        let roomy = self.boot.setup.limits.roomier(&resize.limits);
        self.limit(roomy)?;
        for (name, change) in resize.containers {
            let container = self.running(&name)?;
            let failed = |e: io::Error| Failure::new("limit the container", e);
            let setup = &container.state.setup;
            container.group.change_limits(&setup.limits, &change.limits).map_err(failed)?;
            let setup = &mut container.state.setup;
            (setup.limits, setup.annotations) = (change.limits, change.annotations);
        }
        self.limit(resize.limits)
    }

    fn limit(&mut self, limits: Limits) -> Result<(), Failure> {
        let failed = |e: io::Error| Failure::new("limit the pod", e);
        self.group.change_limits(&self.boot.setup.limits, &limits).map_err(failed)?;
        self.boot.setup.limits = limits;
        Ok(())
    }

    pub(super) fn exec(
        &mut self,
        name: &str,
        setup: &ExecSetup,
        connection: u64,
    ) -> Result<Running, Failure> {
        self.running(name)?;
        let Some(container) = self.containers.get(name) else {
            return Err(Failure::NotRunning(format!("container {name}")));
        };
        let target = Target {
            pid: container.state.pid,
            process: &container.process,
            group: &container.group,
            own_processes: &self.own_processes,
        };
        let running = match &self.handler {
            None => exec::exec(&target, setup)?,
            Some(handler) => {
                let groups = (&container.group, &self.home);
                let (process, dir) = (&container.process, container.dir(self));
                handler.exec(name, process, container.state.pid, setup, groups, &dir)?
            }
        };
        self.children.insert(running.pid, Role::Command { connection });
        Ok(running)
    }

    /// Ends the command that a client no longer waits for.
    pub(super) fn hung_up(&mut self, connection: u64) {
        for (pid, role) in &self.children {
            if *role == (Role::Command { connection }) {
                exec::kill(*pid);
            }
        }
        for container in self.containers.values_mut() {
            container.output.detach(connection);
        }
    }

    /// Takes every child that has ended, including orphans that were handed to us; answers those that somebody waits for, and whether
    /// any child is left.
    pub(super) fn reap(&mut self) -> (Vec<(Role, Exit)>, bool) {
        let mut ended = Vec::new();
        loop {
            let (pid, status) = match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(child)) => child,
                Ok(None) => return (ended, true),
                Err(_) => return (ended, false),
            };
            let Some(role) = self.children.remove(&pid.as_raw_nonzero().get()) else { continue };
            let mut exit = exit(status);
            if let Role::Container(name) = &role
                && let Some(container) = self.containers.get_mut(name)
            {
                exit = container.ended(exit);
            }
            ended.push((role, exit));
        }
    }

    /// Ends everything but the shim itself.
    pub(super) fn remove(&mut self) -> io::Result<Vec<(Role, Exit)>> {
        for container in self.containers.values() {
            container.group.send_kill()?;
        }
        for pid in self.children.keys().chain(&self.pause) {
            exec::kill(*pid);
        }
        let deadline = Instant::now() + REMOVE_DEADLINE;
        let mut all = Vec::new();
        loop {
            let (ended, left) = self.reap();
            all.extend(ended);
            if !left {
                break;
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("a process does not end"));
            }
            // Orphans have no descriptor to wait on.
            std::thread::sleep(Duration::from_millis(1));
        }
        for container in self.containers.values() {
            container.clear(self);
        }
        self.containers.clear();
        Ok(all)
    }
}

fn exit(status: WaitStatus) -> Exit {
    let signal = status.terminating_signal();
    let code = match signal {
        Some(signal) => 128 + signal,
        None => status.exit_status().unwrap_or(0),
    };
    Exit { code, signal, oom: false, at: Timestamp::now() }
}

/// Whether a name can be a folder and a group of ours.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
