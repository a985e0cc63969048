//! Which capabilities a container gets.

use k8s_openapi::api::core::v1::Container;

/// What containers have unless told otherwise: enough for package managers and servers, nothing that reaches the machine.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Every capability, at the index that is its bit.
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capabilities this process may pass on, from `/proc/self/status`; all if that can't be read.
pub(crate) fn available() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    let names = ALL.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    names.map(|(_, name)| (*name).to_owned()).collect()
}

/// The capabilities of a container, sorted, with the `CAP_` that OCI wants.
pub(super) fn of(container: &Container, available: &[String]) -> Vec<String> {
    let security = container.security_context.as_ref();
    let mut set: std::collections::BTreeSet<String> = DEFAULT.map(str::to_owned).into();
    if security.and_then(|s| s.privileged) == Some(true) {
        set.extend(ALL.map(str::to_owned));
    }
    if let Some(changes) = security.and_then(|s| s.capabilities.as_ref()) {
        let plain = |name: &String| {
            let upper = name.to_uppercase();
            upper.strip_prefix("CAP_").map(str::to_owned).unwrap_or(upper)
        };
        let drop: Vec<_> = changes.drop.iter().flatten().map(plain).collect();
        let add: Vec<_> = changes.add.iter().flatten().map(plain).collect();
        if add.iter().any(|name| name == "ALL") {
            set.extend(ALL.map(str::to_owned));
        }
        if drop.iter().any(|name| name == "ALL") {
            set.clear();
        }
        set.retain(|name| !drop.contains(name));
        set.extend(add.into_iter().filter(|name| name != "ALL"));
    }
    set.retain(|name| available.contains(name));
    set.into_iter().map(|name| format!("CAP_{name}")).collect()
}
