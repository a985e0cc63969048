//! Where a task runs: the executor's own container, or the sandbox's beside it.
//!
//! Containers of a pod that share their processes see each other in `/proc`, and each has a mount namespace of its own. So a container is a mount namespace, and its
//! first process is the oldest one in it. Commands somebody runs in it (`kubectl exec`) and children that a marker was handed down to are younger.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use crate::{
    TASK_VARIABLE,
    processes::{self, Stat},
};

/// The variable by which a pod's author names the container that tasks are for.
const MARKER: &str = "SANDBOX_MAIN_CONTAINER";

/// Whose processes tasks are to be among.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What the pod looks like decides.
    Find,
    /// The sandbox's container, never our own.
    Beside,
}

/// What was found.
pub(crate) enum Place {
    /// This container.
    Own,
    /// Another one, seen through its first process.
    Beside(Container),
}

impl Place {
    /// Whether the container still runs. Our own does, or nobody would ask.
    pub(crate) fn still_there(&self) -> bool {
        match self {
            Self::Own => true,
            Self::Beside(container) => container.still_there(),
        }
    }
}

/// The first process of a container, held so that its number can't change hands.
pub(crate) struct Container {
    pub(crate) pid: i32,
    stat: Stat,
    pub(crate) held: OwnedFd,
}

impl Container {
    /// Whether everything that was read under its number was its own.
    pub(crate) fn still_there(&self) -> bool {
        let is = |now: Stat| now.started == self.stat.started && now.alive() && !now.ending();
        Stat::of(self.pid).is_some_and(is)
    }
}

/// A process that may be a container's first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    pid: i32,
    started: u64,
    mounts: u64,
    /// The name in its marker.
    marker: Option<String>,
}

/// What the processes around us say.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Beside(i32),
    /// The container is not there, or not yet.
    Wait(String),
}

/// Looks for the place. An error is a message for people: there is no such place now, and there may be one soon.
pub(crate) fn find(mode: &Mode, name: &str) -> Result<Place, String> {
    let seen = processes::all().map_err(|e| format!("read /proc: {e}"))?;
    let own = processes::namespace("self", "mnt");
    let first = processes::namespace("1", "mnt");
    let shared = !processes::in_the_machine_s_namespace() && first.is_some() && first != own;
    if *mode == Mode::Find && !shared {
        return Ok(Place::Own);
    }
    // The first process of a shared namespace is the pod's, not a container's.
    let foreign = |mounts: &u64| Some(*mounts) != own && !(shared && Some(*mounts) == first);
    let candidates: Vec<Candidate> = seen
        .iter()
        .filter(|(_, stat)| stat.alive() && !stat.is_kernel_thread())
        .filter_map(|(pid, stat)| candidate(*pid, stat))
        .filter(|candidate| foreign(&candidate.mounts))
        .collect();
    match choose(&candidates, name, shared) {
        Choice::Wait(why) => Err(why),
        Choice::Beside(pid) => hold(pid, &seen).map(Place::Beside),
    }
}

/// Where tasks would run now, for people.
pub(crate) fn describe(mode: &Mode, name: &str) -> String {
    match find(mode, name) {
        Ok(Place::Own) => "tasks run in this container".to_owned(),
        Ok(Place::Beside(container)) => {
            format!("tasks run in the container of process {}", container.pid)
        }
        Err(why) => format!("tasks have to wait for their container: {why}"),
    }
}

fn candidate(pid: i32, stat: &Stat) -> Option<Candidate> {
    let mounts = processes::namespace(&pid.to_string(), "mnt")?;
    let environment = processes::environment(pid).unwrap_or_default();
    let value = |name: &str| environment.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    // A task of ours that has entered a container is no container.
    if value(TASK_VARIABLE).is_some() {
        return None;
    }
    let marker = value(MARKER).map(|value| value.to_string_lossy().into_owned());
    Some(Candidate { pid, started: stat.started, mounts, marker })
}

/// One container is named, or there is only one, or the oldest is meant: the containers of a pod start in the order of its spec, and what a sandbox is for
/// comes before what serves it.
fn choose(candidates: &[Candidate], name: &str, shared: bool) -> Choice {
    let mut firsts: BTreeMap<u64, &Candidate> = BTreeMap::new();
    for candidate in candidates {
        let first = firsts.entry(candidate.mounts).or_insert(candidate);
        if (candidate.started, candidate.pid) < (first.started, first.pid) {
            *first = candidate;
        }
    }
    let marked = candidates.iter().filter(|one| one.marker.as_deref() == Some(name));
    let named = marked.filter_map(|one| firsts.get(&one.mounts));
    let oldest = |one: &&&Candidate| (one.started, one.pid);
    if let Some(main) = named.min_by_key(oldest) {
        return Choice::Beside(main.pid);
    }
    if !shared {
        let why =
            format!("no process has {MARKER}={name}, and the pod does not share its processes");
        return Choice::Wait(why);
    }
    match firsts.values().min_by_key(oldest) {
        Some(main) => Choice::Beside(main.pid),
        None => Choice::Wait(
            "no other container of the pod is running, or CAP_SYS_PTRACE is missing".to_owned(),
        ),
    }
}

fn hold(pid: i32, seen: &BTreeMap<i32, Stat>) -> Result<Container, String> {
    let gone = || format!("process {pid} of the sandbox has just ended");
    let stat = *seen.get(&pid).ok_or_else(gone)?;
    let held = processes::hold(pid, &stat).ok_or_else(gone)?;
    Ok(Container { pid, stat, held })
}

impl Container {
    /// The variables of its first process.
    pub(crate) fn environment(&self) -> io::Result<Vec<(std::ffi::OsString, std::ffi::OsString)>> {
        processes::environment(self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, started: u64, mounts: u64, marker: Option<&str>) -> Candidate {
        Candidate { pid, started, mounts, marker: marker.map(str::to_owned) }
    }

    #[test]
    fn the_named_container_is_found_by_its_first_process_not_by_who_carries_the_name() {
        let seen = [
            process(7, 50, 1, None),
            process(9, 60, 2, None),
            process(30, 99, 2, Some("main")),
            process(31, 98, 1, Some("other")),
        ];
        assert_eq!(choose(&seen, "main", true), Choice::Beside(9));
        assert_eq!(choose(&seen, "main", false), Choice::Beside(9));
        assert_eq!(choose(&seen, "other", true), Choice::Beside(7));
    }

    #[test]
    fn without_a_name_the_oldest_container_is_meant_whatever_its_number() {
        let seen = [process(9, 70, 2, None), process(12, 50, 1, None), process(3, 90, 1, None)];
        assert_eq!(choose(&seen, "main", true), Choice::Beside(12));
    }

    #[test]
    fn nobody_is_chosen_where_nobody_is_meant() {
        let stranger = [process(9, 70, 2, None)];
        assert!(matches!(choose(&stranger, "main", false), Choice::Wait(_)));
        assert!(matches!(choose(&[], "main", true), Choice::Wait(_)));
    }
}
