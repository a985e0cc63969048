//! A machine for a story: a folder, a network namespace and the programs that run in it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::remains::Remains;

/// Long enough for anything here on a busy machine. A story that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition in another process is looked at: often enough not to be felt, seldom enough not to be a load.
const LOOK: Duration = Duration::from_millis(50);

/// A folder, a network namespace, and what runs there.
pub struct Machine {
    /// Holds the network namespace until its input ends, so that it goes even if this process is killed.
    holder: Child,
    folder: TempDir,
    server: Option<Server>,
    /// Whether the data directory still has something to stop.
    used: bool,
}

/// A `sandbank up` that said it is ready.
struct Server {
    child: Child,
    address: String,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl Said {
    /// Its output, if all went well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// It must have ended with this code and have said all of this.
    #[track_caller]
    pub fn refused(self, code: i32, parts: &[&str]) -> String {
        let said = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is missing in: {said}");
        }
        said
    }
}

impl Machine {
    /// A machine on which nothing runs yet.
    pub fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these stories start real containers and need root"
        );
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "ip link set lo up && echo made && read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed");
        let mut made = String::new();
        let said = holder.stdout.as_mut().unwrap();
        BufReader::new(said).read_line(&mut made).unwrap();
        assert_eq!(made, "made\n", "a network namespace could not be made");
        Self { holder, folder: TempDir::new().unwrap(), server: None, used: false }
    }

    /// A machine with a server.
    pub fn with_server() -> Self {
        let mut machine = Self::new();
        machine.up(&[]);
        machine
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.path().join("kubeconfig")
    }

    /// The server's process.
    pub fn server_pid(&self) -> i32 {
        self.server.as_ref().expect("a server runs").child.id() as i32
    }

    /// `ADDR:PORT` of the server.
    pub fn address(&self) -> &str {
        &self.server.as_ref().expect("a server runs").address
    }

    /// A program inside the network namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg("--").arg(program);
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.path());
        command.env_remove("SANDBANK_DATA_DIR").env_remove("SANDBANK_LOG").stdin(Stdio::null());
        command
    }

    /// The command of a `sandbank up` with this data directory.
    pub fn up_command(&self, more: &[&str]) -> Command {
        let mut command = self.command(binary());
        command.arg("up").arg("--data-dir").arg(self.data());
        command.arg("--kubeconfig").arg(self.kubeconfig());
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(more);
        command
    }

    /// Starts the server and waits for its word that it is ready.
    pub fn up(&mut self, more: &[&str]) {
        assert!(self.server.is_none(), "a server runs already");
        self.used = true;
        let mut command = self.up_command(more);
        command.stdout(Stdio::piped()).stderr(self.log_file());
        let mut child = command.spawn().expect("nsenter is installed");
        let output = child.stdout.take().unwrap();
        self.server = Some(Server { child, address: String::new() });
        let line = first_line(output);
        let address = line
            .strip_prefix("sandbank is ready at https://")
            .and_then(|rest| rest.split(' ').next());
        let Some(address) = address else {
            panic!("the server did not start: {line}\n{}", self.log())
        };
        self.server.as_mut().unwrap().address = address.to_owned();
    }

    /// Where programs that run for long log to.
    pub fn log_file(&self) -> File {
        File::options().create(true).append(true).open(self.path().join("log")).unwrap()
    }

    /// What the servers of this machine have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Sends the server a signal and waits for its end.
    pub fn signal_server(&mut self, signal: rustix::process::Signal) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(self.server_pid()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        self.server_ended()
    }

    /// Waits for the end of the server.
    pub fn server_ended(&mut self) -> ExitStatus {
        let mut server = self.server.take().expect("a server runs");
        eventually_within(Duration::from_secs(20), "the end of the server", || {
            server.child.try_wait().unwrap()
        })
    }

    /// Runs a program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: &[S]) -> Said {
        finished(self.command(program).args(arguments))
    }

    pub fn sandbank(&self, line: &str) -> Said {
        self.run(binary(), &words(line))
    }

    /// The JSON answer of a verb that must succeed.
    #[track_caller]
    pub fn ask(&self, line: &str) -> Value {
        let out = self.sandbank(&format!("{line} -o json")).ok();
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{line}: {e} in: {out}"))
    }

    /// kubectl with the words of a line; `'one word'` may have spaces.
    pub fn kubectl(&self, line: &str) -> Said {
        self.run("kubectl", &words(line))
    }

    /// An object as JSON.
    #[track_caller]
    pub fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {what} -o json")).ok()).unwrap()
    }

    #[track_caller]
    pub fn apply(&self, yaml: &str) {
        finished_with(self.command("kubectl").args(["apply", "-f", "-"]), yaml).ok();
    }

    /// The output of a shell script in a pod.
    #[track_caller]
    pub fn exec(&self, pod: &str, script: &str) -> String {
        self.run("kubectl", &["exec", pod, "--", "sh", "-c", script]).ok().trim().to_owned()
    }

    #[track_caller]
    pub fn wait_ready(&self, pods: &str) {
        self.kubectl(&format!("wait {pods} --for=condition=Ready --timeout=60s")).ok();
    }

    /// How to find what the server and its pods have of this machine.
    pub fn remains(&self) -> Remains {
        Remains::of(&self.data(), self.holder.id() as i32)
    }

    /// `sandbank reset`, if there is something to reset.
    pub fn reset(&mut self) -> Option<Said> {
        if !std::mem::take(&mut self.used) || !self.data().join("server.lock").exists() {
            return None;
        }
        let said = finished(self.command(binary()).arg("reset").arg("--data-dir").arg(self.data()));
        if let Some(mut server) = self.server.take() {
            if said.code != 0 {
                let _ = server.child.kill();
            }
            let _ = server.child.wait();
        }
        Some(said)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let remains = self.remains();
        let said = self.reset();
        if let Some(mut server) = self.server.take() {
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
        let left = remains.wait_until_gone();
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
        if std::thread::panicking() {
            eprintln!("--- the log of the server:\n{}", self.log());
            eprintln!("--- reset: {said:?}; left: {left:?}");
            return;
        }
        if let Some(said) = said {
            assert_eq!(said.code, 0, "reset failed: {said:?}");
        }
        assert!(left.is_empty(), "left behind: {left:#?}\n{}", self.log());
    }
}

/// The binary that is built beside this test.
pub fn binary() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let binary = here.parent().and_then(Path::parent).unwrap().join("sandbank");
    assert!(
        binary.is_file(),
        "{} is missing: `cargo build -p sandbank` (or `make test`, or `cargo test --workspace`) builds it",
        binary.display()
    );
    binary
}

/// Runs a command to its end.
pub fn finished(command: &mut Command) -> Said {
    finished_with(command, "")
}

/// Runs a command with this input to its end, and stops it if it takes too long.
pub fn finished_with(command: &mut Command, input: &str) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is installed");
    let mut stdin = child.stdin.take().unwrap();
    // Who ends without reading its input has its reasons; its code and words are checked.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let out = gather(child.stdout.take().unwrap());
    let err = gather(child.stderr.take().unwrap());
    let deadline = Instant::now() + PATIENCE * 2;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{command:?} did not end");
            }
        }
    };
    let text = |bytes: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&bytes.join().unwrap()).into_owned()
    };
    Said { out: text(out), err: text(err), code: status.code().unwrap_or(-1) }
}

fn gather(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// The first line; the rest is read and dropped, so that the writer never waits for a reader.
fn first_line(output: impl Read + Send + 'static) -> String {
    let (tell, hear) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    hear.recv_timeout(PATIENCE).unwrap_or_default()
}

/// The words of a line; single quotes keep a word together.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Looks until there is an answer.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look)
}

/// Looks until there is an answer, at most for so long.
#[track_caller]
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {patience:?}");
        std::thread::sleep(LOOK);
    }
}

/// A program whose lines are read while it runs, such as a watch. It ends with its reader.
pub struct Listening {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub heard: Vec<String>,
}

impl Listening {
    pub fn to(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, heard: Vec::new() }
    }

    /// Sends it a signal and waits for its end.
    pub fn signal(&mut self, signal: rustix::process::Signal) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        eventually("the end of a program", || self.child.try_wait().unwrap())
    }

    /// Waits for a line, which stays in `heard` like all before it.
    #[track_caller]
    pub fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.heard.push(line);
                    if self.heard.last().is_some_and(|line| wanted(line)) {
                        return;
                    }
                }
                Err(e) => panic!("{what} was not heard ({e}): {:#?}", self.heard),
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
