//! No containers at all: pods and containers that exist only in memory and are ready after a set delay.
//!
//! For scale tests and for machines without Linux. It is deterministic: no threads, no randomness, and its delay is tokio's time, which a
//! test can hold and turn.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::mpsc};

use super::{
    ContainerId, ContainerSetup, ContainerState, ExecSetup, Exit, PodId, PodNetwork, PodSetup,
    PodState, Resize, Runtime, RuntimeError, RuntimeEvent, Streams,
};

/// Where the addresses of pods that don't exist begin: the range for documentation, which leads nowhere.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// How many addresses that range (198.18.0.0/15, for benchmarks) has for pods.
const ADDRESSES: u32 = (1 << 17) - 4;

/// Pretends to run pods.
pub struct FakeRuntime {
    delay: Duration,
    state: Mutex<State>,
    tell: mpsc::UnboundedSender<RuntimeEvent>,
    events: Mutex<Option<mpsc::UnboundedReceiver<RuntimeEvent>>>,
}

#[derive(Default)]
struct State {
    pods: BTreeMap<PodId, PodState>,
    started: u32,
}

impl FakeRuntime {
    /// Every container takes `delay` to start.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        Self { delay, state: Mutex::default(), tell, events: Mutex::new(Some(events)) }
    }

    /// Ends a container as if its program had returned `code`, for tests of restarts.
    pub fn end(&self, id: &ContainerId, code: i32) {
        self.finish(id, Exit { code, signal: None, oom: false, at: Timestamp::now() });
    }

    fn finish(&self, id: &ContainerId, exit: Exit) {
        let mut state = self.state.lock();
        let container =
            state.pods.get_mut(&id.pod).and_then(|pod| pod.containers.get_mut(&id.name));
        if let Some(container) = container
            && container.exit.is_none()
        {
            container.exit = Some(exit.clone());
            // Nobody listens: then nobody wants to know.
            let _ = self.tell.send(RuntimeEvent::Exited(id.clone(), exit));
        }
    }
}

impl Runtime for FakeRuntime {
    async fn start_pod(&self, setup: PodSetup) -> Result<Vec<IpAddr>, RuntimeError> {
        let mut state = self.state.lock();
        if let Some(pod) = state.pods.get(&setup.id) {
            return Ok(pod.ips.clone());
        }
        let ips = match setup.network {
            PodNetwork::Own => {
                let address = u32::from(FIRST_ADDRESS) + state.started % ADDRESSES;
                vec![IpAddr::V4(Ipv4Addr::from(address))]
            }
            PodNetwork::Host => Vec::new(),
        };
        state.started += 1;
        let pod = PodState { setup, ips: ips.clone(), containers: BTreeMap::new() };
        state.pods.insert(pod.setup.id.clone(), pod);
        Ok(ips)
    }

    async fn start_container(&self, setup: ContainerSetup) -> Result<ContainerState, RuntimeError> {
        tokio::time::sleep(self.delay).await;
        let mut state = self.state.lock();
        let gone = || RuntimeError::NotRunning(format!("pod {}", setup.id.pod.0));
        let pod = state.pods.get_mut(&setup.id.pod).ok_or_else(gone)?;
        let container = ContainerState {
            setup: setup.clone(),
            pid: 0,
            started_at: Timestamp::now(),
            exit: None,
        };
        pod.containers.insert(setup.id.name, container.clone());
        Ok(container)
    }

    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        // Programs that don't exist handle no signal: any of them ends them.
        let exit =
            Exit { code: 128 + signal, signal: Some(signal), oom: false, at: Timestamp::now() };
        self.finish(id, exit);
        Ok(())
    }

    async fn resize(&self, id: &PodId, resize: Resize) -> Result<(), RuntimeError> {
        let mut state = self.state.lock();
        let gone = || RuntimeError::NotRunning(format!("pod {}", id.0));
        let pod = state.pods.get_mut(id).ok_or_else(gone)?;
        pod.setup.limits = resize.limits;
        for (name, change) in resize.containers {
            let container = pod.containers.get_mut(&name).filter(|c| c.exit.is_none());
            let gone = || RuntimeError::NotRunning(format!("container {name}"));
            let setup = &mut container.ok_or_else(gone)?.setup;
            (setup.limits, setup.annotations) = (change.limits, change.annotations);
        }
        Ok(())
    }

    async fn remove_pod(&self, id: &PodId) -> Result<(), RuntimeError> {
        self.state.lock().pods.remove(id);
        Ok(())
    }

    async fn exec(&self, _: &ContainerId, _: ExecSetup) -> Result<Streams, RuntimeError> {
        Err(nothing_there("run a command in"))
    }

    async fn attach(&self, _: &ContainerId, _: bool) -> Result<Streams, RuntimeError> {
        Err(nothing_there("attach to"))
    }

    async fn connect(&self, _: SocketAddr) -> Result<TcpStream, RuntimeError> {
        Err(nothing_there("connect to"))
    }

    async fn pods(&self) -> Result<Vec<PodState>, RuntimeError> {
        Ok(self.state.lock().pods.values().cloned().collect())
    }

    fn events(&self) -> mpsc::UnboundedReceiver<RuntimeEvent> {
        self.events.lock().take().unwrap_or_else(|| mpsc::unbounded_channel().1)
    }
}

fn nothing_there(what: &str) -> RuntimeError {
    RuntimeError::Unsupported(format!(
        "can't {what} this container: the server runs with --runtime fake, so its containers exist only on paper"
    ))
}
