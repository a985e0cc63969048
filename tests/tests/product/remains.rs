//! What a server and its pods have of this machine: processes, control groups, mounts, network devices.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Clean-up runs behind the answer of `reset` (orphans are reaped by the first process); this long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to find what belongs to a data directory.
pub struct Remains {
    data: PathBuf,
    /// A process in the network namespace of the machine.
    inside: i32,
    /// The names of the topmost control groups.
    groups: BTreeSet<String>,
}

impl Remains {
    pub fn of(data: &Path, inside: i32) -> Self {
        let mut remains = Self { data: data.to_owned(), inside, groups: BTreeSet::new() };
        // A server names its bridge sb-ID and its control groups sandbank-ID.
        let ids = remains.devices();
        let ids = ids.iter().filter_map(|device| device.strip_prefix("sb-"));
        remains.groups = ids.map(|id| format!("sandbank-{id}")).collect();
        remains
    }

    /// Everything there is now, a line each.
    pub fn list(&self) -> Vec<String> {
        let processes = processes(&self.data, &self.groups);
        let mut list: Vec<String> =
            processes.iter().map(|(pid, words)| format!("process {pid} {words}")).collect();
        list.extend(
            control_groups(&self.groups).iter().map(|g| format!("control group {}", g.display())),
        );
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let data = self.data.to_string_lossy();
        list.extend(
            mounts.lines().filter(|line| line.contains(&*data)).map(|line| format!("mount {line}")),
        );
        list.extend(self.devices().into_iter().map(|device| format!("network device {device}")));
        list
    }

    fn mounts(&self) -> Vec<String> {
        let data = self.data.to_string_lossy();
        let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = all.lines().filter(|line| line.contains(&*data));
        ours.map(|line| format!("mount {line}")).collect()
    }

    /// The network devices but the loopback.
    pub fn devices(&self) -> Vec<String> {
        let net = format!("--net=/proc/{}/ns/net", self.inside);
        let shown =
            Command::new("nsenter").args([&net, "--", "ip", "-o", "link"]).output().unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        let name = |line: &str| line.split(": ").nth(1).map(str::to_owned);
        text.lines().filter_map(name).filter(|name| name != "lo").collect()
    }

    /// What is still there when nothing goes any more.
    pub fn wait_until_gone(&self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.list();
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Counts of everything, and the network namespaces its processes are in.
    pub fn counts(&self) -> Counts {
        let processes = processes(&self.data, &self.groups);
        let namespaces: BTreeSet<_> = processes
            .iter()
            .filter_map(|(pid, _)| fs::read_link(format!("/proc/{pid}/ns/net")).ok())
            .collect();
        Counts {
            processes: processes.len(),
            namespaces: namespaces.len(),
            groups: control_groups(&self.groups).len(),
            mounts: self.mounts().len(),
            devices: self.devices().len(),
            pods: fs::read_dir(self.data.join("pods")).map_or(0, Iterator::count),
            trash: fs::read_dir(self.data.join("trash")).map_or(0, Iterator::count),
        }
    }
}

/// How much of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    pub processes: usize,
    pub namespaces: usize,
    pub groups: usize,
    pub mounts: usize,
    pub devices: usize,
    pub pods: usize,
    pub trash: usize,
}

/// The processes that were told of the data directory or live in one of the control groups, but not zombies:
/// those are for the first process of the machine to reap.
fn processes(data: &Path, groups: &BTreeSet<String>) -> Vec<(i32, String)> {
    let data = data.to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().map_while(Result::ok) {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let group = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let zombie = stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with('Z'));
        let ours =
            words.contains(&*data) || groups.iter().any(|name| group.contains(name.as_str()));
        if ours && !zombie && !words.is_empty() {
            found.push((pid, words));
        }
    }
    found
}

/// All control groups with one of the names above them, of every hierarchy.
fn control_groups(names: &BTreeSet<String>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().map_while(Result::ok) {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            if path
                .components()
                .any(|part| names.iter().any(|name| part.as_os_str() == name.as_str()))
            {
                found.push(path.clone());
            }
            open.push(path);
        }
    }
    found
}
