//! Which hierarchies the machine has, and where our tree hangs in each.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Group, named};

/// A controller that we use.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Controller {
    /// Shares and quota of processor time.
    Cpu,
    /// Bytes.
    Memory,
    /// Processes and threads.
    Pids,
    /// Which device nodes may be opened; version 1 only.
    Devices,
}

impl Controller {
    const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Pids, Self::Devices];

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Devices => "devices",
        }
    }
}

/// A tree of groups that the kernel keeps.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Hierarchy {
    /// The hierarchy of one controller (it may share it with others).
    V1(Controller),
    /// The unified one, with or without controllers.
    V2,
}

/// The controllers whose limits a version 2 tree has to enforce.
const NEEDED_V2: [&str; 3] = ["cpu", "memory", "pids"];

pub(super) fn base(name: &str) -> io::Result<Group> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let mut dirs = Vec::new();
    for (hierarchy, dir) in parse(&mounts, &own) {
        let only = hierarchy == Hierarchy::V2 && is_only_v2(&mounts);
        let parent = if only { roomy_ancestor(&dir)? } else { dir };
        dirs.push((hierarchy, parent.join(name)));
    }
    if dirs.is_empty() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "no cgroup hierarchy is mounted"));
    }
    let group = Group { dirs };
    group.create()?;
    group.hand_down()?;
    Ok(group)
}

/// Whether [`base`] of that name was made before.
pub(super) fn exists(name: &str) -> bool {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let (mounts, own) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
    parse(&mounts, &own)
        .iter()
        .any(|(_, dir)| dir.ancestors().any(|dir| dir.join(name).join("cgroup.procs").exists()))
}

/// Files that must be filled in before a process may enter a fresh node.
pub(super) fn prepare(hierarchy: Hierarchy, dir: &Path) -> io::Result<()> {
    if !matches!(hierarchy, Hierarchy::V1(_)) {
        return Ok(());
    }
    // Where `cpuset` shares the hierarchy, an empty one refuses every process.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = dir.join(file);
        if fs::read_to_string(&path).is_ok_and(|text| text.trim().is_empty())
            && let Some(parent) = dir.parent()
        {
            let value = fs::read_to_string(parent.join(file))?;
            fs::write(&path, value.trim()).map_err(|e| named(e, "write", &path))?;
        }
    }
    Ok(())
}

/// Enables in `dir` the controllers that its parent gave it.
pub(super) fn hand_down(dir: &Path) -> io::Result<()> {
    let available = fs::read_to_string(dir.join("cgroup.controllers"))?;
    let wanted: Vec<String> = available
        .split_whitespace()
        .filter(|name| NEEDED_V2.contains(name))
        .map(|name| format!("+{name}"))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let path = dir.join("cgroup.subtree_control");
    fs::write(&path, wanted.join(" ")).map_err(|e| named(e, "write", &path))
}

/// On pure version 2, the nearest group, from our own upwards, that can give limits to children. Our own usually holds processes
/// (us) and then can't, unless it was delegated to us with a leaf of its own.
fn roomy_ancestor(own: &Path) -> io::Result<PathBuf> {
    let mut last = None;
    for dir in own.ancestors() {
        if !dir.join("cgroup.controllers").exists() {
            break;
        }
        match hand_down(dir) {
            Ok(()) if has_needed(dir) => return Ok(dir.to_owned()),
            Ok(()) => {}
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "no cgroup above this process may hand down the cpu, memory and pids controllers",
        )
    }))
}

fn has_needed(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.subtree_control")).is_ok_and(|text| {
        NEEDED_V2.iter().all(|needed| text.split_whitespace().any(|name| name == *needed))
    })
}

fn is_only_v2(mounts: &str) -> bool {
    !mounts.lines().any(|line| line.contains(" - cgroup "))
}

/// Our own folder in each hierarchy, from `/proc/self/mountinfo` and `/proc/self/cgroup`. Several mounts of one hierarchy: the first.
fn parse(mounts: &str, own: &str) -> Vec<(Hierarchy, PathBuf)> {
    let mut own_paths = BTreeMap::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        for controller in controllers.split(',') {
            own_paths.insert(controller, path);
        }
    }
    let mut found = BTreeMap::new();
    for line in mounts.lines() {
        // ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAGS] - TYPE SOURCE SUPER-OPTIONS
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (Some(root), Some(point), Some(kind), Some(options)) =
            (left.get(3), left.get(4), right.first(), right.get(2))
        else {
            continue;
        };
        let place = |own: &str| {
            // A mount may show only a part of the hierarchy.
            let inside = own.strip_prefix(root.trim_end_matches('/')).unwrap_or(own);
            Path::new(point).join(inside.trim_start_matches('/'))
        };
        match *kind {
            "cgroup2" => {
                let own = own_paths.get("").copied().unwrap_or("/");
                found.entry(Hierarchy::V2).or_insert_with(|| place(own));
            }
            "cgroup" => {
                for controller in Controller::ALL {
                    if options.split(',').any(|option| option == controller.name()) {
                        let own = own_paths.get(controller.name()).copied().unwrap_or("/");
                        found.entry(Hierarchy::V1(controller)).or_insert_with(|| place(own));
                    }
                }
            }
            _ => {}
        }
    }
    // `cpu,memory` mounted together appear once for each controller: entering twice is harmless.
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_machine_has_limits_on_version_1_and_an_empty_version_2_tree() {
        let mounts = "\
25 20 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:21 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
27 25 0:22 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
28 25 0:23 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
29 25 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let own = "4:memory:/service/a\n1:cpu:/\n8:pids:/\n0::/";
        let found = parse(mounts, own);
        assert_eq!(
            found,
            vec![
                (Hierarchy::V1(Controller::Cpu), "/sys/fs/cgroup/cpu/".into()),
                (Hierarchy::V1(Controller::Memory), "/sys/fs/cgroup/memory/service/a".into()),
                (Hierarchy::V1(Controller::Pids), "/sys/fs/cgroup/pids/".into()),
                (Hierarchy::V2, "/sys/fs/cgroup/unified/".into()),
            ]
        );
        assert!(!is_only_v2(mounts));
    }

    #[test]
    fn a_unified_machine_has_one_tree_for_everything() {
        let mounts = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let own = "0::/user.slice/session-1.scope";
        assert_eq!(
            parse(mounts, own),
            vec![(Hierarchy::V2, "/sys/fs/cgroup/user.slice/session-1.scope".into())]
        );
        assert!(is_only_v2(mounts));
    }

    #[test]
    fn a_mount_that_shows_a_part_of_the_tree_hides_the_path_above_it() {
        let mounts = "31 20 0:26 /outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let own = "4:memory:/outer/inner";
        assert_eq!(
            parse(mounts, own),
            vec![(Hierarchy::V1(Controller::Memory), "/sys/fs/cgroup/memory/inner".into())]
        );
    }
}
