//! This machine as the node: which runtime starts the pods, on what network, and how they end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use kube::Client;
use node::net::Range;
use node::runtime::{FakeRuntime, OciConfig, OciRuntime, Runtime, RuntimeError};
use node::{Bundles, Capacity, Node, NodeOptions};
use tokio_util::sync::CancellationToken;

use super::{RuntimeKind, UpArgs, pods::Pods};
use crate::exit::Error;
use crate::paths::DataDir;

/// Fewer addresses than this are not worth a bridge.
const LONGEST_PREFIX: u8 = 28;
/// More than this does not exist among private addresses.
const SHORTEST_PREFIX: u8 = 8;

/// The addresses of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodNetwork {
    address: Ipv4Addr,
    prefix: u8,
}

impl FromStr for PodNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            Some(Self { address: address.parse().ok()?, prefix: prefix.parse().ok()? })
        });
        match parsed {
            Some(network) if (SHORTEST_PREFIX..=LONGEST_PREFIX).contains(&network.prefix) => {
                Ok(network)
            }
            Some(_) => {
                Err(format!("the prefix must be from /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}"))
            }
            None => Err("write an IPv4 network such as 10.88.0.0/16".into()),
        }
    }
}

/// Refuses, before anything is made, a runtime that this user can't use.
pub fn check(runtime: RuntimeKind) -> Result<(), Error> {
    if runtime == RuntimeKind::Oci && !rustix::process::geteuid().is_root() {
        return Err(Error::refused(
            "starting real containers",
            "it needs root (namespaces, mounts, control groups and a bridge)",
            "run this as root, or without containers: `sandbank up --runtime fake`",
        ));
    }
    Ok(())
}

/// Starts the node with the runtime that was asked for.
pub async fn start(
    dir: &DataDir,
    args: &UpArgs,
    client: Client,
    pods: &Pods,
    stop: &CancellationToken,
) -> Result<Node, Error> {
    let mut options = NodeOptions::new(dir.path());
    options.private_paths = vec![dir.path().to_owned()];
    let started = match args.runtime {
        RuntimeKind::Oci => {
            let runtime = OciRuntime::open(config(dir, args.pod_network)).await.map_err(refused)?;
            options.capacity =
                args.max_pods.map(|pods| Capacity { pods, ..Capacity::of_machine() });
            Node::start(client, runtime, options, stop.clone()).await
        }
        RuntimeKind::Fake => {
            options.bundles = Bundles::Skipped;
            // What is pretended costs nothing, so the machine's size is no bound.
            options.capacity = Some(Capacity {
                cpu_millis: 1_000_000_000,
                memory_bytes: 1 << 50,
                pods: args.max_pods.unwrap_or(100_000),
            });
            let runtime = FakeRuntime::new(Duration::from_millis(args.fake_delay));
            Node::start(client, runtime, options, stop.clone()).await
        }
    };
    let node = started.context("cannot start the node")?;
    pods.reach(node.access());
    Ok(node)
}

/// Ends every pod of the directory and frees what they held. Answers how many there were.
pub async fn end_pods(dir: &DataDir) -> Result<usize, Error> {
    if !dir.path().join("pods").is_dir() {
        return Ok(0);
    }
    let network = PodNetwork { address: Ipv4Addr::new(10, 88, 0, 0), prefix: 16 };
    let config = config(dir, network);
    let empty =
        std::fs::read_dir(dir.path().join("pods")).is_ok_and(|mut pods| pods.next().is_none());
    if empty && !OciRuntime::left_traces(&config) {
        return Ok(0);
    }
    check(RuntimeKind::Oci)?;
    let runtime = OciRuntime::open(config).await.map_err(left)?;
    let pods = runtime.pods().await.map_err(left)?;
    for pod in &pods {
        runtime.remove_pod(&pod.setup.id).await.map_err(left)?;
    }
    runtime.dismantle().await.map_err(left)?;
    Ok(pods.len())
}

/// Two data directories on one machine share nothing: neither control groups nor a bridge.
fn config(dir: &DataDir, network: PodNetwork) -> OciConfig {
    let mut hasher = DefaultHasher::new();
    let path = std::fs::canonicalize(dir.path()).unwrap_or_else(|_| dir.path().to_owned());
    path.hash(&mut hasher);
    let id = hasher.finish() as u32;
    let mut config = OciConfig::new(dir.path().join("pods"));
    config.group = format!("sandbank-{id:08x}");
    config.network.bridge = format!("sb-{id:08x}");
    config.network.range = Range::new(network.address, network.prefix);
    config
}

fn left(error: RuntimeError) -> Error {
    Error::refused("ending the pods", error.to_string(), "try again; nothing else was changed")
}

fn refused(error: RuntimeError) -> Error {
    Error::refused(
        "starting real containers",
        error.to_string(),
        "see the requirements in README.md, or run without containers: `sandbank up --runtime fake`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_network_is_an_ipv4_network_of_a_sensible_size() {
        assert!("10.88.0.0/16".parse::<PodNetwork>().is_ok());
        for wrong in
            ["", "10.88.0.0", "10.88.0.0/", "10.88.0.0/33", "10.88.0.0/30", "fd00::/64", "x/16"]
        {
            assert!(wrong.parse::<PodNetwork>().is_err(), "{wrong}");
        }
    }
}
