//! The Node object, and the Lease that says the node is alive.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Node},
    apimachinery::pkg::apis::meta::v1::{MicroTime, Time},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Capacity, NodeError, NodeOptions, machine};

/// As Kubernetes nodes do: renewed every 10 s, given up after 40.
const RENEW: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;
const LEASES: &str = "kube-node-lease";

/// Creates the Node object, or brings it up to date.
pub(super) async fn register(
    client: &Client,
    name: &str,
    options: &NodeOptions,
    capacity: Capacity,
) -> Result<(), NodeError> {
    let api = |attempted| move |source| NodeError::Api { attempted, source: Box::new(source) };
    let nodes: Api<Node> = Api::all(client.clone());
    let labels = machine::labels(name);
    let node: Node = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels },
    }))
    .map_err(|e| api("describing the node")(kube::Error::SerdeError(e)))?;
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let labels = Patch::Merge(json!({ "metadata": { "labels": labels } }));
            nodes
                .patch(name, &PatchParams::default(), &labels)
                .await
                .map_err(api("labelling the node"))?;
        }
        answer => drop(answer.map_err(api("creating the node"))?),
    }
    let status = Patch::Merge(json!({ "status": status(name, options, capacity) }));
    nodes
        .patch_status(name, &PatchParams::default(), &status)
        .await
        .map_err(api("describing the node"))?;
    Ok(())
}

fn status(name: &str, options: &NodeOptions, capacity: Capacity) -> Value {
    let uname = rustix::system::uname();
    let resources = json!({
        "cpu": match capacity.cpu_millis {
            millis if millis % 1000 == 0 => (millis / 1000).to_string(),
            millis => format!("{millis}m"),
        },
        "memory": format!("{}Ki", capacity.memory_bytes / 1024),
        "pods": capacity.pods.to_string(),
    });
    let now = Time(Timestamp::now());
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let id = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    json!({
        "capacity": resources,
        "allocatable": resources,
        "addresses": [
            { "type": "InternalIP", "address": options.address },
            { "type": "Hostname", "address": name },
        ],
        "conditions": [
            condition("MemoryPressure", "False", "NodeHasSufficientMemory", "memory is available"),
            condition("DiskPressure", "False", "NodeHasNoDiskPressure", "disk is available"),
            condition("PIDPressure", "False", "NodeHasSufficientPID", "process ids are available"),
            condition("Ready", "True", "NodeReady", "the node agent is running"),
        ],
        "nodeInfo": {
            "architecture": machine::architecture(),
            "bootID": id("/proc/sys/kernel/random/boot_id"),
            "containerRuntimeVersion": format!("sandbank://{}", env!("CARGO_PKG_VERSION")),
            "kernelVersion": uname.release().to_string_lossy(),
            "kubeProxyVersion": "",
            "kubeletVersion": format!("v{}-sandbank", env!("CARGO_PKG_VERSION")),
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": os_name(),
            "systemUUID": "",
        },
    })
}

fn os_name() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or("Linux".into(), |name| name.trim_matches('"').into())
}

/// Renews the lease until told to stop.
pub(super) async fn heartbeat(client: Client, name: String, stop: CancellationToken) {
    let leases: Api<Lease> = Api::namespaced(client, LEASES);
    let mut made = false;
    loop {
        let now = MicroTime(Timestamp::now());
        let spec = json!({
            "holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now,
        });
        let done = if made {
            let renewed = Patch::Merge(json!({ "spec": spec }));
            leases.patch(&name, &PatchParams::default(), &renewed).await.map(drop)
        } else {
            create(&leases, &name, spec).await
        };
        match done {
            Ok(()) => made = true,
            Err(error) => {
                made = false;
                debug!(%error, "renewing the node's lease");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RENEW) => {}
        }
    }
}

async fn create(leases: &Api<Lease>, name: &str, spec: Value) -> Result<(), kube::Error> {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": name }, "spec": spec,
    });
    let lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
    match leases.create(&PostParams::default(), &lease).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let renewed = Patch::Merge(json!({ "spec": lease.spec }));
            leases.patch(name, &PatchParams::default(), &renewed).await.map(drop)
        }
        answer => answer.map(drop),
    }
}
