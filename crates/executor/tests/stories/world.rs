//! An executor of a test, on a port and a data directory of its own. What it started ends with the test.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sandbank_executor::{
    Client,
    protocol::{Process, ProcessStatus, Task, TaskResult},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The program under test.
pub const EXECUTOR: &str = env!("CARGO_BIN_EXE_task-executor");

/// A machine that is this slow will not get there.
const DEADLINE: Duration = Duration::from_secs(60);

pub struct World {
    pub dir: TempDir,
    pub client: Client,
    pub address: SocketAddr,
    /// Lines on the executor's standard output.
    pub journal: Arc<Mutex<Vec<String>>>,
    program: Vec<String>,
    variables: Vec<(String, String)>,
    executor: Child,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[], &[]).await
    }

    /// With flags and variables.
    pub async fn with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::through(&[], flags, variables).await
    }

    /// Started by another program, which gets ours and its arguments as its last ones.
    pub async fn through(starter: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("tasks").display().to_string();
        let own = [EXECUTOR, "-listen-addr", "127.0.0.1:0", "-data-dir", &data];
        let program: Vec<String> =
            starter.iter().chain(&own).chain(flags).map(|word| (*word).to_owned()).collect();
        let variables: Vec<(String, String)> =
            variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let journal = Arc::default();
        let (executor, address) = start(&program, &variables, &journal).await;
        let client = Client::new(address).with_timeout(DEADLINE);
        Self { dir, client, address, journal, program, variables, executor }
    }

    /// Ends the executor as a crash would, without starting another.
    pub fn crash(&mut self) {
        self.executor.kill().expect("it runs");
        self.executor.wait().expect("it is ours");
    }

    /// Starts an executor on the same data directory.
    pub async fn start_again(&mut self) {
        let (executor, address) = start(&self.program, &self.variables, &self.journal).await;
        (self.executor, self.address) = (executor, address);
        self.client = Client::new(address).with_timeout(DEADLINE);
    }

    /// Asks the executor to end, and waits for its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        signal(self.pid(), "TERM");
        self.executor.wait().expect("it is ours").code()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.executor.id()).expect("a process number")
    }

    /// A path in the test's folder, which tasks may use.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn folder(&self, task: &str) -> PathBuf {
        self.dir.path().join("tasks").join(task)
    }

    /// Starts a shell script as the executor's only task.
    pub async fn run(&self, name: &str, script: &str) {
        let tasks = [shell(name, script)];
        self.client.set_tasks(&tasks).await.expect("it is accepted");
    }

    /// Waits until a task has ended.
    pub async fn end(&self, name: &str) -> TaskResult {
        let mut result = None;
        eventually("the task ends", async || {
            result = self.client.task(name).await.expect("it is there").result;
            result.is_some()
        })
        .await;
        result.expect("just seen")
    }

    /// Waits until a task runs.
    pub async fn running(&self, name: &str) {
        eventually("the task runs", async || {
            let task = self.client.task(name).await.expect("it is there");
            matches!(task.process_status, Some(ProcessStatus::Running(_)))
        })
        .await;
    }

    /// Removes all tasks and waits until they are gone.
    pub async fn clear(&self) {
        self.client.set_tasks(&[]).await.expect("it is accepted");
        eventually("no task is left", async || {
            self.client.tasks().await.expect("it answers").tasks.is_empty()
        })
        .await;
    }

    /// Sends bytes as they are, and answers what comes back until the connection ends.
    pub async fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    /// A request with a body, and the status and body of its answer.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let (status, answer) = self.raw(&request).await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    /// The number that a task has written into a file.
    pub async fn pid_in(&self, file: &str) -> i32 {
        let path = self.path(file);
        let mut pid = None;
        eventually("the task has written a number", async || {
            pid = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
            pid.is_some()
        })
        .await;
        pid.expect("just seen")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.executor.kill();
        let _ = self.executor.wait();
        for pid in processes() {
            let path =
                |what: &str| fs::read_link(format!("/proc/{pid}/{what}")).unwrap_or_default();
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let ours = self.marks().iter().any(|mark| contains(&variables, mark.as_bytes()));
            // A waiter stands in its task's folder.
            if ours || path("cwd").starts_with(self.dir.path()) {
                signal(pid, "KILL");
            }
        }
    }
}

impl World {
    /// What processes of this executor's tasks carry.
    fn marks(&self) -> BTreeSet<String> {
        let folders = fs::read_dir(self.dir.path().join("tasks")).into_iter().flatten().flatten();
        let records = folders.filter_map(|f| fs::read(f.path().join("task.json")).ok());
        let ids = records.filter_map(|text| {
            let record: serde_json::Value = serde_json::from_slice(&text).ok()?;
            Some(format!("SANDBANK_TASK_ID={}", record["id"].as_str()?))
        });
        ids.collect()
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

async fn start(
    program: &[String],
    variables: &[(String, String)],
    journal: &Arc<Mutex<Vec<String>>>,
) -> (Child, SocketAddr) {
    let mut child = Command::new(&program[0])
        .args(&program[1..])
        .envs(variables.iter().cloned())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the executor can be started");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let (found, address) = tokio::sync::oneshot::channel();
    let journal = journal.clone();
    std::thread::spawn(move || {
        let mut found = Some(found);
        for line in lines.map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening on ")
                && let Some(found) = found.take()
            {
                let text = rest.split(',').next().expect("an address");
                found.send(text.parse().expect("an address")).expect("it is waited for");
            }
            journal.lock().expect("nobody panicked").push(line);
        }
    });
    let address = tokio::time::timeout(DEADLINE, address).await.expect("in time");
    (child, address.expect("it says where it listens"))
}

/// A task that is a shell script.
pub fn shell(name: &str, script: &str) -> Task {
    task(name, &["sh", "-c", script])
}

pub fn task(name: &str, command: &[&str]) -> Task {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Task::new(name, Process { command, ..Process::default() })
}

/// Asks until it is so.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is there and is no zombie.
pub fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with(['Z', 'X']));
    state == Some(false)
}

/// The processes that stand in a folder.
pub fn standing_in(folder: &Path) -> Vec<i32> {
    let stands =
        |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder);
    processes().into_iter().filter(stands).collect()
}

fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("it is mounted").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Sends a signal to one process.
pub fn signal(pid: i32, name: &str) {
    // It may have ended in between.
    let _ = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
}
