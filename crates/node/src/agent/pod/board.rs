//! What others may know of a pod's containers while its task runs: where the logs are, and what is running.

use std::{collections::BTreeMap, net::IpAddr};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Shared by a pod's task and by those who reach into the pod.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ips: Vec<IpAddr>,
    containers: BTreeMap<String, Runs>,
}

#[derive(Debug)]
struct Runs {
    current: u32,
    previous: Option<u32>,
    running: watch::Sender<bool>,
}

/// A log to read.
pub(crate) struct LogPlace {
    pub(crate) attempt: u32,
    /// Turns false when the run ends.
    pub(crate) running: watch::Receiver<bool>,
}

impl Board {
    pub(crate) fn set_ips(&self, ips: &[IpAddr]) {
        self.0.lock().ips = ips.to_vec();
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.0.lock().ips.first().copied()
    }

    /// A run has begun. To be told so twice changes nothing.
    pub(crate) fn began(&self, container: &str, attempt: u32) {
        let mut inner = self.0.lock();
        let known = inner.containers.get(container);
        if known.is_some_and(|runs| runs.current == attempt && *runs.running.borrow()) {
            return;
        }
        let previous = inner.containers.remove(container).map(|runs| runs.current);
        let previous = previous.or_else(|| attempt.checked_sub(1));
        let runs = Runs { current: attempt, previous, running: watch::Sender::new(true) };
        inner.containers.insert(container.to_owned(), runs);
    }

    /// The current run has ended.
    pub(crate) fn ended(&self, container: &str) {
        if let Some(runs) = self.0.lock().containers.get(container) {
            runs.running.send_replace(false);
        }
    }

    pub(crate) fn is_running(&self, container: &str) -> bool {
        self.0.lock().containers.get(container).is_some_and(|runs| *runs.running.borrow())
    }

    /// The log of the current or the previous run; nothing if there was no such run.
    pub(crate) fn log(&self, container: &str, previous: bool) -> Option<LogPlace> {
        let inner = self.0.lock();
        let runs = inner.containers.get(container)?;
        if previous {
            let running = watch::Sender::new(false).subscribe();
            return Some(LogPlace { attempt: runs.previous?, running });
        }
        Some(LogPlace { attempt: runs.current, running: runs.running.subscribe() })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Followers of a pod that is gone come to an end.
        for runs in self.0.get_mut().containers.values() {
            runs.running.send_replace(false);
        }
    }
}
