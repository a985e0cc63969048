//! From a container of a pod to its OCI `config.json`: values in, values out.
//!
//! What needs the API server or the image (configMaps, the pod's address, `/etc/passwd`) is gathered before, in [`Inputs`].

mod capabilities;
mod environment;
mod expand;
mod identity;
mod mounts;

pub(crate) use capabilities::available;
pub(crate) use environment::{EnvError, References, environment, resource_value};
pub(crate) use expand::expand;
pub(crate) use identity::{Identity, IdentityError, UserFiles, identity};
pub(crate) use mounts::Bind;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};

use crate::image::ImageDefaults;

/// Everything a container's configuration is made of.
pub(crate) struct Inputs<'a> {
    /// The pod.
    pub(crate) spec: &'a PodSpec,
    /// The container.
    pub(crate) container: &'a Container,
    /// What its image says.
    pub(crate) image: &'a ImageDefaults,
    /// Its complete environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Who it runs as.
    pub(crate) identity: &'a Identity,
    /// Files and folders it sees besides its root.
    pub(crate) binds: &'a [Bind],
    /// The host name inside.
    pub(crate) hostname: &'a str,
    /// Capabilities this machine can give at all (a virtual machine or an outer container may lack some).
    pub(crate) available: &'a [String],
}

/// Why there is no configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// Neither the pod nor the image says what to run.
    #[error("no command specified")]
    NoCommand,
}

/// The program and its arguments: the pod's words replace the image's, and a pod's command drops the image's arguments.
pub(crate) fn arguments(
    container: &Container,
    image: &ImageDefaults,
    env: &BTreeMap<String, String>,
) -> Result<Vec<String>, ConfigError> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|l| !l.is_empty());
    let expanded = |list: Vec<String>| list.iter().map(|text| expand(text, env)).collect();
    let command: Option<Vec<String>> = given(&container.command).map(expanded);
    let args: Option<Vec<String>> = given(&container.args).map(expanded);
    let (program, rest) = match (command, args) {
        (Some(command), args) => (command, args.unwrap_or_default()),
        (None, Some(args)) => (given(&image.entrypoint).unwrap_or_default(), args),
        (None, None) => {
            (given(&image.entrypoint).unwrap_or_default(), given(&image.cmd).unwrap_or_default())
        }
    };
    let all: Vec<String> = program.into_iter().chain(rest).collect();
    if all.is_empty() { Err(ConfigError::NoCommand) } else { Ok(all) }
}

/// The `config.json` of a container. Namespace paths, cgroup and limits are the runtime's part.
pub(crate) fn config(inputs: &Inputs<'_>) -> Result<Value, ConfigError> {
    let Inputs { spec, container, image, identity, .. } = inputs;
    let security = container.security_context.as_ref();
    let privileged = security.and_then(|s| s.privileged) == Some(true);
    let capabilities = capabilities::of(container, inputs.available);
    let env: Vec<String> = inputs.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let cwd = [&container.working_dir, &image.working_dir]
        .into_iter()
        .flatten()
        .find(|dir| !dir.is_empty())
        .map_or("/", String::as_str);
    let (masked, read_only): (&[&str], &[&str]) =
        if privileged { (&[], &[]) } else { (MASKED, READ_ONLY) };
    let mut namespaces = vec!["mount", "pid", "ipc", "uts", "cgroup"];
    if spec.host_network != Some(true) {
        namespaces.push("network");
    }
    let namespaces: Vec<Value> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": inputs.hostname,
        "root": {
            "path": "rootfs",
            "readonly": security.and_then(|s| s.read_only_root_filesystem) == Some(true),
        },
        "process": {
            "terminal": container.tty == Some(true),
            "args": arguments(container, image, inputs.env)?,
            "env": env,
            "cwd": cwd,
            "user": {
                "uid": identity.uid,
                "gid": identity.gid,
                "additionalGids": identity.groups,
            },
            "noNewPrivileges": security.and_then(|s| s.allow_privilege_escalation) == Some(false),
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
                "inheritable": [],
                "ambient": [],
            },
        },
        "mounts": mounts::of(inputs.binds, privileged),
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": masked,
            "readonlyPaths": read_only,
            "resources": { "devices": devices(privileged) },
        },
    }))
}

/// Parts of /proc and /sys that tell about, or reach, the machine.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Nothing but the harmless nodes every program expects, or everything.
fn devices(privileged: bool) -> Value {
    if privileged {
        return json!([{ "allow": true, "access": "rwm" }]);
    }
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    // null, zero, full, tty, random, urandom; then ptmx and the pseudo terminals.
    let nodes = [(1, 3), (1, 5), (1, 7), (5, 0), (1, 8), (1, 9), (5, 2)];
    for (major, minor) in nodes {
        rules.push(json!({
            "allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"
        }));
    }
    rules.push(json!({ "allow": true, "type": "c", "major": 136, "access": "rwm" }));
    Value::Array(rules)
}

#[cfg(test)]
mod tests;
