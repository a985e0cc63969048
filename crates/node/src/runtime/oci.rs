//! Real containers: one shim process for each pod.
//!
//! This side keeps almost nothing: which pods there are, where their sockets are and what they hold on the machine. Everything else the
//! shims know, so that an agent that was killed finds all of it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::mpsc};

use super::{
    ContainerId, ContainerSetup, ContainerState, ExecSetup, Holdings, PodId, PodNetwork, PodSetup,
    PodState, Resize, Runtime, RuntimeError, RuntimeEvent, Streams,
    call::{self, Answer, Replies, blocking, failed, unexpected},
    holdings,
    program::Program,
    spawn,
};
use crate::{
    cgroup::Group,
    net::{Network, NetworkConfig},
    shim::protocol::{Reply, Request},
};

/// Where pods live on this machine.
#[derive(Clone, Debug)]
pub struct OciConfig {
    /// The folder of the pods' folders: each [`PodSetup::dir`] is directly below it.
    pub pods: PathBuf,
    /// The program that becomes a shim (it must call [`crate::shim::main`] first thing); normally `/proc/self/exe`.
    pub program: PathBuf,
    /// The name of our tree of control groups below the group of this process.
    pub group: String,
    /// The pods' network.
    pub network: NetworkConfig,
}

impl OciConfig {
    /// The usual way, for pods below `pods`.
    #[must_use]
    pub fn new(pods: PathBuf) -> Self {
        Self {
            pods,
            program: PathBuf::from("/proc/self/exe"),
            group: "sandbank".to_owned(),
            network: NetworkConfig::default(),
        }
    }
}

/// Runs pods as processes of this machine.
pub struct OciRuntime {
    shared: Arc<Shared>,
    events: Mutex<Option<mpsc::UnboundedReceiver<RuntimeEvent>>>,
}

struct Shared {
    config: OciConfig,
    program: Arc<Program>,
    groups: Group,
    network: Network,
    pods: Mutex<BTreeMap<PodId, Pod>>,
    tell: mpsc::UnboundedSender<RuntimeEvent>,
}

/// What a pod holds on the machine.
struct Pod {
    dir: PathBuf,
    group: Group,
    /// Its own address, to be given back.
    ip: Option<Ipv4Addr>,
    /// The shim, if this process started it: then it has to be waited for.
    child: Option<Child>,
}

impl OciRuntime {
    /// Makes ready for pods, and finds those that an earlier process of ours left running. What is left of pods whose shim is
    /// gone is ended and removed.
    ///
    /// # Errors
    /// If the machine lacks what pods need: privileges, control groups, a network.
    pub async fn open(config: OciConfig) -> Result<Self, RuntimeError> {
        if !config.pods.is_absolute() {
            let reason = format!("the folder of pods {} is not absolute", config.pods.display());
            return Err(RuntimeError::Unsupported(reason));
        }
        let (tell, events) = mpsc::unbounded_channel();
        let scanned = config.clone();
        let program = Program::new(&config.program).map_err(|e| failed("find the shim", e))?;
        let program = Arc::new(program);
        let (groups, found) = blocking(move || scan(&scanned)).await?;
        let used: BTreeSet<Ipv4Addr> = found.iter().filter_map(|pod| pod.ip).collect();
        let network = config.network.clone();
        let network = blocking(move || {
            Network::start(network, used).map_err(|e| failed("set up the pod network", e))
        })
        .await?;
        let pods = Mutex::new(BTreeMap::new());
        let shared = Arc::new(Shared { config, program, groups, network, pods, tell });
        for found in found {
            let pod = Pod { dir: found.dir, group: found.group, ip: found.ip, child: None };
            shared.pods.lock().insert(found.id.clone(), pod);
            shared.watch(found.id, found.replies)?;
        }
        Ok(Self { shared, events: Mutex::new(Some(events)) })
    }

    /// Whether a runtime of this configuration was ever opened and not dismantled since.
    #[must_use]
    pub fn left_traces(config: &OciConfig) -> bool {
        Group::base_exists(&config.group)
    }

    /// Removes what is left when the last pod is gone: the bridge and the tree of control groups.
    ///
    /// # Errors
    /// If pods are left.
    pub async fn dismantle(&self) -> Result<(), RuntimeError> {
        if !self.shared.pods.lock().is_empty() {
            return Err(RuntimeError::Unsupported("there are pods left".to_owned()));
        }
        self.shared.network.dismantle().await.map_err(|e| failed("remove the bridge", e))?;
        let groups = self.shared.groups.clone();
        blocking(move || groups.remove().map_err(|e| failed("remove the control groups", e))).await
    }

    /// What our pods hold on the machine.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn holdings(&self) -> Result<Holdings, RuntimeError> {
        let broken = |e| failed("count what pods hold", e);
        let interfaces = self.shared.network.interfaces().await.map_err(broken)?;
        let (groups, pods) = (self.shared.groups.clone(), self.shared.config.pods.clone());
        let rest = blocking(move || holdings::count(&groups, &pods).map_err(broken)).await?;
        Ok(Holdings { interfaces, ..rest })
    }

    /// Asks the pod's shim, off the async threads.
    async fn ask(&self, pod: &PodId, request: Request) -> Result<Answer, RuntimeError> {
        let dir = self.shared.pods.lock().get(pod).map(|pod| pod.dir.clone());
        let dir = dir.ok_or_else(|| RuntimeError::NotRunning(format!("pod {}", pod.0)))?;
        blocking(move || call::ask(&dir, &request)).await
    }
}

/// A pod that an earlier process of ours left running.
struct Found {
    id: PodId,
    dir: PathBuf,
    group: Group,
    ip: Option<Ipv4Addr>,
    replies: std::os::unix::net::UnixStream,
}

fn scan(config: &OciConfig) -> Result<(Group, Vec<Found>), RuntimeError> {
    let groups = Group::base(&config.group).map_err(|e| failed("make the control groups", e))?;
    crate::private::folder(&config.pods).map_err(|e| failed("make the folder of pods", e))?;
    let entries = fs::read_dir(&config.pods).map_err(|e| failed("read the folder of pods", e))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let dir = entry.path().join("runtime");
        if !dir.is_dir() {
            continue;
        }
        match adopt(&dir) {
            Ok(pod) => found.push(pod),
            Err(RuntimeError::NotRunning(_)) => {
                tracing::warn!(pod = %entry.path().display(), "remove what a dead shim left");
                spawn::clean(&dir).map_err(|e| failed("remove what a dead shim left", e))?;
            }
            // It lives and can't be understood: ending a pod for that would be worse than not starting.
            Err(e) => return Err(e),
        }
    }
    Ok((groups, found))
}

fn adopt(dir: &Path) -> Result<Found, RuntimeError> {
    let answer = call::ask(dir, &Request::Watch)?;
    let group = spawn::recorded_group(dir).map_err(|e| failed("read a pod's record", e))?;
    let Reply::State(state) = answer.reply else { return Err(unexpected()) };
    Ok(Found {
        id: state.setup.id.clone(),
        dir: dir.to_owned(),
        group,
        ip: own_address(&state.ips),
        replies: answer.socket,
    })
}

fn own_address(ips: &[IpAddr]) -> Option<Ipv4Addr> {
    ips.iter().find_map(|ip| match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    })
}

impl Shared {
    /// Passes on what a pod's shim tells, until it is gone.
    fn watch(
        self: &Arc<Self>,
        id: PodId,
        socket: std::os::unix::net::UnixStream,
    ) -> Result<(), RuntimeError> {
        let mut replies = Replies::new(socket).map_err(|e| failed("watch the pod", e))?;
        // Not the other way round: the task must not keep the runtime alive.
        let shared = Arc::downgrade(self);
        let tell = self.tell.clone();
        tokio::spawn(async move {
            loop {
                match replies.next().await {
                    Ok(Some(Reply::Exited { name, exit })) => {
                        let container = ContainerId { pod: id.clone(), name };
                        // Nobody listens: then nobody wants to know.
                        let _ = tell.send(RuntimeEvent::Exited(container, exit));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
            let Some(shared) = shared.upgrade() else { return };
            let group = shared.pods.lock().get(&id).map(|pod| pod.group.clone());
            // A pod that is being removed is no longer listed.
            if let Some(group) = group {
                // Without their shim, processes would run on with nobody to see them end.
                let ended = blocking(move || {
                    group.kill().map_err(|e| failed("end a pod without a shim", e))
                });
                if let Err(error) = ended.await {
                    tracing::warn!(pod = id.0, %error, "a pod has lost its shim");
                }
                let _ = tell.send(RuntimeEvent::PodLost(id));
            }
        });
        Ok(())
    }
}

impl Runtime for OciRuntime {
    async fn start_pod(&self, setup: PodSetup) -> Result<Vec<IpAddr>, RuntimeError> {
        let shared = &self.shared;
        let id = setup.id.clone();
        if shared.pods.lock().contains_key(&id) {
            match self.ask(&id, Request::State).await {
                Ok(answer) => {
                    let Reply::State(state) = answer.reply else { return Err(unexpected()) };
                    return Ok(state.ips);
                }
                // A shim that was killed can't come back: what it left is cleared away, and the pod begins anew.
                Err(RuntimeError::NotRunning(_)) => self.remove_pod(&id).await?,
                Err(error) => return Err(error),
            }
        }
        if setup.dir.parent() != Some(&shared.config.pods) {
            let reason = format!("{} is not a folder of pods", setup.dir.display());
            return Err(RuntimeError::Unsupported(reason));
        }
        let mut setup = setup;
        if let Some(handler) = &setup.handler {
            setup.handler = Some(spawn::find_handler(handler)?);
        }
        let (namespace, ip) = match setup.network {
            PodNetwork::Own => {
                let taken = shared.network.take().await;
                let taken = taken.map_err(|e| failed("give the pod an address", e))?;
                (taken.fd, Some(taken.ip))
            }
            PodNetwork::Host => {
                let host = shared.network.host().try_clone();
                (host.map_err(|e| failed("share the machine's network", e))?, None)
            }
        };
        let ips: Vec<IpAddr> = ip.into_iter().map(IpAddr::V4).collect();
        let group = shared.groups.child(&id.0);
        let dir = setup.dir.join("runtime");
        let (program, addresses, made) = (shared.program.clone(), ips.clone(), group.clone());
        let folder = dir.clone();
        let started = blocking(move || {
            let child = spawn::start(&program, setup, addresses, made, namespace)?;
            match call::ask(&folder, &Request::Watch) {
                Ok(answer) => Ok((child, answer.socket)),
                Err(e) => {
                    spawn::abandon(child, &folder);
                    Err(e)
                }
            }
        })
        .await;
        let (child, socket) = match started {
            Ok(started) => started,
            Err(e) => {
                if let Some(ip) = ip {
                    shared.network.release(ip).await;
                }
                return Err(e);
            }
        };
        shared.pods.lock().insert(id.clone(), Pod { dir, group, ip, child: Some(child) });
        shared.watch(id, socket)?;
        Ok(ips)
    }

    async fn start_container(&self, setup: ContainerSetup) -> Result<ContainerState, RuntimeError> {
        let pod = setup.id.pod.clone();
        match self.ask(&pod, Request::Start(Box::new(setup))).await?.reply {
            Reply::Started(state) => Ok(*state),
            _ => Err(unexpected()),
        }
    }

    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        let request = Request::Signal { name: id.name.clone(), signal };
        match self.ask(&id.pod, request).await {
            // Ending what has ended is no error.
            Ok(_) | Err(RuntimeError::NotRunning(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }

    async fn resize(&self, id: &PodId, resize: Resize) -> Result<(), RuntimeError> {
        self.ask(id, Request::Resize(Box::new(resize))).await.map(drop)
    }

    async fn remove_pod(&self, id: &PodId) -> Result<(), RuntimeError> {
        // From here on the end of the shim is expected.
        let Some(pod) = self.shared.pods.lock().remove(id) else { return Ok(()) };
        let Pod { dir, group, ip, child } = pod;
        let rest = Pod { dir: dir.clone(), group: group.clone(), ip, child: None };
        let removed = blocking(move || {
            if let Err(error) = call::ask(&dir, &Request::Remove) {
                tracing::debug!(%error, "the shim can't remove its pod");
            }
            spawn::finish(child, &group, &dir)
        });
        if let Err(e) = removed.await {
            // Kept, so that the next attempt finds what is left.
            self.shared.pods.lock().insert(id.clone(), rest);
            return Err(e);
        }
        if let Some(ip) = ip {
            self.shared.network.release(ip).await;
        }
        Ok(())
    }

    async fn exec(&self, id: &ContainerId, setup: ExecSetup) -> Result<Streams, RuntimeError> {
        let request = Request::Exec { name: id.name.clone(), setup };
        call::streams(self.ask(&id.pod, request).await?)
    }

    async fn attach(&self, id: &ContainerId, stdin: bool) -> Result<Streams, RuntimeError> {
        let request = Request::Attach { name: id.name.clone(), stdin };
        call::streams(self.ask(&id.pod, request).await?)
    }

    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, RuntimeError> {
        let attempt = async {
            let socket = self.shared.network.socket(to).await?;
            let socket = std::net::TcpStream::from(socket);
            tokio::net::TcpSocket::from_std_stream(socket).connect(to).await
        };
        attempt.await.map_err(|e| failed("connect to the pod", e))
    }

    async fn pods(&self) -> Result<Vec<PodState>, RuntimeError> {
        let ids: Vec<PodId> = self.shared.pods.lock().keys().cloned().collect();
        let mut states = Vec::new();
        for id in ids {
            match self.ask(&id, Request::State).await {
                Ok(Answer { reply: Reply::State(state), .. }) => states.push(*state),
                Ok(_) => return Err(unexpected()),
                // It ended meanwhile; an event says so.
                Err(RuntimeError::NotRunning(_)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(states)
    }

    fn events(&self) -> mpsc::UnboundedReceiver<RuntimeEvent> {
        self.events.lock().take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }
}
