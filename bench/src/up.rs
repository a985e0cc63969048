//! The real binary: `sandbank up` as a process, with what can be seen of it from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::caller::Caller;
use crate::stage::FAKE_START;

/// A server that is not ready by then will not be.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ticks of `/proc/PID/stat` in a second: the same on every Linux.
const TICKS: f64 = 100.0;

/// What starts its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Nothing: they are pretended.
    Fake,
    /// Real containers.
    Oci,
}

impl Runtime {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fake => "fake",
            Self::Oci => "oci",
        }
    }
}

/// A running `sandbank up`. Dropping it ends it and its pods.
pub struct Up {
    server: Child,
    /// Gone once `stop` gave it back.
    folder: Option<TempDir>,
    /// From the start of the process to its line that says it is ready.
    pub ready_after: Duration,
}

/// The binary beside this one.
pub fn binary() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("sandbank");
    anyhow::ensure!(
        path.exists(),
        "{} is not there; `make bench` builds it: cargo build --release -p sandbank",
        path.display()
    );
    Ok(path)
}

/// A fresh folder on the disk of the build: a store in memory would be no durable one.
pub fn scratch() -> anyhow::Result<TempDir> {
    let beside = std::env::current_exe()?;
    let beside = beside.parent().context("the program is in a folder")?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(beside).context("a folder to measure in")
}

impl Up {
    /// Starts it on a fresh folder and waits until it is ready.
    pub async fn start(runtime: Runtime) -> anyhow::Result<Self> {
        Self::start_in(runtime, scratch()?).await
    }

    /// Starts it on a folder and waits until it is ready.
    pub async fn start_in(runtime: Runtime, folder: TempDir) -> anyhow::Result<Self> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.path().join("server.log"))?;
        let mut command = Command::new(binary()?);
        command
            .args(["up", "--listen", "127.0.0.1:0", "--runtime", runtime.name()])
            .args(["--fake-delay", &FAKE_START.as_millis().to_string()])
            .arg("--data-dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let began = Instant::now();
        let mut server = command.spawn().context("start `sandbank up`")?;
        let output = server.stdout.take().context("its output is a pipe")?;
        let mut lines = BufReader::new(output).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains("is ready at") {
                    return anyhow::Ok(began.elapsed());
                }
            }
            let log = fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
            anyhow::bail!("`sandbank up` ended: {log}")
        };
        let ready_after =
            tokio::time::timeout(PATIENCE, ready).await.context("`sandbank up` is not ready")??;
        Ok(Self { server, folder: Some(folder), ready_after })
    }

    /// A client with connections of its own.
    pub async fn caller(&self) -> anyhow::Result<Caller> {
        let folder = self.folder.as_ref().context("the server has stopped")?;
        Caller::over_tls(&folder.path().join("kubeconfig")).await
    }

    /// Memory that it holds now, in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(self.proc("status")?)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        Ok(kib.context("VmRSS is a number of kB")? / 1024.0)
    }

    /// Processor time that it has used.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(self.proc("stat")?)?;
        // The name, in parentheses, may hold anything; the 14th and 15th field are counted from its end.
        let (_, rest) = text.rsplit_once(')').context("a name in parentheses")?;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS)
    }

    fn proc(&self, file: &str) -> anyhow::Result<PathBuf> {
        let pid = self.server.id().context("the server has ended")?;
        Ok(Path::new("/proc").join(pid.to_string()).join(file))
    }

    /// Stops the server and keeps its folder, for another start.
    pub async fn stop(mut self) -> anyhow::Result<TempDir> {
        if let Some(pid) = self.server.id().and_then(|pid| i32::try_from(pid).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.server.wait().await?;
        self.folder.take().context("it is stopped once")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Pods outlive their server on purpose; these end with it, also when a measurement fails.
        if let (Some(folder), Ok(binary)) = (&self.folder, binary()) {
            let ended = std::process::Command::new(binary)
                .args(["down", "--data-dir"])
                .arg(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !ended.is_ok_and(|status| status.success()) {
                // Nothing more can be done from here than to end the process itself.
                let _ = self.server.start_kill();
            }
        }
    }
}
