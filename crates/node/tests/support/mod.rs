//! A machine for tests: a network namespace of its own, a root file system made from this machine's shell, and everything gone afterwards.

#![allow(dead_code, reason = "each test program uses its part")]

mod root;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    ops::Deref,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::thread::UnshareFlags;
use sandbank_node::{
    net::{NetworkConfig, Outbound},
    runtime::{
        ContainerId, ContainerSetup, ExecSetup, Exit, Limits, OciConfig, OciRuntime, PodId,
        PodNetwork, PodSetup, Runtime, RuntimeEvent, Streams,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

/// A place to run pods.
pub struct Machine {
    pub runtime: Agent,
    pub events: mpsc::UnboundedReceiver<RuntimeEvent>,
    pub dir: PathBuf,
    config: OciConfig,
    network: File,
    started: BTreeSet<PodId>,
    /// Removes the folder last.
    _folder: Option<tempfile::TempDir>,
}

/// A runtime, until it is forgotten.
pub struct Agent(Option<OciRuntime>);

impl Deref for Agent {
    type Target = OciRuntime;

    fn deref(&self) -> &OciRuntime {
        self.0.as_ref().expect("the test has not forgotten it")
    }
}

impl Machine {
    pub async fn new() -> Self {
        Self::prepared(0).await
    }

    /// With some network namespaces prepared.
    pub async fn prepared(prepared: usize) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests start real containers and need root"
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().to_owned();
        let network = fresh_network();
        let mut config = OciConfig::new(dir.join("pods"));
        config.program = env!("CARGO_BIN_EXE_sandbank-shim").into();
        config.group = format!("sandbank-test-{}-{}", std::process::id(), serial());
        config.network = NetworkConfig {
            host: Some(format!("/proc/self/fd/{}", network.as_raw_fd()).into()),
            outbound: Outbound::Closed,
            prepared,
            ..NetworkConfig::default()
        };
        let runtime = OciRuntime::open(config.clone()).await.expect("this machine runs containers");
        let events = runtime.events();
        let started = BTreeSet::new();
        let runtime = Agent(Some(runtime));
        Self { runtime, events, dir, config, network, started, _folder: Some(folder) }
    }

    /// The agent is gone: nothing watches the pods any more.
    pub fn forget(&mut self) {
        self.runtime.0 = None;
    }

    /// Opens the runtime again, as a new process would.
    pub async fn restart(&mut self) {
        self.forget();
        let runtime = OciRuntime::open(self.config.clone()).await;
        self.runtime = Agent(Some(runtime.expect("it opened before")));
        self.events = self.runtime.events();
    }

    pub fn pod(&mut self) -> PodSetup {
        let id = PodId(format!("pod-{}", serial()));
        self.started.insert(id.clone());
        let dir = self.dir.join("pods").join(&id.0);
        fs::create_dir_all(&dir).expect("a fresh folder");
        PodSetup {
            namespace: "default".to_owned(),
            name: id.0.clone(),
            hostname: "testpod".to_owned(),
            dir,
            network: PodNetwork::Own,
            share_processes: false,
            limits: Limits::default(),
            mounts: Vec::new(),
            handler: None,
            id,
        }
    }

    /// A container that runs a shell script on the test's root file system.
    pub fn container(&self, pod: &PodSetup, name: &str, script: &str) -> ContainerSetup {
        self.container_of(pod, name, &["sh", "-c", script], |_| {})
    }

    pub fn container_of(
        &self,
        pod: &PodSetup,
        name: &str,
        arguments: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> ContainerSetup {
        let bundle = pod.dir.join("bundle").join(name);
        fs::create_dir_all(&bundle).expect("a fresh folder");
        let mut spec = config_json(arguments);
        change(&mut spec);
        fs::write(bundle.join("config.json"), spec.to_string()).expect("writable");
        for layer in ["upper", "work", "rootfs"] {
            fs::create_dir_all(bundle.join(layer)).expect("a fresh folder");
        }
        let root = sandbank_node::runtime::PodMount::Overlay {
            target: bundle.join("rootfs"),
            lower: vec![root::folder().to_owned()],
            upper: bundle.join("upper"),
            work: bundle.join("work"),
        };
        ContainerSetup {
            id: ContainerId { pod: pod.id.clone(), name: name.to_owned() },
            attempt: 0,
            log: pod.dir.join("logs").join(name).join("0.log"),
            bundle,
            mounts: vec![root],
            tty: spec["process"]["terminal"] == json!(true),
            stdin: false,
            limits: Limits::default(),
            annotations: BTreeMap::new(),
        }
    }

    /// Every process of every pod.
    pub fn processes(&self) -> Vec<i32> {
        let group = sandbank_node::cgroup::Group::base(&self.config.group);
        group.expect("it was made before").processes()
    }

    /// Waits until the container ends.
    pub async fn exit(&mut self, id: &ContainerId) -> Exit {
        let wait = async {
            loop {
                match self.events.recv().await.expect("the runtime lives") {
                    RuntimeEvent::Exited(who, exit) if who == *id => return exit,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the container ends")
    }

    /// Runs a shell script in a container to its end.
    pub async fn run(&self, id: &ContainerId, script: &str) -> (String, String, Exit) {
        let setup = ExecSetup {
            argv: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            env: BTreeMap::new(),
            tty: false,
            stdin: false,
        };
        let streams = self.runtime.exec(id, setup).await.expect("the container runs");
        outcome(streams, "").await
    }

    /// Whether a runtime of this machine is set up.
    pub fn has_traces(&self) -> bool {
        OciRuntime::left_traces(&self.config)
    }

    /// Removes every pod that the test made, and the runtime; answers whether traces are left.
    pub async fn clear(mut self) -> bool {
        for id in std::mem::take(&mut self.started) {
            self.runtime.remove_pod(&id).await.expect("the pod can be removed");
        }
        self.runtime.dismantle().await.expect("nothing is left");
        self.has_traces()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A failed test: the shims are in the tree of groups, and so is all they started.
        if self.has_traces()
            && let Ok(group) = sandbank_node::cgroup::Group::base(&self.config.group)
        {
            let _ = group.kill();
            let _ = group.remove();
        }
    }
}

pub async fn outcome(mut streams: Streams, input: &str) -> (String, String, Exit) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut stdin = streams.stdin.take();
    let (mut stdout, mut stderr) = (streams.stdout.take(), streams.stderr.take());
    let pipes = stderr.is_some();
    let write = async {
        if let Some(stdin) = &mut stdin {
            stdin.write_all(input.as_bytes()).await.expect("the command reads");
        }
        if pipes {
            drop(stdin.take());
        }
    };
    let both = async {
        let read_out = async {
            if let Some(stdout) = &mut stdout {
                stdout.read_to_end(&mut out).await.expect("the command writes");
            }
        };
        let read_err = async {
            if let Some(stderr) = &mut stderr {
                stderr.read_to_end(&mut err).await.expect("the command writes");
            }
        };
        let ((), (), exit) = tokio::join!(read_out, read_err, streams.exit);
        exit.expect("the command ends")
    };
    let all = async { tokio::join!(write, both).1 };
    let exit = tokio::time::timeout(Duration::from_secs(20), all).await.expect("it ends in time");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(out), text(err), exit)
}

/// Polls until the condition holds; what is waited for is done by another process.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The text of a log file without times.
pub fn log_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_terminator('\n')
        .filter_map(|line| line.split_once(' '))
        .map(|(_, rest)| rest.to_owned())
        .collect()
}

fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn fresh_network() -> File {
    let thread = std::thread::spawn(|| {
        // SAFETY: only CLONE_NEWNET, on a thread that ends right after.
        #[allow(unsafe_code)]
        unsafe {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNET).expect("root may");
        }
        File::open("/proc/thread-self/ns/net").expect("every thread has one")
    });
    thread.join().expect("the thread does not panic")
}

fn config_json(arguments: &[&str]) -> Value {
    let capabilities = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE"
    ]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": arguments,
            "env": ["PATH=/bin", "GREETING=hello"],
            "cwd": "/tmp",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities
            },
            "noNewPrivileges": false
        },
        "root": { "path": "rootfs", "readonly": false },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "ro"] }
        ],
        "linux": {
            "namespaces": [
                { "type": "pid" }, { "type": "mount" }, { "type": "cgroup" }, { "type": "network" },
                { "type": "ipc" }, { "type": "uts" }
            ],
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
