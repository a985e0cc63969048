//! Processes as `/proc` shows them, and signals that can't reach a stranger.
//!
//! A number alone is never trusted: the kernel gives it to somebody else once its process is gone. A process is its number together with when it began, and
//! in which boot and process namespace the number means anything. A signal goes through a descriptor that is opened first and compared then.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
};

use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// The kernel keeps a process's environment and arguments below this (a quarter of the largest stack, in practice two megabytes).
const ENVIRON_LIMIT: u64 = 2 << 20;

/// The process namespace of the machine itself has this number on every Linux.
const MACHINE_NAMESPACE: u64 = 0xEFFF_FFFC;

/// A kernel thread, by the flags in `stat`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// A process on its way out, by the same flags. Its namespaces go while it still seems to run.
const ENDING: u64 = 0x4;

/// What `stat` says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: i32,
    /// In ticks since the machine booted.
    pub(crate) started: u64,
    state: u8,
    flags: u64,
}

impl Stat {
    /// Of a process that is there, also as a zombie.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The second field is the program's own name and may hold anything, also `)`.
        let after = text.iter().rposition(|byte| *byte == b')')? + 1;
        let rest = std::str::from_utf8(text.get(after..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            flags: fields.get(6)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it still runs code. A zombie only waits for its parent to take its exit code.
    pub(crate) fn alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X')
    }

    /// Whether it has begun to end.
    pub(crate) fn ending(&self) -> bool {
        self.flags & ENDING != 0
    }

    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }
}

/// One process, never confused with a later one of the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    started: u64,
    boot: String,
    namespace: u64,
}

impl Identity {
    /// Of a process that is there.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let started = Stat::of(pid)?.started;
        Some(Self { pid, started, boot: boot(), namespace: namespace("self", "pid")? })
    }

    /// Whether the number still means this process, and it runs.
    pub(crate) fn alive(&self) -> bool {
        self.boot == boot()
            && namespace("self", "pid") == Some(self.namespace)
            && Stat::of(self.pid).is_some_and(|now| now.started == self.started && now.alive())
    }
}

/// A mark that changes with each boot of the machine.
pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The number of a namespace of a process. Absent: it is gone, or may not be looked into.
pub(crate) fn namespace(pid: &str, kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    let text = link.to_str()?;
    text.split_once('[')?.1.trim_end_matches(']').parse().ok()
}

/// Whether numbers here are those of the machine, and not of a pod or container.
pub(crate) fn in_the_machine_s_namespace() -> bool {
    namespace("self", "pid") == Some(MACHINE_NAMESPACE)
}

/// All processes that can be seen.
pub(crate) fn all() -> io::Result<BTreeMap<i32, Stat>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since.
        if let Some(stat) = Stat::of(pid) {
            found.insert(pid, stat);
        }
    }
    Ok(found)
}

/// The variables a process began with.
pub(crate) fn environment(pid: i32) -> io::Result<Vec<(OsString, OsString)>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?.take(ENVIRON_LIMIT).read_to_end(&mut bytes)?;
    let entries = bytes.split(|byte| *byte == 0).filter_map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&entry[..equals], &entry[equals + 1..]);
        let own = |part: &[u8]| OsString::from_vec(part.to_vec());
        (!name.is_empty()).then(|| (own(name), own(value)))
    });
    Ok(entries.collect())
}

/// Whether a process began with this variable. One that may not be looked into did not.
pub(crate) fn has_variable(pid: i32, name: &str, value: &str) -> bool {
    environment(pid).is_ok_and(|all| all.iter().any(|(n, v)| n == name && v == value))
}

/// Everything that runs below a process, however it has detached itself, if that process is the reaper of its orphans; and whatever carries the variable.
pub(crate) fn tree(root: i32, mark: (&str, &str)) -> io::Result<BTreeMap<i32, Stat>> {
    let all = all()?;
    let mut below = BTreeSet::from([root]);
    loop {
        let more: Vec<i32> = all
            .iter()
            .filter(|(pid, stat)| below.contains(&stat.parent) && !below.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        below.extend(more);
    }
    below.remove(&root);
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let belongs = |pid: i32| below.contains(&pid) || has_variable(pid, mark.0, mark.1);
    Ok(all
        .into_iter()
        .filter(|(pid, stat)| *pid != own && *pid != root && stat.alive() && belongs(*pid))
        .collect())
}

/// A process held by a descriptor, which stays with it and not with its number.
pub(crate) fn hold(pid: i32, stat: &Stat) -> Option<OwnedFd> {
    let held = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // Looked at after it was opened: if the number has changed hands before, it shows.
    (Stat::of(pid)?.started == stat.started).then_some(held)
}

/// Sends a signal to exactly this process. One that is gone gets none.
pub(crate) fn signal(pid: i32, stat: &Stat, signal: Signal) {
    if let Some(held) = hold(pid, stat) {
        // It has ended in between, or is of a user we may not signal; who waits for the end will see that it is still there.
        let _ = rustix::process::pidfd_send_signal(held, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_s_name_can_t_confuse_what_is_read() {
        let line = b"42 (a) S 1 (b) R 7 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99887 1000 5\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.started, stat.alive()), (7, 99887, true));
        assert!(!Stat::parse(&line.map(|b| if b == b'R' { b'Z' } else { b })).unwrap().alive());
        assert_eq!(Stat::parse(b"42 (sh"), None);
    }

    #[test]
    fn a_number_with_another_start_or_boot_or_namespace_is_somebody_else() {
        let own = i32::try_from(std::process::id()).unwrap();
        let me = Identity::of(own).unwrap();
        assert!(me.alive());
        for other in [
            Identity { started: me.started + 1, ..me.clone() },
            Identity { boot: "before".to_owned(), ..me.clone() },
            Identity { namespace: 1, ..me.clone() },
        ] {
            assert!(!other.alive(), "{other:?}");
        }
        let stat = Stat { started: me.started + 1, ..Stat::of(own).unwrap() };
        assert!(hold(own, &stat).is_none());
    }
}
