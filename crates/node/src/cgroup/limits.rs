//! Writing limits in the words of either version.

use std::{fs, io, path::Path};

use super::{Controller, Group, Hierarchy, named};
use crate::runtime::Limits;

/// The period of the processor quota, as Kubernetes uses it: shorter ones cost scheduling, longer ones stall for longer.
const CPU_PERIOD_US: u64 = 100_000;
/// The kernel refuses a smaller quota.
const CPU_QUOTA_FLOOR_US: u64 = 1_000;
/// The kernel's bounds for version 1 shares; 1024 is one processor's worth.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// What a group has that nobody gave shares.
const DEFAULT_SHARES: u64 = 1024;

impl Group {
    /// Sets the limits of a fresh node, which has none.
    ///
    /// # Errors
    /// If the kernel refuses a value or the controller isn't on this machine.
    pub fn limit(&self, limits: &Limits) -> io::Result<()> {
        self.change_limits(&Limits::default(), limits)
    }

    /// Replaces limits that are in force; what is the same in both is not touched.
    ///
    /// # Errors
    /// As [`Group::limit`]; and if more memory is in use than the new limit allows and the kernel can't get it back.
    pub fn change_limits(&self, from: &Limits, to: &Limits) -> io::Result<()> {
        if from.cpu_request_millis != to.cpu_request_millis {
            let shares = to.cpu_request_millis.map_or(DEFAULT_SHARES, |millis| {
                (millis * 1024 / 1000).clamp(*SHARES.start(), *SHARES.end())
            });
            match self.needed(Controller::Cpu)? {
                (Hierarchy::V1(_), dir) => write(dir, "cpu.shares", &shares.to_string())?,
                (Hierarchy::V2, dir) => {
                    write(dir, "cpu.weight", &weight(shares).to_string())?;
                }
            }
        }
        if from.cpu_millis != to.cpu_millis {
            let quota = to
                .cpu_millis
                .map(|millis| (millis * CPU_PERIOD_US / 1000).max(CPU_QUOTA_FLOOR_US).to_string());
            match self.needed(Controller::Cpu)? {
                (Hierarchy::V1(_), dir) => {
                    write(dir, "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                    write(dir, "cpu.cfs_quota_us", quota.as_deref().unwrap_or("-1"))?;
                }
                (Hierarchy::V2, dir) => {
                    let quota = quota.as_deref().unwrap_or("max");
                    write(dir, "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
                }
            }
        }
        if from.memory_bytes != to.memory_bytes {
            let shrinks =
                to.memory_bytes.is_some_and(|new| from.memory_bytes.is_none_or(|old| new < old));
            self.limit_memory(to.memory_bytes, shrinks)?;
        }
        if from.pids != to.pids {
            let (_, dir) = self.needed(Controller::Pids)?;
            let pids = to.pids.map_or("max".to_owned(), |pids| pids.to_string());
            write(dir, "pids.max", &pids)?;
        }
        Ok(())
    }

    fn limit_memory(&self, bytes: Option<u64>, shrinks: bool) -> io::Result<()> {
        let text = bytes.map(|bytes| bytes.to_string());
        match self.needed(Controller::Memory)? {
            (Hierarchy::V1(_), dir) => {
                let text = text.as_deref().unwrap_or("-1");
                let mut files = vec!["memory.limit_in_bytes"];
                // Memory and swap together: no swap, as Kubernetes has it. Absent without swap accounting.
                if dir.join("memory.memsw.limit_in_bytes").exists() {
                    files.push("memory.memsw.limit_in_bytes");
                }
                // The sum may never be less than its part.
                if !shrinks {
                    files.reverse();
                }
                files.into_iter().try_for_each(|file| write(dir, file, text))
            }
            (Hierarchy::V2, dir) => {
                write(dir, "memory.max", text.as_deref().unwrap_or("max"))?;
                if dir.join("memory.swap.max").exists() {
                    write(dir, "memory.swap.max", if text.is_some() { "0" } else { "max" })?;
                }
                Ok(())
            }
        }
    }

    /// Bytes that the node's processes use and the kernel could not simply drop. Version 2 ends processes to keep a limit that is set
    /// below it, where version 1 refuses the limit.
    #[must_use]
    pub fn memory_in_use(&self) -> Option<u64> {
        let (hierarchy, dir) = self.of(Controller::Memory)?;
        let (total, dropped) = match hierarchy {
            Hierarchy::V1(_) => ("memory.usage_in_bytes", "total_inactive_file "),
            Hierarchy::V2 => ("memory.current", "inactive_file "),
        };
        let total: u64 = fs::read_to_string(dir.join(total)).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(dir.join("memory.stat")).ok()?;
        let dropped = stat.lines().find_map(|line| line.strip_prefix(dropped));
        let dropped = dropped.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
        Some(total.saturating_sub(dropped))
    }

    fn needed(&self, controller: Controller) -> io::Result<(Hierarchy, &Path)> {
        self.of(controller).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the {controller:?} controller is not mounted, so its limit can't be kept"),
            )
        })
    }
}

fn write(dir: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = dir.join(file);
    fs::write(&path, value).map_err(|e| named(e, &format!("write {value} to"), &path))
}

/// Version 1 shares as a version 2 weight, by the mapping all OCI runtimes use.
fn weight(shares: u64) -> u64 {
    1 + (shares - SHARES.start()) * 9_999 / (SHARES.end() - SHARES.start())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        cpu_millis: Some(200),
        cpu_request_millis: Some(100),
        memory_bytes: Some(64 << 20),
        pids: Some(16),
    };

    #[test]
    fn version_2_limits_are_written_in_its_own_words() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("memory.swap.max"), "max").expect("writable");
        let group = Group { dirs: vec![(Hierarchy::V2, dir.path().to_owned())] };
        group.limit(&LIMITS).expect("limits are written");
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).expect("was written");
        assert_eq!(read("cpu.max"), "20000 100000");
        assert_eq!(read("cpu.weight"), "4");
        assert_eq!(read("memory.max"), "67108864");
        assert_eq!(read("memory.swap.max"), "0");
        assert_eq!(read("pids.max"), "16");
    }

    #[test]
    fn version_1_limits_go_to_the_hierarchy_of_each_controller() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let sub = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("a fresh folder");
            path
        };
        let (cpu, memory, pids) = (sub("cpu"), sub("memory"), sub("pids"));
        let group = Group {
            dirs: vec![
                (Hierarchy::V1(Controller::Cpu), cpu.clone()),
                (Hierarchy::V1(Controller::Memory), memory.clone()),
                (Hierarchy::V1(Controller::Pids), pids.clone()),
                (Hierarchy::V2, sub("unified")),
            ],
        };
        group.limit(&LIMITS).expect("limits are written");
        let read = |path: std::path::PathBuf| fs::read_to_string(path).expect("was written");
        assert_eq!(read(cpu.join("cpu.cfs_quota_us")), "20000");
        assert_eq!(read(cpu.join("cpu.shares")), "102");
        assert_eq!(read(memory.join("memory.limit_in_bytes")), "67108864");
        assert_eq!(read(pids.join("pids.max")), "16");
    }

    #[test]
    fn changed_limits_are_written_and_the_others_are_not_touched() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let group = Group { dirs: vec![(Hierarchy::V2, dir.path().to_owned())] };
        let larger = Limits { memory_bytes: Some(128 << 20), cpu_millis: None, ..LIMITS };
        group.change_limits(&LIMITS, &larger).expect("limits are written");
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).expect("was written");
        assert_eq!(read("memory.max"), "134217728");
        assert_eq!(read("cpu.max"), "max 100000");
        assert!(!dir.path().join("pids.max").exists() && !dir.path().join("cpu.weight").exists());
    }

    #[test]
    fn what_the_kernel_can_drop_is_not_in_use() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("memory.current"), "3000\n").expect("writable");
        fs::write(dir.path().join("memory.stat"), "anon 1000\ninactive_file 500\n")
            .expect("writable");
        let group = Group { dirs: vec![(Hierarchy::V2, dir.path().to_owned())] };
        assert_eq!(group.memory_in_use(), Some(2500));
    }

    #[test]
    fn a_limit_without_its_controller_is_refused_not_ignored() {
        let group = Group { dirs: vec![] };
        let refused = group.limit(&LIMITS).expect_err("nothing can keep the limit");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    }
}
