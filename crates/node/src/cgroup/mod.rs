//! Control groups on version 1, version 2 and the mixture of both.
//!
//! A [`Group`] is one node of our tree in every hierarchy that the machine has. Limits go where the controller is (a controller is
//! in exactly one hierarchy); ending all processes at once always goes through version 2 where it is mounted, because a
//! hierarchy without controllers can do that as well.
//!
//! A process enters a group by writing `0` itself: to `tasks` on version 1 and to `cgroup.procs` on version 2. Moving somebody
//! else takes a lock over all processes of the machine, with tails of many milliseconds.

mod devices;
mod layout;
mod limits;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub use layout::{Controller, Hierarchy};

/// One node of our tree, in every hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Group {
    dirs: Vec<(Hierarchy, PathBuf)>,
}

/// How long to wait for the last process of a killed group to leave it. A dying process is gone in about two milliseconds; one in
/// an uninterruptible wait may never go, and then the folder is left to the next attempt.
const EMPTY_DEADLINE: Duration = Duration::from_secs(5);

impl Group {
    /// Our tree on this machine, below the group of the calling process, made if absent.
    ///
    /// # Errors
    /// If no hierarchy is writable.
    pub fn base(name: &str) -> io::Result<Self> {
        layout::base(name)
    }

    /// Whether there is such a tree, from this process or one before it.
    #[must_use]
    pub fn base_exists(name: &str) -> bool {
        layout::exists(name)
    }

    /// A node below this one. It is not made yet.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { dirs: self.dirs.iter().map(|(h, dir)| (*h, dir.join(name))).collect() }
    }

    /// The same node seen through other folders, for a process that can't see the mounts any more.
    pub(crate) fn map_dirs(
        &self,
        mut to: impl FnMut(&Path) -> io::Result<PathBuf>,
    ) -> io::Result<Self> {
        let dirs =
            self.dirs.iter().map(|(h, dir)| Ok((*h, to(dir)?))).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { dirs })
    }

    /// The node's folder in each hierarchy.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(|(_, dir)| dir.as_path())
    }

    /// Makes the node. One that exists is fine.
    ///
    /// # Errors
    /// If a folder can't be made.
    pub fn create(&self) -> io::Result<()> {
        for (hierarchy, dir) in &self.dirs {
            match fs::create_dir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(named(e, "make", dir));
                }
                _ => layout::prepare(*hierarchy, dir)?,
            }
        }
        Ok(())
    }

    /// Lets the node's children have limits of their own (version 2 wants to be told; such a node can't hold processes itself).
    ///
    /// # Errors
    /// If the controllers can't be handed down.
    pub fn hand_down(&self) -> io::Result<()> {
        for (hierarchy, dir) in &self.dirs {
            if *hierarchy == Hierarchy::V2 {
                layout::hand_down(dir)?;
            }
        }
        Ok(())
    }

    /// The files into which a process writes `0` to enter the node.
    ///
    /// # Errors
    /// If the node doesn't exist.
    pub fn doors(&self) -> io::Result<Vec<File>> {
        self.dirs
            .iter()
            .map(|(hierarchy, dir)| {
                let file = match hierarchy {
                    Hierarchy::V1(_) => "tasks",
                    Hierarchy::V2 => "cgroup.procs",
                };
                let path = dir.join(file);
                OpenOptions::new().write(true).open(&path).map_err(|e| named(e, "open", &path))
            })
            .collect()
    }

    /// Moves the calling thread (the whole process, on version 2) into the node.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn enter(&self) -> io::Result<()> {
        enter_by(&self.doors()?)
    }

    /// Ends every process in the node and below, and waits until they are gone.
    ///
    /// # Errors
    /// If some process is still there after the deadline.
    pub fn kill(&self) -> io::Result<()> {
        let deadline = Instant::now() + EMPTY_DEADLINE;
        loop {
            self.send_kill()?;
            if self.processes().is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("processes {:?} do not end", self.processes()),
                ));
            }
            // The kernel has no blocking wait for an empty group on version 1.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Asks the kernel to end every process in the node and below, and does not wait.
    ///
    /// # Errors
    /// If the node can't be written.
    pub fn send_kill(&self) -> io::Result<()> {
        if let Some(dir) = self.unified() {
            match fs::write(dir.join("cgroup.kill"), "1") {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(named(e, "kill", dir)),
                Ok(()) => return Ok(()),
            }
        }
        for pid in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                // One that has ended meanwhile is what we want.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        Ok(())
    }

    /// The processes in the node and below, in no order.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        // Every hierarchy holds all of them; the unified one is the cheapest to read.
        let dir = self.unified().or_else(|| self.dirs.first().map(|(_, dir)| dir.as_path()));
        let mut pids = Vec::new();
        if let Some(dir) = dir {
            collect(dir, &mut pids);
        }
        pids
    }

    /// Removes the node and everything below it. One that is gone is fine.
    ///
    /// # Errors
    /// If it is still in use after the deadline.
    pub fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + EMPTY_DEADLINE;
        for (_, dir) in &self.dirs {
            loop {
                match remove_tree(dir) {
                    Ok(()) => break,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                    // A process that has been reaped is counted a moment longer.
                    Err(e)
                        if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
                    {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(e) => return Err(named(e, "remove", dir)),
                }
            }
        }
        Ok(())
    }

    /// How many processes in the node and below the kernel has ended for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        match self.of(Controller::Memory) {
            Some((Hierarchy::V1(_), dir)) => oom_kills_v1(dir),
            // Counts what is below by itself.
            Some((Hierarchy::V2, dir)) => count(&dir.join("memory.events")),
            None => 0,
        }
    }

    fn unified(&self) -> Option<&Path> {
        self.dirs.iter().find(|(h, _)| *h == Hierarchy::V2).map(|(_, dir)| dir.as_path())
    }

    /// The folder in which a controller's files are: its own hierarchy, or the unified one.
    fn of(&self, controller: Controller) -> Option<(Hierarchy, &Path)> {
        self.dirs
            .iter()
            .find(|(h, _)| *h == Hierarchy::V1(controller))
            .or_else(|| self.dirs.iter().find(|(h, _)| *h == Hierarchy::V2))
            .map(|(h, dir)| (*h, dir.as_path()))
    }
}

/// Enters a node through its open [`Group::doors`]: no allocation, so that a process between fork and exec may call it.
///
/// # Errors
/// If the kernel refuses.
pub fn enter_by(doors: &[File]) -> io::Result<()> {
    for mut door in doors {
        door.write_all(b"0")?;
    }
    Ok(())
}

fn oom_kills_v1(dir: &Path) -> u64 {
    let below: u64 = folders(dir).iter().map(|folder| oom_kills_v1(folder)).sum();
    below + count(&dir.join("memory.oom_control"))
}

fn count(file: &Path) -> u64 {
    let Ok(text) = fs::read_to_string(file) else { return 0 };
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn collect(dir: &Path, pids: &mut Vec<i32>) {
    if let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) {
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    for child in folders(dir) {
        collect(&child, pids);
    }
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for child in folders(dir) {
        remove_tree(&child)?;
    }
    fs::remove_dir(dir)
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn named(e: io::Error, attempted: &str, path: &Path) -> io::Error {
    io::Error::new(e.kind(), format!("{attempted} {}: {e}", path.display()))
}
