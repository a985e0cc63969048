//! Follows one task from when it is known to when it is gone: finds or starts its waiter, listens, and never starts a task twice.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{net::UnixStream as StdStream, process::CommandExt},
    },
    process::{Command as Program, Stdio},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

use super::{
    options::TOKEN_VARIABLE,
    tasks::{State, Tasks},
};
use crate::{
    TASK_VARIABLE, processes,
    protocol::{End, Failure, TaskResult},
    records::{Folder, Launched, SOCKET, Standing},
    waiter::{self, Command, Event},
};

/// Between the request to end and force, as every controller of this kind expects it.
const GRACE: Duration = Duration::from_secs(10);
/// A waiter that ends before it has launched anything was not able to; it is tried again in case it was short of memory for a moment.
const STARTS: u32 = 3;
/// A waiter that has its lock opens its socket in microseconds.
const CALL_PAUSE: Duration = Duration::from_millis(20);
/// After this many calls a waiter is there and does not answer. The task goes on, and is only seen when it ends.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// What an abandoned task left is ended at once; this long is looked for more.
const CLEAN_ROUNDS: u32 = 40;

/// The task, and who is told.
pub(super) struct Subject {
    pub(super) tasks: Tasks,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) folder: Folder,
    /// Rings once when the task is to go.
    pub(super) delete: Arc<Notify>,
}

/// Whether the task is to go, once that was heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

/// Does all of it.
pub(super) async fn follow(subject: Subject) {
    let Subject { tasks, name, folder, delete, .. } = &subject;
    let mut wanted = Wanted::Yes;
    let result = match subject.until_end(&mut wanted).await {
        Ok(result) => result,
        Err(e) => {
            tasks.journal().say(format_args!("task {name}: {e}"));
            lost(format!("its files can't be read or written: {e}"), None)
        }
    };
    tasks.journal().say(format_args!("task {name}: {}", describe(&result)));
    tasks.set_state(name, State::Ended(result));
    if wanted == Wanted::Yes {
        delete.notified().await;
    }
    if let Err(e) = folder.remove() {
        tasks.journal().say(format_args!("task {name}: remove its folder: {e}"));
    }
    tasks.forget(name);
    tasks.journal().say(format_args!("task {name}: removed"));
}

fn describe(result: &TaskResult) -> String {
    let message = match (result.end, result.message.as_str()) {
        (_, "") | (End::Exited, _) => String::new(),
        (_, message) => format!(": {message}"),
    };
    format!("ended, {:?}, exit code {}{message}", result.end, result.exit_code)
}

fn lost(message: String, since: Option<Timestamp>) -> TaskResult {
    TaskResult {
        // What a process leaves that was killed, which is the likeliest.
        exit_code: 137,
        signal: None,
        end: End::Lost,
        failure: Some(Failure::Infrastructure),
        message,
        started_at: since,
        finished_at: Timestamp::now(),
    }
}

fn unbegun() -> TaskResult {
    TaskResult {
        // What a process leaves that ends on request.
        exit_code: 143,
        signal: None,
        end: End::Stopped,
        failure: None,
        message: "stopped before it began".to_owned(),
        started_at: None,
        finished_at: Timestamp::now(),
    }
}

impl Subject {
    async fn until_end(&self, wanted: &mut Wanted) -> io::Result<TaskResult> {
        let mut starts = 0;
        loop {
            let line = match self.folder.standing()? {
                Standing::Ended(result) => return Ok(*result),
                Standing::Abandoned(launched) => return self.give_up(launched).await,
                Standing::Attended => self.call().await,
                Standing::New => {
                    // One that was never started need not be.
                    if self.tasks.to_go(&self.name) {
                        *wanted = Wanted::No;
                        return self.conclude(unbegun());
                    }
                    if starts == STARTS {
                        let message = "its waiter could not be started".to_owned();
                        return self.conclude(lost(message, None));
                    }
                    starts += 1;
                    self.spawn()
                }
            };
            match line {
                Ok(line) => {
                    if let Some(result) = self.listen(line, wanted).await {
                        return Ok(result);
                    }
                    // It is gone, and its files say the rest; or it speaks another version's language, and is asked again.
                    tokio::time::sleep(CALL_PAUSE).await;
                }
                Err(e) => {
                    let Self { tasks, name, .. } = self;
                    tasks.journal().say(format_args!("task {name}: reach its waiter: {e}"));
                    tokio::time::sleep(LOOK_PAUSE).await;
                }
            }
        }
    }

    /// Starts a waiter. What it does is not waited for here.
    fn spawn(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        let settings = self.tasks.settings();
        // The program that runs now, also if its file was replaced. It is not waited for: the executor takes the exit codes of all its children.
        Program::new("/proc/self/exe")
            .arg0("task-waiter")
            .args(waiter::arguments(&settings.mode, &settings.main_container))
            .current_dir(self.folder.path())
            .env_remove(TOKEN_VARIABLE)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()?;
        UnixStream::from_std(ours)
    }

    /// Calls a waiter that an executor before has started.
    async fn call(&self) -> io::Result<UnixStream> {
        // A socket's path is limited to 108 bytes, and this way it is short.
        let folder = File::open(self.folder.path())?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        if let Ok(line) = UnixStream::connect(&path).await {
            return Ok(line);
        }
        tokio::time::sleep(CALL_PAUSE).await;
        UnixStream::connect(&path).await
    }

    /// Passes on what the waiter tells, until it has told the end or is gone.
    async fn listen(&self, line: UnixStream, wanted: &mut Wanted) -> Option<TaskResult> {
        let (read, mut write) = line.into_split();
        let mut events = BufReader::new(read).lines();
        if *wanted == Wanted::No {
            stop(&mut write).await;
        }
        loop {
            tokio::select! {
                event = next(&mut events) => match event? {
                    Event::Ended { result } => return Some(*result),
                    Event::Waiting { message } => {
                        self.say(format_args!("waiting: {message}"));
                        self.tasks.set_state(&self.name, State::Waiting(message));
                    }
                    Event::Running { since } => {
                        self.say(format_args!("running"));
                        self.tasks.set_state(&self.name, State::Running(since));
                    }
                    Event::TimedOut { since, at, message } => {
                        self.say(format_args!("stopping: {message}"));
                        self.tasks.set_state(&self.name, State::TimedOut { since, at, message });
                    }
                },
                () = self.delete.notified(), if *wanted == Wanted::Yes => {
                    *wanted = Wanted::No;
                    self.say(format_args!("stopping"));
                    stop(&mut write).await;
                }
            }
        }
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        self.tasks.journal().say(format_args!("task {}: {what}", self.name));
    }

    /// The waiter is gone and has not written how the task ended. The task is not run again: it may have done anything by now.
    async fn give_up(&self, launched: Option<Launched>) -> io::Result<TaskResult> {
        let mark = (TASK_VARIABLE, self.id.as_str());
        // Its own process, if the number still means it, and what carries the mark. Nobody else can be told from a stranger any more.
        let since = launched.as_ref().map(|launched| launched.at);
        let main =
            launched.and_then(|launched| launched.process).filter(processes::Identity::alive);
        for _ in 0..CLEAN_ROUNDS {
            let mut left = processes::tree(main.as_ref().map_or(0, |main| main.pid), mark)?;
            if main.is_none() {
                left.retain(|pid, _| processes::has_variable(*pid, mark.0, mark.1));
            }
            if let Some(main) = main.as_ref().filter(|main| main.alive())
                && let Some(stat) = processes::Stat::of(main.pid)
            {
                left.insert(main.pid, stat);
            }
            if left.is_empty() {
                break;
            }
            for (pid, stat) in &left {
                processes::signal(*pid, stat, Signal::KILL);
            }
            tokio::time::sleep(CALL_PAUSE).await;
        }
        let message = "Process exited without writing exit code".to_owned();
        self.conclude(lost(message, since))
    }

    fn conclude(&self, result: TaskResult) -> io::Result<TaskResult> {
        self.folder.write_result(&result)?;
        Ok(result)
    }
}

async fn next(events: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Event> {
    let line = events.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

async fn stop(line: &mut OwnedWriteHalf) {
    let grace_millis = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
    let mut text = serde_json::to_vec(&Command::Stop { grace_millis }).unwrap_or_default();
    text.push(b'\n');
    // A waiter that is gone is noticed by whoever listens to it.
    let _ = line.write_all(&text).await;
}
