//! SandboxClaim, between object and engine.

use super::types::{Sandbox, SandboxClaim};
use super::{duration, keys, runtime};
use crate::condition::{Condition, find};
use crate::meta::Pairs;
use engine::backoff::Backoff;
use engine::batch::{
    BatchView, Content, Delivery, Failed, Handover, History, Holding, HoldingState, Source, Stock,
    Terms,
};
use engine::{Key, Trouble};
use jiff::SignedDuration;

/// The defaults of the schema, for claims of servers that did not apply it.
const CLAIM_TIMEOUT: SignedDuration = SignedDuration::from_mins(1);
const WAIT_READY: SignedDuration = SignedDuration::from_secs(30);
const TTL: SignedDuration = SignedDuration::from_mins(60);

/// What [`keys::PRIORITY`] says of a sandbox that somebody waits for.
pub const URGENT: &str = "100";

/// What sandboxes of a claim need before they are delivered, beside being ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inside {
    /// Nothing: no runtime is named, or it is to be left alone.
    #[default]
    Silent,
    /// The runtime has to be told.
    Runtime,
}

impl SandboxClaim {
    /// The set it takes from.
    pub fn set_key(&self) -> Key {
        self.metadata.key().sibling(&self.spec.template_name)
    }

    /// How long it tries.
    pub fn patience(&self) -> SignedDuration {
        duration::parse(&self.spec.claim_timeout).unwrap_or(CLAIM_TIMEOUT)
    }

    /// Whether the runtime in a sandbox of these annotations and this pod has to be told.
    pub fn inside(&self, annotations: &Pairs, pod: Option<&super::types::PodTemplate>) -> Inside {
        match runtime::port(annotations, pod) {
            Some(_) if !self.spec.skip_init_runtime => Inside::Runtime,
            _ => Inside::Silent,
        }
    }

    /// Its terms. `inside` is what warm sandboxes of its set need.
    pub fn terms(&self, inside: Inside) -> Terms {
        let keep = duration::parse(&self.spec.ttl_after_completed).unwrap_or(TTL);
        let as_it_is = inside == Inside::Silent && self.change().is_none();
        Terms {
            delivery: Delivery::AsTheyCome,
            stock: if self.spec.create_on_no_stock.unwrap_or(true) {
                Stock::Create
            } else {
                Stock::Wait
            },
            handover: if as_it_is { Handover::AsItIs } else { Handover::Prepared },
            failed: if self.spec.reserve_failed_sandbox {
                Failed::Reserve
            } else {
                Failed::Discard
            },
            patience: self.patience(),
            readiness: duration::parse(&self.spec.wait_ready_timeout).unwrap_or(WAIT_READY),
            keep: (!keep.is_negative()).then_some(keep),
            ends: self.spec.shutdown_time,
        }
    }

    /// What was reported.
    pub fn history(&self) -> History {
        let status = &self.status;
        let here = self.metadata.key();
        // A report that counts fewer than it names was tampered with: then it is made again.
        let whole = status.sandboxes.len() <= status.claimed_replicas as usize;
        let over = (status.phase == "Completed" && whole).then(|| {
            status.completion_time.or(status.claim_start_time).unwrap_or(self.metadata.created())
        });
        History {
            started: status.claim_start_time,
            completed: over,
            claimed: status.claimed_replicas,
            delivered: status.sandboxes.iter().map(|name| here.sibling(name)).collect(),
        }
    }

    /// One of its sandboxes. `trouble` is what the sandbox's pod says. Whether its runtime has to be told was noted when it was taken.
    pub fn holding(&self, sandbox: &Sandbox, trouble: Option<Trouble>) -> Holding {
        let noted = sandbox.metadata.annotations.contains_key(keys::INIT_RUNTIME_REQUEST);
        let inside = if noted { Inside::Runtime } else { Inside::Silent };
        let claimed = sandbox.metadata.annotations.get(keys::CLAIM_TIMESTAMP);
        Holding {
            key: sandbox.metadata.key(),
            precondition: sandbox.metadata.precondition(),
            since: claimed
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| sandbox.metadata.created()),
            state: self.state(sandbox, trouble, inside),
        }
    }

    fn state(&self, sandbox: &Sandbox, trouble: Option<Trouble>, inside: Inside) -> HoldingState {
        let metadata = &sandbox.metadata;
        if metadata.is_leaving() {
            return HoldingState::Leaving;
        }
        if metadata.labels.get(keys::RESERVED_FAILED).is_some_and(|value| value == keys::TRUE) {
            return HoldingState::Reserved;
        }
        let status = &sandbox.status;
        match status.phase.as_str() {
            "Succeeded" | "Failed" | "Terminating" => {
                let message =
                    if status.message.is_empty() { &status.phase } else { &status.message };
                return HoldingState::Broken { message: message.clone() };
            }
            // It ran before, and somebody had it paused or replaced since.
            "Paused" | "Resuming" | "Upgrading" | "Recycling" => return HoldingState::Done,
            _ => {}
        }
        let condition = |kind: &str| find(&status.conditions, kind);
        let cold = metadata.annotations.get(keys::PRIORITY).is_some_and(|value| value == URGENT);
        if cold || self.change().is_some() {
            let update = condition("InplaceUpdate");
            if let Some(update) = update.filter(|update| update.reason == "Failed") {
                return HoldingState::Broken { message: update.message.clone() };
            }
            let seen = sandbox.template_is_observed();
            let ready = condition("Ready").is_some_and(Condition::is_true);
            if !seen || !ready || update.is_some_and(|update| !update.is_true()) {
                return HoldingState::Starting(trouble);
            }
        }
        match (inside, condition(runtime::CONDITION)) {
            (Inside::Silent, _) => HoldingState::Done,
            (Inside::Runtime, Some(told)) if told.is_true() => HoldingState::Done,
            (Inside::Runtime, Some(told)) if told.reason == "Failed" => {
                HoldingState::Broken { message: told.message.clone() }
            }
            (Inside::Runtime, _) => HoldingState::Untold,
        }
    }

    /// As the engine sees it.
    pub fn view(
        &self,
        inside: Inside,
        content: Content,
        source: Source,
        held: Vec<Holding>,
        backoff: Backoff,
        wave: u32,
    ) -> BatchView {
        BatchView {
            key: self.metadata.key(),
            uid: self.metadata.uid(),
            version: self.metadata.version(),
            leaving: self.metadata.is_leaving(),
            want: self.spec.replicas,
            terms: self.terms(inside),
            history: self.history(),
            content,
            source,
            held,
            backoff,
            wave,
        }
    }
}
