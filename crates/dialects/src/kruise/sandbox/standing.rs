//! Whom a sandbox belongs to, and how it stands.

use crate::condition::{Condition, find};
use crate::kruise::names::{GROUP, Kind};
use crate::kruise::types::Sandbox;
use crate::kruise::{keys, revision};
use crate::pod::trouble_kind;
use engine::lifecycle::Phase;
use engine::{Holder, Lock, Member, NodeName, Revision, Stage, Trouble, TroubleKind, Uid};
use jiff::Timestamp;

/// The state of a sandbox, as every program of the family derives it from the object. It is nowhere stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// On its way to being usable for the first time.
    Creating,
    /// Warm, and can be claimed.
    Available,
    /// Somebody's, and it runs.
    Running,
    /// Somebody's, and it does not run now, but will or may.
    Paused,
    /// It will not run again.
    Dead,
}

impl Sandbox {
    /// Its Ready condition.
    pub fn ready(&self) -> Option<&Condition> {
        find(&self.status.conditions, "Ready")
    }

    /// Whether it says that it is ready, and where.
    pub fn is_ready(&self) -> bool {
        self.ready().is_some_and(Condition::is_true) && !self.status.pod_info.pod_ip.is_empty()
    }

    /// The phase it was last reported in; nothing for a new one. A sandbox that another controller left in a phase of its own, such as on its way back to its pool,
    /// has a pod: it is taken up as running.
    pub fn phase(&self) -> Option<Phase> {
        let said = self.status.phase.as_str();
        match Phase::ALL.into_iter().find(|phase| phase.as_str() == said) {
            None if said.is_empty() => None,
            None => Some(Phase::Running),
            known => known,
        }
    }

    /// Who controls it. A set does by its owner reference; a claim by the labels and annotations of its one write, since it never owns what it took.
    pub fn holder(&self) -> Holder {
        match self.metadata.controller() {
            Some(owner) if owner.is(GROUP, Kind::SandboxSet.as_str()) => {
                return Holder::Pool(Uid::new(&owner.uid));
            }
            Some(_) => return Holder::Other,
            None => {}
        }
        let label = |key: &str| self.metadata.labels.get(key).filter(|value| !value.is_empty());
        let claimed = label(keys::CLAIMED).is_some_and(|value| value == keys::TRUE);
        match self.metadata.annotations.get(keys::OWNER).filter(|owner| !owner.is_empty()) {
            // A front that claims without an object notes the id of a key here, which looks the same but comes without the name of a claim.
            Some(owner) if claimed && label(keys::CLAIM_NAME).is_some() => {
                Holder::Claim(Uid::new(owner))
            }
            Some(_) => Holder::Other,
            None => Holder::Nobody,
        }
    }

    /// Whether somebody outside has put a lock on it while it is still its pool's.
    pub fn is_locked(&self) -> bool {
        self.metadata.annotations.get(keys::LOCK).is_some_and(|lock| !lock.is_empty())
    }

    /// The state that the family's programs derive.
    ///
    /// Theirs calls a claimed sandbox dead as soon as one probe fails, and its user is told that it is gone. Here it is running, and its Ready condition says that it is
    /// not ready now.
    pub fn state(&self, now: Timestamp) -> State {
        if self.metadata.is_leaving() || self.spec.shutdown_time.is_some_and(|end| end <= now) {
            return State::Dead;
        }
        match self.phase() {
            Some(Phase::Pending) => return State::Creating,
            Some(phase) if phase.is_final() => return State::Dead,
            _ => {}
        }
        match (self.holder(), self.phase()) {
            (Holder::Pool(_), _) if self.is_ready() => State::Available,
            (Holder::Pool(_), _) => State::Creating,
            (_, Some(Phase::Running)) if !self.spec.paused => State::Running,
            _ => State::Paused,
        }
    }

    /// The revision of its template. One that another controller named is kept as long as the sandbox asks for the same: another string would only look like a change.
    pub fn revision(&self) -> String {
        let (status, generation) = (&self.status, self.metadata.generation);
        if !status.update_revision.is_empty() && status.observed_generation == Some(generation) {
            return status.update_revision.clone();
        }
        revision::of_pod(&self.spec.block)
    }

    /// Whether its status speaks of the template it has now.
    pub fn template_is_observed(&self) -> bool {
        let status = &self.status;
        status.observed_generation.is_some_and(|seen| seen >= self.metadata.generation)
            || status.update_revision == revision::of_pod(&self.spec.block)
    }

    /// As its pool counts it. `revision` is [`revision::of_sandbox`], a hash that callers keep; `trouble` is what its pod says of itself, if the pod is known.
    pub fn member(&self, revision: Revision, trouble: Option<Trouble>, lock: Lock) -> Member {
        let ready = self.ready();
        Member {
            key: self.metadata.key(),
            uid: self.metadata.uid(),
            version: self.metadata.version(),
            created: self.metadata.created(),
            holder: self.holder(),
            revision,
            stage: self.stage(trouble),
            lock,
            since: ready
                .and_then(|ready| ready.last_transition_time)
                .unwrap_or(self.metadata.created()),
            node: (!self.status.node_name.is_empty())
                .then(|| NodeName::new(&self.status.node_name)),
        }
    }

    fn stage(&self, trouble: Option<Trouble>) -> Stage {
        if self.metadata.is_leaving() {
            return Stage::Leaving;
        }
        match self.phase() {
            Some(phase) if phase.is_final() => {
                Stage::Failed { message: self.status.message.clone() }
            }
            Some(Phase::Running) if self.is_ready() => Stage::Available,
            _ => Stage::Creating(trouble.or_else(|| self.told_trouble())),
        }
    }

    /// The trouble that its Ready condition tells of, for when its pod is not known, or was never made.
    fn told_trouble(&self) -> Option<Trouble> {
        let ready = self.ready().filter(|ready| !ready.is_true())?;
        let kind = match ready.reason.as_str() {
            // Refused, or impossible as it is asked for: no pod says so, because there is none. Another sandbox of the same template would fare no better.
            "PodCreateFailed" => TroubleKind::Refused,
            word => trouble_kind(word)?,
        };
        Some(Trouble { kind, message: ready.message.clone() })
    }
}
