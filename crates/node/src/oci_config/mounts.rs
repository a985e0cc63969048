//! What a container sees mounted: the kernel's file systems, its devices, then its volumes.

use std::path::PathBuf;

use serde_json::{Value, json};

/// A file or folder of the machine, shown inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    /// On the machine.
    pub(crate) source: PathBuf,
    /// What of it is shown, if not all: a path that containers may change.
    pub(crate) sub_path: Option<String>,
    /// Inside.
    pub(crate) target: String,
    /// Whether writing is refused.
    pub(crate) read_only: bool,
}

/// The mounts in the order they are made: parents before what lies below them.
pub(super) fn of(binds: &[Bind], privileged: bool) -> Value {
    let sysfs_mode = if privileged { "rw" } else { "ro" };
    let mut mounts = vec![json!({
        "destination": "/proc", "type": "proc", "source": "proc",
        "options": ["nosuid", "noexec", "nodev"],
    })];
    if privileged {
        mounts.push(json!({
            "destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind", "rw"],
        }));
    } else {
        mounts.push(json!({
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        }));
        mounts.push(json!({
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": [
                "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
            ],
        }));
        mounts.push(json!({
            "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"],
        }));
    }
    mounts.push(json!({
        "destination": "/sys", "type": "sysfs", "source": "sysfs",
        "options": ["nosuid", "noexec", "nodev", sysfs_mode],
    }));
    mounts.push(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "ro"],
    }));
    let mut binds: Vec<&Bind> = binds.iter().collect();
    binds.sort_by_key(|bind| bind.target.split('/').filter(|part| !part.is_empty()).count());
    for bind in binds {
        let mode = if bind.read_only { "ro" } else { "rw" };
        mounts.push(json!({
            "destination": bind.target, "type": "bind", "source": bind.source,
            "options": ["rbind", "rprivate", mode],
        }));
    }
    Value::Array(mounts)
}
