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

impl Group {
    /// Sets the limits; absent ones are left as they are (a fresh node has none).
    ///
    /// # Errors
    /// If the kernel refuses a value or the controller isn't on this machine.
    pub fn limit(&self, limits: &Limits) -> io::Result<()> {
        if let Some(millis) = limits.cpu_request_millis {
            let shares = (millis * 1024 / 1000).clamp(*SHARES.start(), *SHARES.end());
            match self.needed(Controller::Cpu)? {
                (Hierarchy::V1(_), dir) => write(dir, "cpu.shares", &shares.to_string())?,
                (Hierarchy::V2, dir) => {
                    write(dir, "cpu.weight", &weight(shares).to_string())?;
                }
            }
        }
        if let Some(millis) = limits.cpu_millis {
            let quota = (millis * CPU_PERIOD_US / 1000).max(CPU_QUOTA_FLOOR_US);
            match self.needed(Controller::Cpu)? {
                (Hierarchy::V1(_), dir) => {
                    write(dir, "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                    write(dir, "cpu.cfs_quota_us", &quota.to_string())?;
                }
                (Hierarchy::V2, dir) => {
                    write(dir, "cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
                }
            }
        }
        if let Some(bytes) = limits.memory_bytes {
            match self.needed(Controller::Memory)? {
                (Hierarchy::V1(_), dir) => {
                    write(dir, "memory.limit_in_bytes", &bytes.to_string())?;
                    // Memory and swap together: no swap, as Kubernetes has it. Absent without swap accounting.
                    if dir.join("memory.memsw.limit_in_bytes").exists() {
                        write(dir, "memory.memsw.limit_in_bytes", &bytes.to_string())?;
                    }
                }
                (Hierarchy::V2, dir) => {
                    write(dir, "memory.max", &bytes.to_string())?;
                    if dir.join("memory.swap.max").exists() {
                        write(dir, "memory.swap.max", "0")?;
                    }
                }
            }
        }
        if let Some(pids) = limits.pids {
            let (_, dir) = self.needed(Controller::Pids)?;
            write(dir, "pids.max", &pids.to_string())?;
        }
        Ok(())
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
    fn a_limit_without_its_controller_is_refused_not_ignored() {
        let group = Group { dirs: vec![] };
        let refused = group.limit(&LIMITS).expect_err("nothing can keep the limit");
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    }
}
