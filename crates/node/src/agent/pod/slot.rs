//! One container of a pod, and what is to be done with it next.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use std::time::Duration;

use crate::{
    backoff::Backoff,
    runtime::{ContainerState, Exit},
};

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Runs to its end before the next one.
    Init,
    /// An init container that stays: the next one begins when it has started.
    Sidecar,
    /// What the pod is for.
    Main,
}

/// When a pod's containers are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    pub(crate) fn of(spec: &PodSpec) -> Self {
        match spec.restart_policy.as_deref() {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }
}

/// How a run of a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) exit_code: i32,
    pub(crate) signal: Option<i32>,
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Timestamp,
    pub(crate) container_id: Option<String>,
}

impl Ended {
    /// From what the runtime saw.
    pub(crate) fn of(exit: &Exit, started_at: Option<Timestamp>, id: Option<String>) -> Self {
        let reason = match (exit.oom, exit.code) {
            (true, _) => "OOMKilled",
            (false, 0) => "Completed",
            (false, _) => "Error",
        };
        Self {
            exit_code: exit.code,
            signal: exit.signal,
            reason: reason.into(),
            message: None,
            started_at,
            finished_at: exit.at,
            container_id: id,
        }
    }
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not running; the reason is for people (`PodInitializing`, `CrashLoopBackOff`, `ErrImagePull`...).
    Waiting { reason: &'static str, message: Option<String> },
    /// Being started right now; shown as waiting for ContainerCreating.
    Starting,
    /// Running.
    Running { started_at: Timestamp },
    /// Ended, and stays so unless its restart is due.
    Ended(Ended),
}

/// A container and its history.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) state: State,
    /// How the run before the current one ended.
    pub(crate) last: Option<Ended>,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// How often a start was tried; names the log file.
    pub(crate) attempt: u32,
    /// Before this nothing is tried. Only in `Waiting`.
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) crashes: Backoff,
    pub(crate) pulls: Backoff,
    /// The image of the current run or the last one, as the pod named it then.
    pub(crate) image: Option<String>,
    /// Its digest.
    pub(crate) image_id: Option<String>,
    /// The image that the last start was tried with.
    pub(crate) tried: Option<String>,
    /// Whether a run with the present image has ended by itself.
    pub(crate) crashed: bool,
    /// Whether we are ending it to start it anew.
    pub(crate) replacing: bool,
    /// What this node has granted; what the pod wants may be more.
    pub(crate) allocated: ResourceRequirements,
    /// What the current run may use.
    pub(crate) applied: Option<ResourceRequirements>,
    /// Whether it has passed its startup probe, or has none.
    pub(crate) started: bool,
    /// Whether its readiness probe says so, or it has none.
    pub(crate) ready: bool,
}

impl Slot {
    /// A container that was never started.
    pub(crate) fn new(container: &Container, role: Role, has_init: bool) -> Self {
        let reason =
            if role == Role::Main && has_init { "PodInitializing" } else { "ContainerCreating" };
        Self {
            name: container.name.clone(),
            role,
            state: State::Waiting { reason, message: None },
            last: None,
            restarts: 0,
            attempt: 0,
            retry_at: None,
            crashes: Backoff::default(),
            pulls: Backoff::default(),
            image: None,
            image_id: None,
            tried: None,
            crashed: false,
            replacing: false,
            allocated: container.resources.clone().unwrap_or_default(),
            applied: None,
            started: false,
            ready: false,
        }
    }

    /// All containers of a pod: init containers first, in order.
    pub(crate) fn all(spec: &PodSpec) -> Vec<Self> {
        let has_init = spec.init_containers.as_ref().is_some_and(|list| !list.is_empty());
        let init = spec.init_containers.iter().flatten().map(|c| {
            let stays = c.restart_policy.as_deref() == Some("Always");
            Self::new(c, if stays { Role::Sidecar } else { Role::Init }, has_init)
        });
        init.chain(spec.containers.iter().map(|c| Self::new(c, Role::Main, has_init))).collect()
    }

    /// The id that a status shows for the current run.
    pub(crate) fn container_id(&self, uid: &str) -> String {
        format!("sandbank://{uid}.{}.{}", self.name, self.attempt)
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Takes over what the runtime says of a container that was started before this process.
    pub(crate) fn adopt(&mut self, held: &ContainerState, uid: &str) {
        self.attempt = held.setup.attempt;
        let started_at = held.started_at;
        self.state = match &held.exit {
            None => State::Running { started_at },
            Some(exit) => {
                State::Ended(Ended::of(exit, Some(started_at), Some(self.container_id(uid))))
            }
        };
    }

    /// Whether an end with this code is followed by another start.
    pub(crate) fn restarts_after(&self, code: i32, policy: RestartPolicy) -> bool {
        match (self.role, policy) {
            (Role::Sidecar, _) => true,
            (Role::Init, RestartPolicy::Never) => false,
            (Role::Init, _) => code != 0,
            (Role::Main, RestartPolicy::Always) => true,
            (Role::Main, RestartPolicy::OnFailure) => code != 0,
            (Role::Main, RestartPolicy::Never) => false,
        }
    }

    /// Notes the end of a run. The first restart is immediate; later ones wait, each twice as long.
    pub(crate) fn ended(&mut self, ended: Ended, policy: RestartPolicy, now: Timestamp) {
        if std::mem::take(&mut self.replacing) {
            return self.replaced(ended);
        }
        (self.started, self.ready) = (false, false);
        let again = self.restarts_after(ended.exit_code, policy);
        if !again {
            self.state = State::Ended(ended);
            return;
        }
        let ran = ended.started_at.map(|at| ended.finished_at.duration_since(at));
        let ran = ran.and_then(|ran| Duration::try_from(ran).ok()).unwrap_or_default();
        let first = !std::mem::replace(&mut self.crashed, true);
        self.retry_at = (!first).then(|| self.crashes.failed(now, ran));
        self.last = Some(ended);
        self.restarts += 1;
        self.attempt += 1;
        self.state = State::Waiting { reason: "CrashLoopBackOff", message: None };
    }

    /// Notes the end of a run that we ended to start another: at once, and whatever the restart policy says.
    fn replaced(&mut self, ended: Ended) {
        (self.started, self.ready) = (false, false);
        self.last = Some(ended);
        self.restarts += 1;
        self.attempt += 1;
        self.state = State::Waiting { reason: "ContainerCreating", message: None };
        self.start_afresh();
    }

    /// Forgets what was tried and failed: another image deserves its own chance.
    pub(crate) fn start_afresh(&mut self) {
        self.crashes.reset();
        self.pulls.reset();
        (self.crashed, self.tried, self.retry_at) = (false, None, None);
    }

    /// Notes that a start did not come about, and when to try again.
    pub(crate) fn failed_to_start(
        &mut self,
        reason: &'static str,
        message: String,
        retry_at: Timestamp,
    ) {
        self.state = State::Waiting { reason, message: Some(message) };
        self.retry_at = Some(retry_at);
    }
}

/// What to do with a pod's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    /// Start these now.
    pub(crate) start: Vec<usize>,
    /// Look again then.
    pub(crate) wake_at: Option<Timestamp>,
    /// All that the pod was for is over.
    pub(crate) over: Option<Outcome>,
}

/// How a pod as a whole ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Failed,
}

/// Decides what comes next. Init containers go one by one; the rest starts when they are through.
pub(crate) fn next(slots: &[Slot], policy: RestartPolicy, now: Timestamp) -> Next {
    let mut next = Next::default();
    for (i, slot) in slots.iter().enumerate().filter(|(_, s)| s.role != Role::Main) {
        match &slot.state {
            State::Waiting { .. } => {
                consider(&mut next, i, slot, now);
                return next;
            }
            State::Starting => return next,
            State::Running { .. } if slot.role == Role::Sidecar && slot.started => {}
            State::Running { .. } => return next,
            State::Ended(ended) if ended.exit_code == 0 => {}
            State::Ended(_) => {
                next.over = Some(Outcome::Failed);
                return next;
            }
        }
    }
    let mut over = true;
    let mut outcome = Outcome::Succeeded;
    for (i, slot) in slots.iter().enumerate().filter(|(_, s)| s.role == Role::Main) {
        match &slot.state {
            State::Waiting { .. } => consider(&mut next, i, slot, now),
            State::Ended(ended) if !slot.restarts_after(ended.exit_code, policy) => {
                if ended.exit_code != 0 {
                    outcome = Outcome::Failed;
                }
                continue;
            }
            _ => {}
        }
        over = false;
    }
    next.over = over.then_some(outcome);
    next
}

fn consider(next: &mut Next, i: usize, slot: &Slot, now: Timestamp) {
    match slot.retry_at {
        Some(at) if at > now => {
            next.wake_at = Some(next.wake_at.map_or(at, |wake: Timestamp| wake.min(at)));
        }
        _ => next.start.push(i),
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
