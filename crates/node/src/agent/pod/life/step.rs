//! What is due in a pod: set-up, starts, and what time alone brings.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Base, Life, Message, PULL_ERROR_SHOWS, named};
use crate::{
    agent::{
        pod::{
            set_up::{limits, set_up},
            slot::{Next, Outcome, State, next},
            start::start,
        },
        recorder::Severity,
    },
    runtime::Runtime,
};

impl<R: Runtime> Life<R> {
    /// Does what is due; answers when to look again.
    pub(super) fn step(&mut self) -> Option<Instant> {
        let now = Timestamp::now();
        if self.pod.metadata.deletion_timestamp.is_some() {
            self.begin_stop(now);
            self.plan_write();
            return None;
        }
        let mut wake = None;
        if self.outcome.is_none() {
            self.follow_images();
            let resize = self.follow_resources(now);
            let plan = next(&self.slots, self.policy, now);
            wake = plan.wake_at;
            match (&self.base, plan.over) {
                (_, Some(outcome)) => self.end_of_pod(outcome),
                (Base::There, None) => self.start_containers(&plan),
                (Base::Absent { retry_at }, None) => match retry_at {
                    Some(at) if *at > now => wake = Some(*at),
                    _ => self.begin_set_up(),
                },
                (Base::Coming | Base::Refused, None) => wake = None,
            }
            let times = [wake, resize, self.show_backoff(now), self.deadline(now)];
            wake = times.into_iter().flatten().min();
        }
        self.plan_write();
        wake.map(|at| {
            let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            Instant::now() + left
        })
    }

    pub(super) fn begin_set_up(&mut self) {
        self.base = Base::Coming;
        let (context, pod, me) = (self.context.clone(), self.granted(), self.me.clone());
        self.resizing.pod = pod.spec.as_ref().map(limits);
        tokio::spawn(async move {
            // Only a pod that is gone does not want the answer.
            let _ = me.send(Message::SetUp(set_up(&context, &pod).await));
        });
    }

    pub(super) fn start_containers(&mut self, plan: &Next) {
        let granted = self.granted();
        for &i in &plan.start {
            let Some(slot) = self.slots.get_mut(i) else { continue };
            slot.state = State::Starting;
            let (name, attempt) = (slot.name.clone(), slot.attempt);
            let Some(container) = named(&granted, &name).cloned() else { continue };
            slot.tried = Some(container.image.clone().unwrap_or_default());
            let (context, pod, me) = (self.context.clone(), granted.clone(), self.me.clone());
            let (ips, board) = (self.ips.clone(), self.board.clone());
            tokio::spawn(async move {
                let answer = start(&context, &pod, &container, attempt, &ips, &board).await;
                // Only a pod that is gone does not want the answer.
                let _ = me.send(Message::Started(name, Box::new(answer)));
            });
        }
    }

    /// ErrImagePull is the news, ImagePullBackOff the state that follows.
    pub(super) fn show_backoff(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut wake = None;
        let mut told = Vec::new();
        for slot in &mut self.slots {
            let State::Waiting { reason: "ErrImagePull", message } = &slot.state else { continue };
            let shown_until = match slot.retry_at {
                Some(at) => {
                    let delay = SignedDuration::try_from(slot.pulls.delay()).unwrap_or_default();
                    at - delay + PULL_ERROR_SHOWS
                }
                None => now,
            };
            if shown_until > now {
                wake = Some(wake.map_or(shown_until, |w: Timestamp| w.min(shown_until)));
                continue;
            }
            let why = message.clone().unwrap_or_default();
            told.push((slot.name.clone(), why));
        }
        for (name, why) in told {
            let image = self.container(&name).and_then(|c| c.image.clone()).unwrap_or_default();
            let text = format!("Back-off pulling image {image:?}: ErrImagePull: {why}");
            self.note(
                Some(&name),
                Severity::Normal,
                "BackOff",
                &format!("Back-off pulling image {image:?}"),
            );
            if let Some(slot) = self.slots.iter_mut().find(|s| s.name == name) {
                slot.state = State::Waiting { reason: "ImagePullBackOff", message: Some(text) };
            }
        }
        wake
    }

    /// `activeDeadlineSeconds`: the pod has failed when it runs longer.
    pub(super) fn deadline(&mut self, now: Timestamp) -> Option<Timestamp> {
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        let at = self.start_time + SignedDuration::from_secs(seconds);
        if at > now {
            return Some(at);
        }
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        self.note(None, Severity::Normal, "DeadlineExceeded", &message);
        self.trouble = Some(("DeadlineExceeded", message));
        self.end_of_pod(Outcome::Failed);
        None
    }
}
