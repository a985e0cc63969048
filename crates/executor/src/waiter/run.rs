//! A task from its start to its end.

use std::{
    ffi::OsString,
    io,
    os::unix::net::{UnixListener, UnixStream},
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::{WaitOptions, WaitStatus};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use super::{
    line::{Command, Event, Lines},
    outputs::Outputs,
    stop::{Progress, Stop},
};
use crate::{
    TASK_VARIABLE,
    namespaces::{self, Launch, LaunchError},
    processes::Identity,
    protocol::{End, Failure, Process, TaskResult},
    records::{Folder, Launched, Record},
    target::{self, Mode, Place},
};

/// A sandbox's container that restarts is back within seconds; one whose image is still being pulled may take a minute. A task for a sandbox that
/// never comes must end some time, so that it is counted.
const SANDBOX_DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks for the sandbox.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two looks whether the sandbox's container is still there. Whoever waits for a task in a container that ended waits this much longer.
const SANDBOX_EVERY: Duration = Duration::from_millis(500);
/// Between a timeout's request to end and force: the same as for a task that is deleted.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

const SANDBOX_GONE: &str = "the sandbox's container has ended";

/// Everything a waiter begins with.
pub(super) struct Setup<'a> {
    pub(super) folder: Folder,
    pub(super) record: Record,
    pub(super) mode: &'a Mode,
    pub(super) name: &'a str,
    pub(super) executor: UnixStream,
    pub(super) listener: UnixListener,
}

/// Runs the task and writes its result, then stays as long as somebody writes into its pipes.
pub(super) async fn run(setup: Setup<'_>) -> io::Result<()> {
    let mut lines = Lines::new(setup.executor, setup.listener)?;
    let mut children = signal(SignalKind::child())?;
    let process = setup.record.task.process.clone().unwrap_or_default();
    let (ended, outputs) = match find(setup.mode, setup.name, &mut lines).await {
        Err(end) => (end.at(None), None),
        Ok(place) => match start(&setup.folder, &setup.record.id, &process, &place)? {
            Err(end) => (end.at(None), None),
            Ok(mut running) => {
                lines.tell(Event::Running { since: running.since });
                let limit = process.timeout_seconds.and_then(|s| u64::try_from(s).ok());
                let id = &setup.record.id;
                let end = running
                    .watch(id, &place, limit.filter(|s| *s > 0), &mut lines, &mut children)
                    .await?;
                (end.at(Some(running.since)), Some(running.outputs))
            }
        },
    };
    setup.folder.write_result(&ended)?;
    lines.tell(Event::Ended { result: Box::new(ended) });
    drop(lines);
    // The task may have been removed meanwhile, and what was told stays true.
    let _ = setup.folder.sync_result();
    linger(outputs, &mut children).await;
    Ok(())
}

/// Children that a successful task left behind live on, and go on writing. Closing the pipe would end them.
async fn linger(outputs: Option<Outputs>, children: &mut Signal) {
    let Some(mut outputs) = outputs else { return };
    while !outputs.closed() {
        tokio::select! {
            () = outputs.pump() => {}
            _ = children.recv() => drop(reap(0)),
        }
    }
}

/// How it ended, before the times are known.
struct Ending {
    end: End,
    exit_code: i32,
    signal: Option<i32>,
    message: String,
}

impl Ending {
    fn new(end: End, exit_code: i32, message: impl Into<String>) -> Self {
        Self { end, exit_code, signal: None, message: message.into() }
    }

    fn at(self, started_at: Option<Timestamp>) -> TaskResult {
        let failure = match self.end {
            End::Stopped => None,
            End::SandboxUnreachable | End::Lost => Some(Failure::Infrastructure),
            _ if self.exit_code == 0 => None,
            _ => Some(Failure::Task),
        };
        TaskResult {
            exit_code: self.exit_code,
            signal: self.signal,
            end: self.end,
            failure,
            message: self.message,
            started_at,
            finished_at: Timestamp::now(),
        }
    }
}

impl From<LaunchError> for Ending {
    fn from(error: LaunchError) -> Self {
        let (end, code) = match &error {
            LaunchError::NotFound(_) => (End::NotFound, 127),
            LaunchError::NotExecutable { .. } | LaunchError::Folder { .. } => {
                (End::NotExecutable, 126)
            }
            LaunchError::Sandbox { .. } => (End::SandboxUnreachable, 126),
        };
        Self::new(end, code, error.to_string())
    }
}

/// Waits for the sandbox's container to be there.
async fn find(mode: &Mode, name: &str, lines: &mut Lines) -> Result<Place, Ending> {
    let deadline = Instant::now() + SANDBOX_DEADLINE;
    let mut told = None;
    loop {
        let why = match target::find(mode, name) {
            Ok(place) => return Ok(place),
            Err(why) => why,
        };
        if told.as_ref() != Some(&why) {
            lines.tell(Event::Waiting { message: why.clone() });
            told = Some(why.clone());
        }
        tokio::select! {
            Command::Stop { .. } = lines.next() => {
                // 143 is what a process that ends on request leaves.
                return Err(Ending::new(End::Stopped, 143, "stopped before it began"));
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if Instant::now() >= deadline {
            return Err(Ending::new(End::SandboxUnreachable, 126, why));
        }
    }
}

/// A process that was started.
struct Running {
    pid: i32,
    since: Timestamp,
    outputs: Outputs,
}

/// Starts the process. The outer error is ours: nothing was started, and nothing can be written.
fn start(
    folder: &Folder,
    id: &str,
    process: &Process,
    place: &Place,
) -> io::Result<Result<Running, Ending>> {
    let command: Vec<String> = process.command.iter().chain(&process.args).cloned().collect();
    let Some((program, arguments)) = command.split_first() else {
        return Ok(Err(Ending::new(End::NotFound, 127, "the task names no command")));
    };
    let environment = match environment(id, process, place) {
        Ok(environment) => environment,
        Err(e) => {
            let why = format!("read the sandbox's environment: {e}");
            return Ok(Err(Ending::new(End::SandboxUnreachable, 126, why)));
        }
    };
    let (outputs, ends) = Outputs::new(folder.path())?;
    let since = Timestamp::now();
    folder.write_intent(since)?;
    let launch = Launch {
        program,
        arguments,
        environment,
        folder: process.working_dir.as_deref(),
        place,
        stdout: ends.stdout,
        stderr: ends.stderr,
    };
    let child = match namespaces::start(launch) {
        Ok(child) => child,
        Err(e) => return Ok(Err(e.into())),
    };
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    // It can't be anybody else: it is our child and was not waited for.
    folder.write_launch(&Launched { at: since, process: Identity::of(pid) })?;
    Ok(Ok(Running { pid, since, outputs }))
}

fn environment(
    id: &str,
    process: &Process,
    place: &Place,
) -> io::Result<Vec<(OsString, OsString)>> {
    let mut all = match place {
        Place::Own => std::env::vars_os().collect(),
        Place::Beside(container) => container.environment()?,
    };
    // Later ones win.
    all.extend(process.env.iter().map(|one| (one.name.clone().into(), one.value.clone().into())));
    all.push((TASK_VARIABLE.into(), id.into()));
    // A name that no environment can hold is nobody's variable.
    all.retain(|(name, value)| {
        let name = name.as_encoded_bytes();
        !name.is_empty()
            && !name.iter().any(|b| matches!(b, 0 | b'='))
            && !value.as_encoded_bytes().contains(&0)
    });
    Ok(all)
}

impl Running {
    /// Waits for the end, whoever brings it about.
    async fn watch(
        &mut self,
        id: &str,
        place: &Place,
        limit_seconds: Option<u64>,
        lines: &mut Lines,
        children: &mut Signal,
    ) -> io::Result<Ending> {
        let deadline = limit_seconds
            .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        let mut sandbox = tokio::time::interval(SANDBOX_EVERY);
        let mut exit: Option<WaitStatus> = None;
        let mut stop: Option<(Stop, End)> = None;
        loop {
            // It may have ended before anybody listened to the signal.
            exit = exit.or(reap(self.pid));
            match (&mut stop, exit) {
                (None, Some(status)) => {
                    self.outputs.drain();
                    // Its files go with the container, and that is what such a task fails by.
                    let alone = code(status).0 != 0 && !place.still_there();
                    return Ok(match alone {
                        true => {
                            stopped(End::SandboxUnreachable, exit, limit_seconds, &Progress::Done)
                        }
                        false => natural(status),
                    });
                }
                (Some((stop, why)), status) => {
                    let progress = stop.look(id)?;
                    let over = match progress {
                        Progress::Going => false,
                        // Its exit code comes in a moment.
                        Progress::Done => status.is_some(),
                        Progress::Stuck(_) => true,
                    };
                    if over {
                        self.outputs.drain();
                        return Ok(stopped(*why, status, limit_seconds, &progress));
                    }
                }
                (None, None) => {}
            }
            let look = stop.as_ref().map(|(stop, _)| stop.next_look());
            tokio::select! {
                _ = children.recv() => {
                    if let Some((stop, _)) = &mut stop {
                        stop.hurry();
                    }
                }
                () = self.outputs.pump() => {}
                Command::Stop { grace_millis } = lines.next() => {
                    if stop.is_none() {
                        stop = Some((Stop::begin(id, Duration::from_millis(grace_millis))?, End::Stopped));
                    }
                }
                () = until(deadline), if stop.is_none() => {
                    let message = exceeded(limit_seconds);
                    lines.tell(Event::TimedOut { since: self.since, at: Timestamp::now(), message });
                    stop = Some((Stop::begin(id, GRACE)?, End::TimedOut));
                }
                _ = sandbox.tick(), if stop.is_none() => {
                    // A container's processes end with it. This one is not the container's to the kernel, so it is ended here.
                    if !place.still_there() {
                        stop = Some((Stop::begin(id, GRACE)?, End::SandboxUnreachable));
                    }
                }
                () = until(look) => {}
            }
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn exceeded(limit_seconds: Option<u64>) -> String {
    format!("Task exceeded timeout of {} seconds", limit_seconds.unwrap_or_default())
}

/// Takes the exit codes of all that have ended, and answers that of the process `main`.
fn reap(main: i32) -> Option<WaitStatus> {
    let mut found = None;
    // An error is that there are no children.
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == main {
            found = Some(status);
        }
    }
    found
}

/// The exit code, as shells say it, and the signal.
fn code(status: WaitStatus) -> (i32, Option<i32>) {
    match status.terminating_signal() {
        Some(signal) => (128 + signal, Some(signal)),
        None => (status.exit_status().unwrap_or_default(), None),
    }
}

fn natural(status: WaitStatus) -> Ending {
    let (exit_code, signal) = code(status);
    let (end, message) = match signal {
        Some(9) => {
            (End::Signalled, "killed, not by the executor; perhaps for lack of memory".to_owned())
        }
        Some(signal) => (End::Signalled, format!("ended by signal {signal}")),
        None if exit_code == 0 => (End::Exited, String::new()),
        None => (End::Exited, format!("exit code {exit_code}")),
    };
    Ending { end, exit_code, signal, message }
}

fn stopped(
    why: End,
    status: Option<WaitStatus>,
    limit_seconds: Option<u64>,
    progress: &Progress,
) -> Ending {
    let (exit_code, signal) = status.map_or((137, None), code);
    let (exit_code, message) = match why {
        // One number for every timeout, also when the process made a good end of it.
        End::TimedOut => (137, exceeded(limit_seconds)),
        End::SandboxUnreachable if exit_code == 0 => (137, SANDBOX_GONE.to_owned()),
        End::SandboxUnreachable => (exit_code, SANDBOX_GONE.to_owned()),
        _ => (exit_code, "stopped on request".to_owned()),
    };
    let mut ending = Ending { end: why, exit_code, signal, message };
    if let Progress::Stuck(left) = progress {
        ending.message = format!("{}; {left} processes could not be ended", ending.message);
    }
    ending
}
