//! What our pods hold on the machine. A machine without pods holds nothing; tests count before and after.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use crate::cgroup::Group;

/// Everything that a pod could leave behind, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Folders of control groups below our tree, in all hierarchies.
    pub groups: usize,
    /// Mounts below the pods' folder that the machine sees (a pod's own are in its namespace).
    pub mounts: usize,
    /// Namespaces of all kinds that processes of pods are in and this process is not.
    pub namespaces: usize,
    /// Interfaces in the machine's network that lead to pods; prepared namespaces have one as well.
    pub interfaces: usize,
    /// Processes of pods, shims included.
    pub processes: usize,
    /// Runtime folders.
    pub folders: usize,
}

/// The kinds of namespaces, as `/proc` names them.
const NAMESPACES: [&str; 6] = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];

/// Counts all but the interfaces, which only the network's thread can see.
pub(super) fn count(groups: &Group, pods: &Path) -> io::Result<Holdings> {
    let processes = groups.processes();
    let mut namespaces = BTreeSet::new();
    for kind in NAMESPACES {
        let own = fs::read_link(format!("/proc/self/ns/{kind}"))?;
        for pid in &processes {
            // It may end while we look.
            if let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/{kind}"))
                && namespace != own
            {
                namespaces.insert(namespace);
            }
        }
    }
    let pods_text = pods.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo")?
        .lines()
        .filter(|line| line.split(' ').nth(4).is_some_and(|point| point.starts_with(&*pods_text)))
        .count();
    let folders = match fs::read_dir(pods) {
        Ok(entries) => {
            entries.flatten().filter(|entry| entry.path().join("runtime").exists()).count()
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
        Err(e) => return Err(e),
    };
    Ok(Holdings {
        groups: groups.dirs().map(below).sum(),
        mounts,
        namespaces: namespaces.len(),
        interfaces: 0,
        processes: processes.len(),
        folders,
    })
}

fn below(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let folders: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    folders.len() + folders.iter().map(|folder| below(folder)).sum::<usize>()
}
