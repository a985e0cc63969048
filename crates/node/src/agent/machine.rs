//! What this machine is and has.

use std::collections::BTreeMap;

use super::Capacity;

/// Pods a machine offers to run unless told otherwise. Kubernetes' 110 is about the address ranges of its clusters; what one
/// machine carries is bounded by memory first.
const PODS: u32 = 500;

/// The machine's own processors and memory.
pub(crate) fn machine_capacity() -> Capacity {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    Capacity { cpu_millis: cpus * 1000, memory_bytes: memory_bytes(), pods: PODS }
}

fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")).and_then(|n| n.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}

/// The machine's name, as a Node may be called.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let name: String = name.chars().map(|c| if good(c) { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "sandbank".into() } else { name.into() }
}

/// The labels every Kubernetes node has.
pub(crate) fn labels(name: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture()),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// As Kubernetes spells it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
