//! What a controller and an executor say to each other: JSON over HTTP, on port 5758 of the pod.
//!
//! The names, cases and meanings are an interface that other controllers and executors already speak. What is added here is optional in both
//! directions: a controller that does not know [`Task::result`] or [`VERSION_HEADER`] loses nothing, and one that does finds them absent when it talks to an executor
//! that does not have them.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// The port of every executor, unless it was told otherwise.
pub const PORT: u16 = 5758;

/// On answers that list tasks: changes whenever a state does. Sent back as `?version=`, it makes the next question wait for news.
pub const VERSION_HEADER: &str = "x-task-version";
/// On answers with output: the position of the first byte of the answer, counted from the task's first byte.
pub const OUTPUT_OFFSET_HEADER: &str = "x-output-offset";
/// On answers with output: where to go on reading.
pub const OUTPUT_NEXT_HEADER: &str = "x-output-next";
/// On answers with output: how much the task has written so far.
pub const OUTPUT_END_HEADER: &str = "x-output-end";

/// One task: what to run, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Unique in the executor; a known name is never started again.
    #[serde(default)]
    pub name: String,
    /// Part of the interface, never filled in answers: whoever deleted a task sees that it is still listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// What to run. Absent: a form of task that no executor implements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Part of the interface, and refused by every executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template_spec: Option<serde_json::Value>,
    /// How the process stands. Absent in what a controller sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_status: Option<ProcessStatus>,
    /// Part of the interface, and never filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_status: Option<serde_json::Value>,
    /// How it ended, in more words than [`Terminated`] has. Only executors of ours answer it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<TaskResult>,
}

impl Task {
    /// A task as a controller sends it.
    #[must_use]
    pub fn new(name: &str, process: Process) -> Self {
        Self { name: name.to_owned(), process: Some(process), ..Self::default() }
    }
}

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The program and its first arguments.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments after those of `command`.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables on top of those of the sandbox.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Absent or empty: where the sandbox's own process is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// After this many seconds the task is stopped and has failed. Absent or not positive: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
}

/// One variable. `valueFrom` is not resolved inside a pod: such a variable is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// The variable's name.
    pub name: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// How a process stands. Exactly one of the three is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProcessStatus {
    /// It has not begun.
    Waiting(Waiting),
    /// It runs.
    Running(Running),
    /// It has ended, or its time is up.
    Terminated(Terminated),
}

/// Why a process has not begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// `Pending`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Since when a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// In whole seconds, as everywhere in a status.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terminated {
    /// 0 is success. A signal is 128 and its number, as shells say it; 127 and 126 are a program that is not there or can't be run.
    #[serde(default)]
    pub exit_code: i32,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// One of [`reason`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// In whole seconds.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// In whole seconds.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
}

/// The reasons of a status: strings of the interface.
pub mod reason {
    /// The process has not begun.
    pub const PENDING: &str = "Pending";
    /// It ended with 0.
    pub const SUCCEEDED: &str = "Succeeded";
    /// It ended with anything else, or could not begin.
    pub const FAILED: &str = "Failed";
    /// Nobody knows how it ended.
    pub const CRASHED: &str = "ProcessCrashed";
    /// It ran for longer than it was allowed to.
    pub const TIMEOUT: &str = "TaskTimeout";
}

/// How a task ended. It is what a controller may count, retry on and show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskResult {
    /// As in [`Terminated::exit_code`].
    pub exit_code: i32,
    /// The signal that ended the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why it ended.
    pub end: End,
    /// Whose failure it is. Absent: nobody's, since it succeeded or was told to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Absent: it never ran. Finer than a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// Finer than a second.
    pub finished_at: Timestamp,
}

/// Why a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The process left with an exit code of its own.
    Exited,
    /// A signal ended it that the executor did not send.
    Signalled,
    /// Its time was up.
    TimedOut,
    /// It was deleted while it ran, or before.
    Stopped,
    /// The program is not there: exit code 127.
    NotFound,
    /// The program or its folder can't be used: exit code 126.
    NotExecutable,
    /// The sandbox's container could not be found or entered.
    SandboxUnreachable,
    /// The process that watched over the task is gone, and with it the exit code.
    Lost,
}

/// Whose failure it is, and so whether running it again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The task's own: the same task in another sandbox would end the same way.
    Task,
    /// The machinery's: the task was not at fault.
    Infrastructure,
}

impl TaskResult {
    /// The same in the words that every controller understands.
    #[must_use]
    pub fn terminated(&self) -> Terminated {
        let reason = match self.end {
            End::TimedOut => reason::TIMEOUT,
            End::Lost => reason::CRASHED,
            _ if self.exit_code == 0 => reason::SUCCEEDED,
            _ => reason::FAILED,
        };
        Terminated {
            exit_code: self.exit_code,
            signal: self.signal,
            reason: reason.to_owned(),
            message: self.message.clone(),
            started_at: self.started_at.map(whole_seconds),
            finished_at: Some(whole_seconds(self.finished_at)),
        }
    }
}

/// The time as a status shows it.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The text of the HTTP status, such as `Not Found`.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// The two streams of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in paths, queries and file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Go writes an empty list as null.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_one_of_three_objects() {
        let running: Task = serde_json::from_value(json!({
            "name": "t-0",
            "process": { "command": ["sleep"], "args": null, "env": [{ "name": "A", "valueFrom": {} }] },
            "processStatus": { "running": { "startedAt": "2026-01-02T03:04:05Z" } },
        }))
        .unwrap();
        assert_eq!(running.process.as_ref().unwrap().args, Vec::<String>::new());
        assert_eq!(running.process.as_ref().unwrap().env[0].value, "");
        let Some(ProcessStatus::Running(since)) = &running.process_status else { panic!() };
        assert_eq!(since.started_at.unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert_eq!(
            serde_json::to_value(&running.process_status).unwrap(),
            json!({ "running": { "startedAt": "2026-01-02T03:04:05Z" } })
        );
    }

    #[test]
    fn an_old_executor_s_answer_has_no_result_and_may_have_times_of_null() {
        let answer = json!([{ "name": "t-0", "process": { "command": ["true"] }, "processStatus":
            { "terminated": { "exitCode": 0, "reason": "Succeeded", "startedAt": null, "finishedAt": null } } }]);
        let tasks: Vec<Task> = serde_json::from_value(answer).unwrap();
        assert_eq!(tasks[0].result, None);
        let Some(ProcessStatus::Terminated(end)) = &tasks[0].process_status else { panic!() };
        assert_eq!((end.exit_code, end.finished_at), (0, None));
    }

    #[test]
    fn a_result_says_more_than_a_status() {
        let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let mut result = TaskResult {
            exit_code: 137,
            signal: Some(9),
            end: End::TimedOut,
            failure: Some(Failure::Task),
            message: "Task exceeded timeout of 1 seconds".to_owned(),
            started_at: None,
            finished_at: at,
        };
        let status = serde_json::to_value(result.terminated()).unwrap();
        assert_eq!(
            status,
            json!({ "exitCode": 137, "signal": 9, "reason": "TaskTimeout", "message": "Task exceeded timeout of 1 seconds",
                "startedAt": null, "finishedAt": "2026-01-02T03:04:05Z" })
        );
        for (end, code, word) in [
            (End::Exited, 0, "Succeeded"),
            (End::NotFound, 127, "Failed"),
            (End::Lost, 137, "ProcessCrashed"),
        ] {
            (result.end, result.exit_code) = (end, code);
            assert_eq!(result.terminated().reason, word);
        }
    }
}
