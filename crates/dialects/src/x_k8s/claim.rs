//! SandboxClaim, between object and engine.

use super::convert::claim::{Intent, Warmpool};
use super::keys;
use super::types::{
    ClaimedSandbox, Lifecycle, Sandbox, SandboxClaim, SandboxClaimStatus, ShutdownPolicy,
};
use crate::condition::{Condition, find, merge};
use engine::claim::{
    Answer, ClaimView, Content, Ending, ExpiryPolicy, Held, HeldSandbox, Lifetime, Refusal, Source,
};
use engine::{Code, Key, Precondition, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Which pools a claim may take from, and which template a sandbox started for it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This pool, which must exist, and the pool's template.
    Pool(Key),
    /// This pool if it exists and is of this template; otherwise a cold start of the template.
    PoolOfTemplate {
        /// The pool.
        pool: Key,
        /// The template.
        template: Key,
    },
    /// Any pool of this template; otherwise a cold start of it.
    AnyOfTemplate(Key),
    /// No pool; a cold start of this template.
    Cold(Key),
}

impl Choice {
    /// Whether no warm sandbox will do.
    pub fn never_warm(&self) -> bool {
        matches!(self, Self::Cold(_))
    }

    /// The template, where the claim itself names it.
    pub fn template(&self) -> Option<&Key> {
        match self {
            Self::Pool(_) => None,
            Self::PoolOfTemplate { template, .. }
            | Self::AnyOfTemplate(template)
            | Self::Cold(template) => Some(template),
        }
    }
}

impl SandboxClaim {
    /// Which pools it may take from. A claim that was made as v1alpha1 keeps its meaning: it names a template and how it wants to be served.
    pub fn choice(&self) -> Choice {
        let here = self.metadata.key();
        let Some(intent) = Intent::of(&self.metadata, &self.spec.warm_pool_ref.name) else {
            return Choice::Pool(here.sibling(&self.spec.warm_pool_ref.name));
        };
        let template = here.sibling(&intent.template);
        match intent.warmpool {
            Warmpool::None => Choice::Cold(template),
            Warmpool::Default => Choice::AnyOfTemplate(template),
            Warmpool::Named(pool) => Choice::PoolOfTemplate { pool: here.sibling(pool), template },
        }
    }

    /// What it has. `owned` are the sandboxes it controls, `same_name` the sandbox of its own name, `named` the one its status names; each may be the same object.
    pub fn held(
        &self,
        owned: &[&Sandbox],
        same_name: Option<&Sandbox>,
        named: Option<&Sandbox>,
    ) -> Held {
        let known = &self.status.sandbox.name;
        let first = owned
            .iter()
            .min_by_key(|sandbox| (sandbox.metadata.name != *known, &sandbox.metadata.name));
        if let Some(sandbox) = first {
            return Held::Sandbox(held(sandbox));
        }
        if !known.is_empty() {
            let name = self.metadata.key().sibling(known);
            return if named.is_some() { Held::Foreign { name } } else { Held::Lost { name } };
        }
        match same_name {
            Some(sandbox) => Held::NameTaken { name: sandbox.metadata.key() },
            None => Held::Nothing,
        }
    }

    /// Sandboxes it controls beyond the one it holds: left over from a write whose answer was lost.
    pub fn spare(&self, owned: &[&Sandbox]) -> Vec<(Key, Precondition)> {
        let Held::Sandbox(held) = self.held(owned, None, None) else { return Vec::new() };
        let others = owned
            .iter()
            .filter(|sandbox| sandbox.metadata.key() != held.key && !sandbox.metadata.is_leaving());
        others.map(|sandbox| (sandbox.metadata.key(), sandbox.metadata.precondition())).collect()
    }

    /// As the engine sees it.
    pub fn view(
        &self,
        content: Content,
        source: Source,
        held: Held,
        spare: Vec<(Key, Precondition)>,
    ) -> ClaimView {
        let announced = find(&self.status.conditions, "Ready")
            .is_some_and(|ready| ready.reason == "ClaimExpired");
        ClaimView {
            key: self.metadata.key(),
            uid: self.metadata.uid(),
            version: self.metadata.version(),
            created: self.metadata.created(),
            leaving: self.metadata.is_leaving(),
            lifetime: lifetime(self.spec.lifecycle.as_ref(), announced, self.finished_at()),
            content,
            source,
            held,
            spare,
        }
    }

    /// When it finished, as last reported; kept after its sandbox is gone.
    fn finished_at(&self) -> Option<Timestamp> {
        let finished =
            find(&self.status.conditions, "Finished").filter(|condition| condition.is_true())?;
        finished.last_transition_time
    }

    /// The status that says what the engine decided. `sandbox` is the one that the answer binds, as the API last returned it.
    pub fn next_status(
        &self,
        answer: &Answer,
        sandbox: Option<&Sandbox>,
        now: Timestamp,
    ) -> SandboxClaimStatus {
        let generation = self.metadata.generation;
        let own = |reason: &str, message: String| {
            Condition::new("Ready", Verdict::False, reason, message, generation)
        };
        let mut finished = sandbox.and_then(Sandbox::finished).cloned();
        let ready = match (answer, sandbox) {
            (Answer::Silent, _) => return self.status.clone(),
            (Answer::Bound { .. }, Some(sandbox)) => mirrored(sandbox, generation),
            (Answer::Bound { .. }, None) => {
                own("SandboxMissing", "Sandbox does not exist".to_owned())
            }
            (Answer::Waiting(reason), _) if reason.code == Code::NotSeenYet => own(
                "SandboxCreatePending",
                "Sandbox already created; waiting for cache to converge".to_owned(),
            ),
            (Answer::Waiting(reason), _) => own(reason.code.as_str(), reason.message.clone()),
            (Answer::Refused(refusal), _) => refused(refusal, own),
            (Answer::Ended(ending), _) => {
                finished = finished.or_else(|| find(&self.status.conditions, "Finished").cloned());
                ended(ending, own)
            }
        };
        let bound = match (answer, sandbox) {
            (Answer::Bound { .. }, Some(sandbox)) => ClaimedSandbox {
                name: sandbox.metadata.name.clone(),
                pod_ips: sandbox.status.pod_ips.clone(),
            },
            (Answer::Ended(_), _) => self.status.sandbox.clone(),
            _ => ClaimedSandbox::default(),
        };
        let wanted = std::iter::once(ready).chain(finished).collect();
        SandboxClaimStatus {
            conditions: merge(&self.status.conditions, wanted, now),
            sandbox: bound,
        }
    }

    /// Which client made it.
    pub fn created_by(&self) -> Option<&str> {
        self.metadata.labels.get(keys::CREATED_BY).map(String::as_str)
    }
}

/// The merge patch on the status subresource from one status to another; `None` if they say the same. What is absent in the new one is removed.
pub fn status_patch(has: &SandboxClaimStatus, wanted: &SandboxClaimStatus) -> Option<Value> {
    (has != wanted).then(|| {
        let sandbox = &wanted.sandbox;
        json!({"status": {
            "conditions": wanted.conditions,
            "sandbox": {
                "name": if sandbox.name.is_empty() { Value::Null } else { json!(sandbox.name) },
                "podIPs": if sandbox.pod_ips.is_empty() { Value::Null } else { json!(sandbox.pod_ips) },
            },
        }})
    })
}

fn held(sandbox: &Sandbox) -> HeldSandbox {
    HeldSandbox {
        key: sandbox.metadata.key(),
        precondition: sandbox.metadata.precondition(),
        leaving: sandbox.metadata.is_leaving(),
        finished: sandbox
            .finished()
            .map(|condition| condition.last_transition_time.unwrap_or(sandbox.metadata.created())),
        expired: sandbox.is_expired(),
    }
}

fn lifetime(said: Option<&Lifecycle>, announced: bool, finished: Option<Timestamp>) -> Lifetime {
    let said = said.cloned().unwrap_or_default();
    Lifetime {
        shutdown_at: said.shutdown_time,
        ttl_after_finished: said
            .ttl_seconds_after_finished
            .map(|seconds| SignedDuration::from_secs(i64::from(seconds))),
        policy: match said.shutdown_policy.unwrap_or_default() {
            ShutdownPolicy::Retain => ExpiryPolicy::Retain,
            ShutdownPolicy::Delete => ExpiryPolicy::Delete,
            ShutdownPolicy::DeleteForeground => ExpiryPolicy::DeleteForeground,
        },
        announced,
        finished,
    }
}

/// The sandbox's Ready condition as the claim's own.
fn mirrored(sandbox: &Sandbox, generation: i64) -> Condition {
    let own = |reason: &str, message: &str| {
        Condition::new("Ready", Verdict::False, reason, message, generation)
    };
    match sandbox.ready() {
        Some(_) if sandbox.is_expired() => own(
            "SandboxExpired",
            "Underlying Sandbox resource has expired independently of the Claim.",
        ),
        Some(ready) => Condition { observed_generation: Some(generation), ..ready.clone() },
        None => own("SandboxNotReady", "Sandbox is not ready"),
    }
}

fn refused(refusal: &Refusal, own: impl Fn(&str, String) -> Condition) -> Condition {
    match refusal {
        Refusal::PoolMissing(pool) => {
            own("WarmPoolNotFound", format!("SandboxWarmPool {:?} not found", &*pool.name))
        }
        Refusal::TemplateMissing(template) => {
            own("TemplateNotFound", format!("SandboxTemplate {:?} not found", &*template.name))
        }
        Refusal::Content { word, message } => own(word, message.clone()),
        Refusal::NameTaken(name) => own(
            "ReconcilerError",
            format!(
                "Error seen: sandbox {:?} exists and is not controlled by this claim. Please use a different claim name",
                &*name.name
            ),
        ),
    }
}

fn ended(ending: &Ending, own: impl Fn(&str, String) -> Condition) -> Condition {
    match ending {
        Ending::Expired => {
            own("ClaimExpired", "Claim expired. Sandbox cleanup initiated.".to_owned())
        }
        Ending::ExpiredForeign(name) => own(
            "ClaimExpired",
            format!(
                "Claim expired. sandbox {:?} is not controlled by this claim; deletion skipped.",
                &*name.name
            ),
        ),
    }
}
