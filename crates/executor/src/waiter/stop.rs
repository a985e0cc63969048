//! Ends a task and everything it started, also what has left its session, its process group and its parents.

use std::{collections::BTreeMap, io, time::Duration};

use rustix::process::Signal;
use tokio::time::Instant;

use crate::{
    TASK_VARIABLE,
    processes::{self, Stat},
};

/// Between two looks at who is left. A look reads a small file for each process of the pod.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A process that survives being killed for this long hangs in the kernel, or is made anew faster than it can be ended. It is reported, not waited for.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// A stop in progress.
pub(super) struct Stop {
    force_at: Instant,
    next_look: Instant,
}

/// How a stop stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Somebody is left.
    Going,
    /// Nobody is.
    Done,
    /// These can't be ended.
    Stuck(usize),
}

impl Stop {
    /// Asks everyone to end.
    pub(super) fn begin(id: &str, grace: Duration) -> io::Result<Self> {
        for (pid, stat) in tree(id)? {
            processes::signal(pid, &stat, Signal::TERM);
            // One that is stopped could not hear it.
            processes::signal(pid, &stat, Signal::CONT);
        }
        let now = Instant::now();
        Ok(Self { force_at: now + grace, next_look: now + LOOK_EVERY })
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// A child has ended, so it may be over.
    pub(super) fn hurry(&mut self) {
        self.next_look = Instant::now();
    }

    /// Looks who is left, if it is time to, and ends them when the grace is over.
    pub(super) fn look(&mut self, id: &str) -> io::Result<Progress> {
        let now = Instant::now();
        if now < self.next_look {
            return Ok(Progress::Going);
        }
        self.next_look = now + LOOK_EVERY;
        let left = tree(id)?;
        if left.is_empty() {
            return Ok(Progress::Done);
        }
        if now >= self.force_at {
            for (pid, stat) in &left {
                processes::signal(*pid, stat, Signal::KILL);
            }
        }
        match now >= self.force_at + GIVE_UP_AFTER {
            true => Ok(Progress::Stuck(left.len())),
            false => Ok(Progress::Going),
        }
    }
}

fn tree(id: &str) -> io::Result<BTreeMap<i32, Stat>> {
    let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    processes::tree(own, (TASK_VARIABLE, id))
}
