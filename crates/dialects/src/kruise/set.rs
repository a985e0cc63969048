//! SandboxSet, between object and engine.

use super::keys;
use super::revision::{self, SetRevision};
use super::types::{IntOrPercent, SandboxSet, SandboxSetStatus, SandboxTemplate};
use super::unserved::unserved;
use crate::condition::{Condition, merge};
use engine::backoff::Backoff;
use engine::pool::{Pending, PoolStatus, PoolView, Removal, Settings, Target, TemplateState};
use engine::{Amount, Budget, Key, Member, Rounding, Strategy, Verdict};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a rolling update may leave out if the set does not say: a fifth. The schema says so too; a set that was stored before it did means the same.
const DEFAULT_UNAVAILABLE: Amount = Amount::Percent(20);

/// The condition of a set that asks for what is accepted and not acted on.
const FIELDS_SERVED: &str = "FieldsServed";

impl SandboxSet {
    /// How many it keeps, claimed ones not counted.
    pub fn target(&self) -> Target {
        Target::Count(self.spec.replicas)
    }

    /// How stale ones are replaced: always step by step. A percentage rounds up, so that a small set gets on; an explicit zero is a wish and stops it.
    pub fn strategy(&self) -> Strategy {
        let said = self.spec.update_strategy.as_ref();
        let amount_or = |said: Option<&IntOrPercent>, default| said.map_or(default, amount);
        Strategy::RollingUpdate(Budget {
            max_unavailable: amount_or(
                said.and_then(|said| said.max_unavailable.as_ref()),
                DEFAULT_UNAVAILABLE,
            ),
            max_surge: amount_or(said.and_then(|said| said.max_surge.as_ref()), Amount::Count(0)),
            rounding: Rounding::Up,
        })
    }

    /// How many may be on their way to ready at once.
    pub fn startup(&self) -> Option<Amount> {
        self.spec.scale_strategy.as_ref()?.max_unavailable.as_ref().map(amount)
    }

    /// The name of the template that it refers to.
    pub fn template_name(&self) -> Option<&str> {
        self.spec.block.template_ref.as_ref().map(|template| template.name.as_str())
    }

    /// The key of the template that it refers to.
    pub fn template_key(&self) -> Option<Key> {
        self.template_name().map(|name| self.metadata.key().sibling(name))
    }

    /// The selector that finds its unclaimed sandboxes and their pods.
    pub fn selector(&self) -> String {
        format!("{}={},{}={}", keys::CLAIMED, keys::FALSE, keys::POOL, self.metadata.name)
    }

    /// What stands against making sandboxes of it, beyond what its schema can say.
    pub fn problem(&self, referenced: Option<&SandboxTemplate>) -> Option<String> {
        let block = &self.spec.block;
        let Some(pod) = block.pod(referenced) else {
            return Some(
                "there is no template: neither template nor templateRef says what to run"
                    .to_owned(),
            );
        };
        if pod
            .metadata
            .labels
            .keys()
            .chain(pod.metadata.annotations.keys())
            .any(|key| key.starts_with(keys::FRONT_PREFIX))
        {
            return Some(format!(
                "the template has keys that begin with {}, which are reserved",
                keys::FRONT_PREFIX
            ));
        }
        let list = |name: &str| pod.spec[name].as_array().map(Vec::as_slice).unwrap_or_default();
        let containers = list("containers");
        if containers.is_empty() {
            return Some("the template has no containers".to_owned());
        }
        let mounted: BTreeSet<&str> = containers
            .iter()
            .chain(list("initContainers"))
            .flat_map(|container| container["volumeMounts"].as_array().into_iter().flatten())
            .filter_map(|mount| mount["name"].as_str())
            .collect();
        let mut named = BTreeSet::new();
        for volume in block.volumes(referenced) {
            let name = volume.metadata.name.as_str();
            if !mounted.contains(name) {
                return Some(format!(
                    "volumeClaimTemplate {name:?} is not mounted by any container"
                ));
            }
            if !named.insert(name) {
                return Some(format!("volumeClaimTemplate {name:?} exists twice"));
            }
        }
        None
    }

    /// The template as the engine sees it.
    pub fn template_state(
        &self,
        referenced: Option<&SandboxTemplate>,
        revision: Option<&SetRevision>,
    ) -> TemplateState {
        let name = self.template_key();
        match (revision, name) {
            (None, Some(name)) if referenced.is_none() => TemplateState::Missing { name },
            (found, name) => {
                let name = name.unwrap_or_else(|| self.metadata.key());
                match (self.problem(referenced), found) {
                    (None, Some(revision)) => {
                        TemplateState::Found { name, revision: revision.meaning.clone() }
                    }
                    (problem, _) => TemplateState::Invalid {
                        name,
                        message: problem.unwrap_or_else(|| "the template says nothing".to_owned()),
                    },
                }
            }
        }
    }

    /// As the engine sees it. `members` are the sandboxes that it owns.
    pub fn view(
        &self,
        template: TemplateState,
        members: Vec<Member>,
        waiting: u32,
        pending: Pending,
        backoff: Backoff,
        settings: Settings,
    ) -> PoolView {
        PoolView {
            key: self.metadata.key(),
            uid: self.metadata.uid(),
            leaving: self.metadata.is_leaving(),
            target: self.target(),
            template,
            strategy: self.strategy(),
            startup: self.startup(),
            removal: Removal::StaleThenOldest,
            members,
            claimed: 0,
            waiting,
            pending,
            backoff,
            refusal: None,
            settings,
        }
    }

    /// The status that says what the engine decided. Without a revision, because the template is missing, the one that was reported last stays: it is the one that
    /// the sandboxes have.
    pub fn next_status(
        &self,
        decided: &PoolStatus,
        revision: Option<&SetRevision>,
        now: Timestamp,
    ) -> SandboxSetStatus {
        let generation = self.metadata.generation;
        let mut wanted: Vec<Condition> = decided
            .conditions
            .iter()
            .map(|condition| Condition::decided(condition, generation))
            .collect();
        wanted.extend(self.unserved(generation));
        let (old, counts) = (&self.status, &decided.counts);
        SandboxSetStatus {
            observed_generation: Some(generation),
            replicas: counts.warm,
            available_replicas: counts.available,
            update_revision: revision
                .map_or_else(|| old.update_revision.clone(), |revision| revision.shown.clone()),
            current_revision: match (self.template_name(), revision) {
                (Some(name), _) => name.to_owned(),
                (None, Some(revision)) => {
                    revision::template_name(&self.metadata.name, &revision.shown)
                }
                (None, None) => old.current_revision.clone(),
            },
            updated_replicas: counts.updated,
            updated_available_replicas: counts.updated_available,
            selector: self.selector(),
            template_digest: revision.map_or_else(
                || old.template_digest.clone(),
                |revision| revision.meaning.to_string(),
            ),
            conditions: merge(&old.conditions, wanted, now),
        }
    }

    /// That it asks for what is not acted on, if it does.
    fn unserved(&self, generation: i64) -> Option<Condition> {
        let fields = unserved(&self.spec.block);
        let message = fields.join("; ");
        (!fields.is_empty()).then(|| {
            Condition::new(FIELDS_SERVED, Verdict::False, "NotServed", message, generation)
        })
    }
}

/// The merge patch on the status subresource from one status to another; `None` if they say the same.
pub fn status_patch(has: &SandboxSetStatus, wanted: &SandboxSetStatus) -> Option<Value> {
    (has != wanted).then(|| json!({"status": wanted}))
}

/// The schema lets only numbers and percentages through; anything else that was stored before counts as nothing, which stops and says so rather than guessing.
fn amount(said: &IntOrPercent) -> Amount {
    said.amount().unwrap_or(Amount::Count(0))
}
