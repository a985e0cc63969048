//! What a pod hears, and what it makes of it.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;

use super::{Base, Life, Message, TRY_AGAIN};
use crate::{
    agent::{
        pod::{
            set_up::SetUpError,
            slot::{Ended, State},
            start::{StartError, Started, last_words},
        },
        recorder::Severity,
    },
    probe::{ProbeKind, Report},
    runtime::{Exit, Runtime, RuntimeError},
};

impl<R: Runtime> Life<R> {
    pub(super) fn handle(&mut self, message: Message) {
        match message {
            Message::Object(pod) => self.pod = pod,
            Message::SetUp(answer) => self.handle_set_up(answer),
            Message::Started(name, answer) => self.handle_started(&name, *answer),
            Message::Resized(resized) => self.handle_resized(*resized),
            Message::Exited(name, exit) => self.handle_exit(&name, &exit),
            Message::Lost => self.handle_lost(),
            Message::Probed(name, attempt, kind, report) => {
                self.handle_probe(&name, attempt, kind, report);
            }
            Message::Over => self.note_all_ended(),
            Message::Room | Message::Gone | Message::Stopped => {}
        }
    }

    pub(super) fn handle_set_up(&mut self, answer: Result<Vec<IpAddr>, SetUpError>) {
        match answer {
            Ok(ips) => {
                (self.base, self.trouble, self.ips) = (Base::There, None, ips);
                self.backoff.reset();
                self.board.set_ips(&self.ips);
            }
            Err(error) => {
                let (reason, message) = (error.reason(), error.to_string());
                self.note(None, Severity::Warning, reason, &message);
                self.base = if error.is_final() {
                    Base::Refused
                } else {
                    let retry_at = match error {
                        SetUpError::Volume(_) | SetUpError::Claim(_) => {
                            Timestamp::now() + TRY_AGAIN
                        }
                        _ => self.backoff.failed(Timestamp::now(), Duration::ZERO),
                    };
                    Base::Absent { retry_at: Some(retry_at) }
                };
                if self.base == Base::Refused {
                    for slot in &mut self.slots {
                        slot.state = State::Waiting { reason, message: Some(message.clone()) };
                    }
                }
                self.trouble = Some((reason, message));
            }
        }
    }

    pub(super) fn handle_started(&mut self, name: &str, answer: Result<Started, StartError>) {
        let now = Timestamp::now();
        let early = self.early_exits.remove(name);
        let Some(container) = self.container(name).cloned() else { return };
        let (policy, uid) = (self.policy, self.uid.clone());
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        match answer {
            Ok(Started { state, record, hook }) => {
                slot.state = State::Running { started_at: state.started_at };
                slot.image = Some(record.image);
                slot.image_id = Some(record.image_id);
                slot.applied = Some(record.resources);
                slot.pulls.reset();
                slot.retry_at = None;
                slot.started = container.startup_probe.is_none() && hook.is_none();
                slot.ready = slot.started && container.readiness_probe.is_none();
                self.board.began(name, slot.attempt);
                if let Some(why) = &hook {
                    let message = format!("PostStartHook failed: {why}");
                    self.note(Some(name), Severity::Warning, "FailedPostStartHook", &message);
                } else {
                    self.watch_health(name);
                }
                if let Some(exit) = early.or(state.exit) {
                    self.handle_exit(name, &exit);
                } else if hook.is_some() {
                    self.note(Some(name), Severity::Normal, "Killing", "FailedPostStartHook");
                    self.end_container(container, None);
                }
            }
            Err(StartError::Runtime(RuntimeError::NotExecutable { program, reason })) => {
                // The way container engines report a command that can't be executed: it ran, and ended with 128.
                let message = format!("exec {program:?}: {reason}");
                let ended = Ended {
                    exit_code: 128,
                    signal: None,
                    reason: "StartError".into(),
                    message: Some(message.clone()),
                    started_at: Some(now),
                    finished_at: now,
                    container_id: Some(slot.container_id(&uid)),
                };
                slot.ended(ended, policy, now);
                self.note(Some(name), Severity::Warning, "Failed", &format!("Error: {message}"));
                self.tell_of_backoff(name);
            }
            Err(error) => {
                let (reason, message) = (error.reason(), error.to_string());
                let event = match &error {
                    StartError::Pull(_) => {
                        let image = container.image.as_deref().unwrap_or_default();
                        format!("Failed to pull image {image:?}: {message}")
                    }
                    _ => format!("Error: {message}"),
                };
                let retry_at = match &error {
                    StartError::Pull(_) => slot.pulls.failed(now, Duration::ZERO),
                    StartError::Runtime(_) => slot.crashes.failed(now, Duration::ZERO),
                    _ => now + TRY_AGAIN,
                };
                slot.failed_to_start(reason, message, retry_at);
                self.note(Some(name), Severity::Warning, "Failed", &event);
            }
        }
    }

    pub(super) fn handle_exit(&mut self, name: &str, exit: &Exit) {
        let (policy, uid, now) = (self.policy, self.uid.clone(), Timestamp::now());
        let Some(container) = self.container(name).cloned() else { return };
        let pod_dir = self.context.pod_dir(&uid);
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        let started_at = match slot.state {
            State::Running { started_at } => started_at,
            State::Starting => {
                self.early_exits.insert(name.to_owned(), exit.clone());
                return;
            }
            _ => return,
        };
        let mut ended = Ended::of(exit, Some(started_at), Some(slot.container_id(&uid)));
        let bundle = pod_dir.join("containers").join(name).join(slot.attempt.to_string());
        let log = self.context.log_path(&uid, name, slot.attempt);
        ended.message = last_words(&bundle, &log, &container, exit.code);
        self.stop_probes(name);
        self.board.ended(name);
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        if self.stopping.is_some() || self.outcome.is_some() {
            slot.state = State::Ended(ended);
            (slot.ready, slot.started) = (false, false);
            return;
        }
        slot.ended(ended, policy, now);
        self.tell_of_backoff(name);
    }

    /// Says how long a container that ended waits for its next start, if it does.
    fn tell_of_backoff(&mut self, name: &str) {
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        if let (State::Waiting { message, .. }, Some(_)) = (&mut slot.state, slot.retry_at) {
            let text = format!(
                "back-off {} restarting failed container={name} pod={}_{}({})",
                short(slot.crashes.delay()),
                self.pod.metadata.name.as_deref().unwrap_or_default(),
                self.pod.metadata.namespace.as_deref().unwrap_or_default(),
                self.uid,
            );
            *message = Some(text.clone());
            self.note(Some(name), Severity::Warning, "BackOff", &text);
        }
    }

    /// The pod's processes are gone without a word: each is taken to have failed, and the restart policy decides.
    pub(super) fn handle_lost(&mut self) {
        if self.base != Base::There || self.outcome.is_some() {
            return;
        }
        self.base = Base::Absent { retry_at: None };
        let names: Vec<String> =
            self.slots.iter().filter(|s| s.is_running()).map(|s| s.name.clone()).collect();
        for name in names {
            self.stop_probes(&name);
            self.board.ended(&name);
            let id = self.slots.iter().find(|s| s.name == name).map(|s| s.container_id(&self.uid));
            let ended = self.unknown_end(id);
            let policy = self.policy;
            if let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) {
                slot.ended(ended, policy, Timestamp::now());
            }
        }
        self.note(
            None,
            Severity::Normal,
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        );
    }

    pub(super) fn handle_probe(
        &mut self,
        name: &str,
        attempt: u32,
        kind: ProbeKind,
        report: Report,
    ) {
        let Some(container) = self.container(name).cloned() else { return };
        let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) else { return };
        if slot.attempt != attempt || !slot.is_running() {
            return;
        }
        match (&report, kind) {
            (Report::Passed, ProbeKind::Startup) => {
                slot.started = true;
                slot.ready = container.readiness_probe.is_none();
                self.watch_health(name);
            }
            (Report::Passed, ProbeKind::Readiness) => slot.ready = true,
            (Report::Failed(_), ProbeKind::Readiness) => slot.ready = false,
            _ => {}
        }
        if let Report::Missed(why) | Report::Failed(why) = &report {
            let message = format!("{} probe failed: {why}", kind.name());
            self.note(Some(name), Severity::Warning, "Unhealthy", &message);
        }
        if matches!(report, Report::Failed(_)) && kind != ProbeKind::Readiness {
            let word = kind.name().to_lowercase();
            let message = format!("Container {name} failed {word} probe, will be restarted");
            self.note(Some(name), Severity::Normal, "Killing", &message);
            self.stop_probes(name);
            let grace = kind.of(&container).and_then(|p| p.termination_grace_period_seconds);
            self.end_container(container, grace);
        }
    }
}

/// `10s`, `1m20s`: as people know it from messages.
fn short(delay: Duration) -> String {
    match (delay.as_secs() / 60, delay.as_secs() % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
