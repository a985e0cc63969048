//! Sets a pod up: checks what it asks for, prepares its volumes, and has the runtime make its namespaces and network.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, PodSpec, Secret},
    node::v1::RuntimeClass,
};
use kube::{Api, Client};

use crate::{
    agent::{Bundles, context::Context, recorder::Severity},
    downward::Addresses,
    oci_config::References,
    runtime::{Limits, PodId, PodMount, PodNetwork, PodSetup, Runtime, RuntimeError},
    schedule, supported,
    volume::{self, ClaimError, Sources, VolumeError, Volumes},
};

/// Why a pod is not set up; most causes may go away, so it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetUpError {
    /// The pod asks for what this node does not do. Final.
    #[error("this node does not do {}", .0.join(", "))]
    Unsupported(Vec<String>),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A claim.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The API server.
    #[error("reading what the pod names: {0}")]
    Api(#[from] Box<kube::Error>),
    /// A file of the pod.
    #[error("writing {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The runtime.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    /// No such class.
    #[error("RuntimeClass {0:?} not found")]
    NoRuntimeClass(String),
}

impl SetUpError {
    /// The reason of the event and of the pod's condition.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unsupported(_) | Self::Runtime(RuntimeError::Unsupported(_)) => "Unsupported",
            Self::Volume(_) | Self::Claim(_) => "FailedMount",
            Self::Api(_) | Self::File { .. } | Self::Runtime(_) | Self::NoRuntimeClass(_) => {
                "FailedCreatePodSandBox"
            }
        }
    }

    /// Whether trying again could help.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Unsupported(_) | Self::Runtime(RuntimeError::Unsupported(_)))
    }
}

/// The size of `/dev/shm` that container engines give.
const SHM_BYTES: u64 = 64 << 20;

/// Processes and threads of one pod. A pod can't ask for a number, and without one a fork bomb takes every process id of the machine (32,768
/// by default) and all other pods with it. Enough for a parallel build or a browser.
const PIDS: u64 = 4096;

/// Sets the pod up; answers its addresses.
pub(crate) async fn set_up<R: Runtime>(
    context: &Context<R>,
    pod: &Pod,
) -> Result<Vec<IpAddr>, SetUpError> {
    let Some(spec) = &pod.spec else { return Ok(Vec::new()) };
    let refused = supported::refused(spec);
    if !refused.is_empty() {
        return Err(SetUpError::Unsupported(refused));
    }
    for what in supported::not_enforced(spec) {
        context.recorder.note(pod, None, Severity::Warning, "NotEnforced", what);
    }
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let dir = context.pod_dir(&uid);
    let mut mounts = Vec::new();
    if context.options.bundles == Bundles::Prepared {
        mounts = prepare(context, pod, &Addresses::default()).await?.mounts;
        let shm = dir.join("shm");
        let make = || -> std::io::Result<()> {
            std::fs::create_dir_all(&shm)?;
            write_names(&dir, pod, spec, &[])
        };
        make().map_err(|source| SetUpError::File { path: dir.clone(), source })?;
        mounts.push(PodMount::Tmpfs { target: shm, size_bytes: Some(SHM_BYTES) });
    }
    let name = pod.metadata.name.clone().unwrap_or_default();
    let host = spec.host_network == Some(true);
    let setup = PodSetup {
        id: PodId(uid),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        hostname: hostname(pod, spec),
        name,
        network: if host { PodNetwork::Host } else { PodNetwork::Own },
        share_processes: spec.share_process_namespace == Some(true),
        limits: limits(spec),
        mounts,
        handler: handler(&context.client, spec).await?,
        dir: dir.clone(),
    };
    let _turn = context.starts.acquire().await;
    let ips = context.runtime.start_pod(setup).await?;
    if context.options.bundles == Bundles::Prepared {
        write_names(&dir, pod, spec, &ips)
            .map_err(|source| SetUpError::File { path: dir.join("hosts"), source })?;
    }
    Ok(ips)
}

/// Prepares the volumes of a pod, or refreshes them.
pub(crate) async fn prepare<R: Runtime>(
    context: &Context<R>,
    pod: &Pod,
    addresses: &Addresses,
) -> Result<Volumes, SetUpError> {
    let references = references(&context.client, pod).await?;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut claims = BTreeMap::new();
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        if let Some(claim) = &volume.persistent_volume_claim {
            let name = &claim.claim_name;
            let folder = volume::claim_folder(&context.client, namespace, name).await?;
            claims.insert(name.clone(), folder);
        }
    }
    let sources = Sources { references: &references, addresses, claims: &claims };
    let dir = context.pod_dir(uid).join("volumes");
    if pod.spec.as_ref().is_some_and(|s| s.volumes.is_some()) {
        std::fs::create_dir_all(&dir)
            .map_err(|source| SetUpError::File { path: dir.clone(), source })?;
    }
    Ok(volume::prepare(pod, &dir, &sources)?)
}

/// The configMaps and secrets that a pod names, as they are now.
pub(crate) async fn references(client: &Client, pod: &Pod) -> Result<References, SetUpError> {
    let mut found = References::default();
    let Some(spec) = &pod.spec else { return Ok(found) };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let (maps, secrets) = References::named(spec);
    let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for name in maps {
        if let Some(map) = config_maps.get_opt(&name).await.map_err(Box::new)? {
            found.config_maps.insert(name, map);
        }
    }
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for name in secrets {
        if let Some(secret) = api.get_opt(&name).await.map_err(Box::new)? {
            found.secrets.insert(name, secret);
        }
    }
    Ok(found)
}

/// The program of the pod's RuntimeClass.
async fn handler(client: &Client, spec: &PodSpec) -> Result<Option<String>, SetUpError> {
    let Some(name) = spec.runtime_class_name.as_deref().filter(|n| !n.is_empty()) else {
        return Ok(None);
    };
    let classes: Api<RuntimeClass> = Api::all(client.clone());
    let class = classes.get_opt(name).await.map_err(Box::new)?;
    class.map(|c| Some(c.handler)).ok_or_else(|| SetUpError::NoRuntimeClass(name.into()))
}

/// The processor and memory of a pod as a whole are limited only if those of each of its containers are.
pub(crate) fn limits(spec: &PodSpec) -> Limits {
    let each: Vec<Limits> = spec.containers.iter().map(schedule::limits).collect();
    let sum = |of: fn(&Limits) -> Option<u64>| -> Option<u64> {
        each.iter().map(of).try_fold(0u64, |sum, one| one.map(|one| sum.saturating_add(one)))
    };
    if spec.init_containers.as_ref().is_some_and(|list| !list.is_empty()) {
        return Limits { pids: Some(PIDS), ..Limits::default() };
    }
    Limits {
        cpu_millis: sum(|l| l.cpu_millis),
        cpu_request_millis: sum(|l| Some(l.cpu_request_millis.unwrap_or(0))).filter(|n| *n > 0),
        memory_bytes: sum(|l| l.memory_bytes),
        pids: Some(PIDS),
    }
}

/// The host name inside a pod: 63 characters are what a host name may have.
pub(crate) fn hostname(pod: &Pod, spec: &PodSpec) -> String {
    let name = spec.hostname.as_deref().filter(|h| !h.is_empty());
    let name = name.or(pod.metadata.name.as_deref()).unwrap_or("pod");
    let name: String = name.chars().take(63).collect();
    let host = name.trim_end_matches(['-', '.']).to_owned();
    match spec.subdomain.as_deref() {
        Some(subdomain) if spec.set_hostname_as_fqdn == Some(true) => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            format!("{host}.{subdomain}.{namespace}.svc.cluster.local")
        }
        _ => host,
    }
}

/// Writes `hosts`, `hostname` and `resolv.conf` of a pod.
fn write_names(
    dir: &std::path::Path,
    pod: &Pod,
    spec: &PodSpec,
    ips: &[IpAddr],
) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let hostname = hostname(pod, spec);
    std::fs::write(dir.join("hostname"), format!("{hostname}\n"))?;
    let mut hosts = String::new();
    if spec.host_network == Some(true) {
        hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    } else {
        hosts += "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        for ip in ips {
            let full = spec.subdomain.as_deref().map(|subdomain| {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                format!("{hostname}.{subdomain}.{namespace}.svc.cluster.local\t")
            });
            hosts += &format!("{ip}\t{}{hostname}\n", full.unwrap_or_default());
        }
    }
    for alias in spec.host_aliases.iter().flatten() {
        let names: Vec<&str> = alias.hostnames.iter().flatten().map(String::as_str).collect();
        hosts += &format!("{}\t{}\n", alias.ip, names.join("\t"));
    }
    std::fs::write(dir.join("hosts"), hosts)?;
    std::fs::write(dir.join("resolv.conf"), resolv_conf(spec))
}

/// There is no name server for pods: names are looked up as the machine does, plus what `dnsConfig` says.
fn resolv_conf(spec: &PodSpec) -> String {
    let mut text = String::new();
    if spec.dns_policy.as_deref() != Some("None") {
        text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    }
    if let Some(config) = &spec.dns_config {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for server in config.nameservers.iter().flatten() {
            text += &format!("nameserver {server}\n");
        }
        let searches: Vec<&str> = config.searches.iter().flatten().map(String::as_str).collect();
        if !searches.is_empty() {
            text += &format!("search {}\n", searches.join(" "));
        }
        for option in config.options.iter().flatten() {
            let name = option.name.as_deref().unwrap_or_default();
            match &option.value {
                Some(value) => text += &format!("options {name}:{value}\n"),
                None => text += &format!("options {name}\n"),
            }
        }
    }
    text
}
