//! The pods' network: one bridge, and for each pod a network namespace with an address, joined to the bridge by a pair of virtual
//! interfaces.
//!
//! A netlink socket belongs to the namespace it was opened in, so all of it runs on one thread of its own that lives in the namespace
//! of the bridge and steps out of it only to make a pod's namespace. Making a namespace is the dearest part of starting a pod;
//! a few are kept prepared. Everything is held by file descriptors: when the last process of a pod ends, the kernel takes its namespace
//! and both interfaces away.

mod addresses;
mod bridge;
mod namespace;
mod outbound;

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};

pub use addresses::Range;
pub(crate) use namespace::enter_fd as enter;
pub use outbound::Outbound;

use addresses::Addresses;
use bridge::Bridge;

/// Where the pods' network is and how it looks.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Name of the bridge, at most 15 bytes; made if absent.
    pub bridge: String,
    /// Addresses of pods; the first one is the bridge's own.
    pub range: Range,
    /// The network namespace of the bridge (a path such as `/run/netns/x`); absent: this process's own.
    pub host: Option<PathBuf>,
    /// Whether pods may reach beyond the machine.
    pub outbound: Outbound,
    /// How many namespaces are kept prepared.
    pub prepared: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            bridge: "sandbank0".to_owned(),
            range: Range::new(Ipv4Addr::new(10, 88, 0, 0), 16),
            host: None,
            outbound: Outbound::Nat,
            // A burst of starts on two cores; each costs an address and 30 kB of kernel memory.
            prepared: 4,
        }
    }
}

/// A network namespace that is ready for a pod.
#[derive(Debug)]
pub struct PodNamespace {
    /// Keeps it alive until a process of the pod is in it.
    pub fd: OwnedFd,
    /// The pod's address.
    pub ip: Ipv4Addr,
}

/// The pods' network; cheap to clone. Dropping the last one ends its thread, not the pods' networking.
#[derive(Clone, Debug)]
pub struct Network {
    commands: mpsc::UnboundedSender<Command>,
    host: Arc<OwnedFd>,
}

enum Command {
    Take(oneshot::Sender<io::Result<PodNamespace>>),
    Release(Ipv4Addr, oneshot::Sender<()>),
    Socket(IpAddr, oneshot::Sender<io::Result<OwnedFd>>),
    Interfaces(oneshot::Sender<io::Result<usize>>),
    Dismantle(oneshot::Sender<io::Result<()>>),
    /// A prepared namespace is ready, or could not be made.
    Prepared(io::Result<PodNamespace>),
}

impl Network {
    /// Makes the bridge if it is absent and starts preparing namespaces. `used` are the addresses of pods that live already.
    ///
    /// # Errors
    /// If the namespace can't be entered or the bridge can't be made.
    pub fn start(config: NetworkConfig, used: BTreeSet<Ipv4Addr>) -> io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (ready, started) = std::sync::mpsc::channel();
        let own = commands.downgrade();
        std::thread::Builder::new().name("pod-network".to_owned()).spawn(move || {
            match Worker::start(config, used, own) {
                Ok((runtime, worker, host)) => {
                    // The receiver waits for exactly this.
                    let _ = ready.send(Ok(host));
                    runtime.block_on(worker.run(inbox));
                }
                Err(e) => drop(ready.send(Err(e))),
            }
        })?;
        let host = started.recv().map_err(|_| closed())??;
        Ok(Self { commands, host: Arc::new(host) })
    }

    /// A namespace with an address, joined to the bridge.
    ///
    /// # Errors
    /// If there is no address left or the kernel refuses.
    pub async fn take(&self) -> io::Result<PodNamespace> {
        self.ask(Command::Take).await?
    }

    /// Gives an address back, once nothing of the pod runs any more.
    pub async fn release(&self, ip: Ipv4Addr) {
        // The thread ends only with us.
        let _ = self.ask(|answer| Command::Release(ip, answer)).await;
    }

    /// An unconnected TCP socket in the bridge's namespace.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn socket(&self, to: SocketAddr) -> io::Result<OwnedFd> {
        self.ask(|answer| Command::Socket(to.ip(), answer)).await?
    }

    /// The bridge's namespace, for pods that use the machine's network.
    #[must_use]
    pub fn host(&self) -> &OwnedFd {
        &self.host
    }

    /// How many interfaces lead to pods and prepared namespaces.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn interfaces(&self) -> io::Result<usize> {
        self.ask(Command::Interfaces).await?
    }

    /// Removes the bridge, after the last pod.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub async fn dismantle(&self) -> io::Result<()> {
        self.ask(Command::Dismantle).await?
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).map_err(|_| closed())?;
        answered.await.map_err(|_| closed())
    }
}

fn closed() -> io::Error {
    io::Error::other("the pod network's thread has ended")
}

struct Worker {
    config: NetworkConfig,
    bridge: Arc<Bridge>,
    addresses: Addresses,
    prepared: Vec<PodNamespace>,
    /// How many are to be kept prepared.
    wanted: usize,
    /// How many are being prepared now.
    coming: usize,
    own: mpsc::WeakUnboundedSender<Command>,
}

impl Worker {
    fn start(
        config: NetworkConfig,
        used: BTreeSet<Ipv4Addr>,
        own: mpsc::WeakUnboundedSender<Command>,
    ) -> io::Result<(tokio::runtime::Runtime, Self, OwnedFd)> {
        if let Some(path) = &config.host {
            namespace::enter(path)?;
        }
        let host = namespace::current()?;
        let keep = host.try_clone()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let bridge = runtime.block_on(Bridge::open(&config.bridge, config.range, host))?;
        outbound::set_up(config.outbound, &config.bridge, config.range);
        let worker = Self {
            bridge: Arc::new(bridge),
            addresses: Addresses::new(config.range, used),
            prepared: Vec::new(),
            wanted: config.prepared,
            config,
            coming: 0,
            own,
        };
        Ok((runtime, worker, keep))
    }

    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        self.refill();
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Take(answer) => self.take(answer),
                Command::Release(ip, answer) => {
                    self.bridge.detach(ip).await;
                    self.addresses.give_back(ip);
                    // Nobody waits for it: all the same.
                    let _ = answer.send(());
                }
                Command::Socket(to, answer) => drop(answer.send(namespace::socket(to))),
                Command::Interfaces(answer) => drop(answer.send(self.bridge.ports().await)),
                Command::Dismantle(answer) => {
                    for ready in std::mem::take(&mut self.prepared) {
                        self.bridge.detach(ready.ip).await;
                    }
                    self.wanted = 0;
                    outbound::tear_down(self.config.outbound, &self.config.bridge);
                    drop(answer.send(self.bridge.remove().await));
                }
                Command::Prepared(made) => {
                    self.coming -= 1;
                    match made {
                        Ok(ready) => self.prepared.push(ready),
                        Err(error) => tracing::warn!(%error, "prepare a pod network"),
                    }
                }
            }
        }
    }

    fn take(&mut self, answer: oneshot::Sender<io::Result<PodNamespace>>) {
        if let Some(ready) = self.prepared.pop() {
            if let Err(Ok(unwanted)) = answer.send(Ok(ready)) {
                self.prepared.push(unwanted);
            }
            return self.refill();
        }
        let Some(ip) = self.addresses.take() else {
            drop(answer.send(Err(io::Error::other("no pod address is left in the range"))));
            return;
        };
        let bridge = self.bridge.clone();
        tokio::spawn(async move { drop(answer.send(bridge.attach(ip).await)) });
    }

    fn refill(&mut self) {
        while self.prepared.len() + self.coming < self.wanted {
            let Some(ip) = self.addresses.take() else { return };
            self.coming += 1;
            let (bridge, own) = (self.bridge.clone(), self.own.clone());
            tokio::spawn(async move {
                let made = bridge.attach(ip).await;
                if let Some(own) = own.upgrade() {
                    // Nobody left to tell: the namespace goes away with its descriptor.
                    let _ = own.send(Command::Prepared(made));
                }
            });
        }
    }
}
