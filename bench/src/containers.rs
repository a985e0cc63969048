//! Cold starts of real containers, each beside a bare process and a bare clone in namespaces, in turns: the machine's own speed varies
//! more than what is measured, so the ratios count.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use http::Method;
use node::net::{NetworkConfig, Outbound};
use node::runtime::{
    ContainerId, ContainerSetup, Limits, OciConfig, OciRuntime, PodId, PodMount, PodNetwork,
    PodSetup, Runtime as _,
};
use serde_json::{Value, json};

use crate::claims::alone;
use crate::figures::{Figures, Latencies, Unit};
use crate::stage::{PODS, Stage, sleeper};
use crate::up::{Runtime, scratch};
use crate::watchers::Watcher;

/// Starts of each kind.
const STARTS: usize = 30;

/// Claims of real, warm containers, one after another.
const CLAIMS: usize = 20;
/// The pool they are taken from.
const POOL: u32 = 3;

/// Everything about real containers. Needs root.
pub async fn measure() -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    starts(&mut figures).await?;

    let stage = Stage::binary(Runtime::Oci).await?;
    stage.template("real").await?;
    stage.full_pool("alone", "real", POOL).await?;
    alone(&mut figures, "real containers, TLS", &stage, CLAIMS, POOL).await?;
    stage.end().await?;
    // Of a claim's costs, those of the fake runtime are reported; real containers cost the controllers the same.
    figures.0.retain(|figure| figure.column != "for each claim");
    Ok(figures)
}

async fn starts(figures: &mut Figures) -> anyhow::Result<()> {
    let root = Root::make()?;
    let below = Below::open(&root).await?;
    let stage = Stage::binary(Runtime::Oci).await?;
    let caller = stage.caller().await?;
    let pods = Watcher::open(&caller, PODS).await?;
    let mut plain = Vec::new();
    let mut bare = Vec::new();
    let mut runtime = Vec::new();
    let mut pod = Vec::new();
    // The first of each pays for what is read from the disk once.
    for number in 0..=STARTS {
        plain.push(first_word(&mut Command::new("/bin/echo"))?);
        bare.push(first_word(
            Command::new("unshare")
                .args(["--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup"])
                .arg(format!("--root={}", root.path().display()))
                .arg("/bin/echo"),
        )?);
        runtime.push(below.start(number, &root).await?);

        let name = format!("cold-{number}");
        let object = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": sleeper(),
        });
        let arrival = pods.expect(&name);
        let asked = Instant::now();
        caller.create(PODS, &object).await?;
        pod.push(arrival.seen().await?.at.duration_since(asked));
        caller.call(Method::DELETE, &format!("{PODS}/{name}?gracePeriodSeconds=0"), "").await?;
        pods.until("the pod is gone", |scene| scene.present.is_empty()).await?;
    }
    drop(pods);
    stage.end().await?;
    below.close().await?;
    let of = |each: Vec<Duration>| Latencies::of(each.into_iter().skip(1).collect());
    let bare = of(bare);
    let rows = [
        ("plain fork and exec of echo, to its first word", of(plain)),
        ("bare clone: unshare(1) with 7 namespaces and a root, echo, to its first word", bare),
        ("OciRuntime: start_pod and start_container, answered", of(runtime)),
        ("pod: POST to Ready in a watch, TLS", of(pod)),
    ];
    let bare = rows[1].1.rank(50, Unit::Ms);
    for (row, latencies) in &rows {
        figures.add_latencies(row, latencies, Unit::Ms);
        figures.add(
            *row,
            "of a bare clone (p50)",
            latencies.rank(50, Unit::Ms) / bare,
            Unit::Times,
        );
    }
    Ok(())
}

/// Until a program has written something.
fn first_word(command: &mut Command) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let mut word = [0; 1];
    child.stdout.take().context("a pipe")?.read_exact(&mut word)?;
    let took = began.elapsed();
    child.wait()?;
    Ok(took)
}

/// A root file system of a few programs of this machine and their libraries.
struct Root(tempfile::TempDir);

impl Root {
    fn make() -> anyhow::Result<Self> {
        let folder = scratch()?;
        let root = folder.path();
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(name))?;
        }
        for program in ["echo", "sleep"] {
            let path = Path::new("/bin").join(program);
            fs::copy(&path, root.join("bin").join(program))?;
            let list = Command::new("ldd").arg(&path).output().context("ldd")?;
            let list = String::from_utf8_lossy(&list.stdout).into_owned();
            for library in list.split_whitespace().filter(|word| word.starts_with('/')) {
                let place = root.join(library.trim_start_matches('/'));
                fs::create_dir_all(place.parent().context("a library is in a folder")?)?;
                fs::copy(library, place)?;
            }
        }
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The runtime below the agent, in this process; the shims are this very binary.
struct Below {
    runtime: OciRuntime,
    folder: tempfile::TempDir,
}

impl Below {
    async fn open(root: &Root) -> anyhow::Result<Self> {
        let folder = scratch()?;
        let mut config = OciConfig::new(folder.path().join("pods"));
        config.group = format!("sandbank-bench-{}", std::process::id());
        config.network = NetworkConfig {
            bridge: "sb-bench".to_owned(),
            outbound: Outbound::Closed,
            ..NetworkConfig::default()
        };
        let runtime = OciRuntime::open(config).await?;
        anyhow::ensure!(root.path().is_dir(), "the root file system is there");
        Ok(Self { runtime, folder })
    }

    /// A pod with a network of its own and one container on an overlay; from nothing to the answer that it runs.
    async fn start(&self, number: usize, root: &Root) -> anyhow::Result<Duration> {
        let id = PodId(format!("below-{number}"));
        let dir = self.folder.path().join("pods").join(&id.0);
        let bundle = dir.join("main");
        for part in ["rootfs", "upper", "work", "logs"] {
            fs::create_dir_all(bundle.join(part))?;
        }
        fs::write(bundle.join("config.json"), config_json().to_string())?;
        let pod = pod_setup(&id, dir);
        let container = container_setup(&id, bundle, root);
        let asked = Instant::now();
        self.runtime.start_pod(pod).await?;
        self.runtime.start_container(container).await?;
        let took = asked.elapsed();
        self.runtime.remove_pod(&id).await?;
        Ok(took)
    }

    async fn close(self) -> anyhow::Result<()> {
        Ok(self.runtime.dismantle().await?)
    }
}

fn pod_setup(id: &PodId, dir: PathBuf) -> PodSetup {
    PodSetup {
        namespace: "default".to_owned(),
        name: id.0.clone(),
        hostname: "cold".to_owned(),
        dir,
        network: PodNetwork::Own,
        share_processes: false,
        limits: Limits::default(),
        mounts: Vec::new(),
        handler: None,
        id: id.clone(),
    }
}

fn container_setup(id: &PodId, bundle: PathBuf, root: &Root) -> ContainerSetup {
    let overlay = PodMount::Overlay {
        target: bundle.join("rootfs"),
        lower: vec![root.path().to_owned()],
        upper: bundle.join("upper"),
        work: bundle.join("work"),
    };
    ContainerSetup {
        id: ContainerId { pod: id.clone(), name: "main".to_owned() },
        attempt: 0,
        log: bundle.join("logs/0.log"),
        bundle,
        mounts: vec![overlay],
        tty: false,
        stdin: false,
        limits: Limits::default(),
        annotations: Default::default(),
    }
}

/// What the agent would write for a plain container, as far as it costs time.
fn config_json() -> Value {
    let mount = |at: &str, kind: &str, options: &[&str]| json!({"destination": at, "type": kind, "source": kind, "options": options});
    let namespaces: Vec<Value> = ["pid", "mount", "cgroup", "network", "ipc", "uts"]
        .map(|kind| json!({"type": kind}))
        .into();
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false, "user": {"uid": 0, "gid": 0}, "args": ["sleep", "3600"],
            "env": ["PATH=/bin"], "cwd": "/", "noNewPrivileges": true,
            "capabilities": {"bounding": [], "effective": [], "permitted": []},
        },
        "root": {"path": "rootfs", "readonly": false},
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "namespaces": namespaces,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
