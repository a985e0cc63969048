//! SandboxWarmPool, between object and engine.

use super::keys;
use super::types::{
    IntOrPercent, RollingUpdate, SandboxWarmPool, SandboxWarmPoolStatus, UpdateStrategyType,
};
use crate::condition::{Condition, merge};
use engine::backoff::Backoff;
use engine::pool::{Pending, PoolStatus, PoolView, Removal, Settings, Target, TemplateState};
use engine::{Amount, Budget, Key, Member, Rounding, Strategy};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What a rolling update may leave out if it does not say: a quarter, as Deployments do.
const DEFAULT_PART: Amount = Amount::Percent(25);

impl SandboxWarmPool {
    /// How many it keeps warm.
    pub fn target(&self) -> Target {
        Target::Count(self.replicas())
    }

    fn replicas(&self) -> u32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// How stale ones are replaced.
    pub fn strategy(&self) -> Strategy {
        let Some(said) = &self.spec.update_strategy else { return Strategy::OnReplenish };
        match said.kind.unwrap_or_default() {
            UpdateStrategyType::Recreate => Strategy::Recreate,
            UpdateStrategyType::OnReplenish => Strategy::OnReplenish,
            UpdateStrategyType::RollingUpdate => Strategy::RollingUpdate(budget(
                said.rolling_update.as_ref().unwrap_or(&RollingUpdate::default()),
                self.replicas(),
            )),
        }
    }

    /// The name of its template.
    pub fn template_key(&self) -> Key {
        self.metadata.key().sibling(&self.spec.sandbox_template_ref.name)
    }

    /// The selector that finds its sandboxes and their pods.
    pub fn selector(&self) -> String {
        format!("{}={}", keys::POOL, keys::hash(&self.metadata.name))
    }

    /// As the engine sees it. `members` are all sandboxes of the namespace that carry its label.
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
            startup: None,
            removal: Removal::NewestFirst,
            members,
            claimed: 0,
            waiting,
            pending,
            backoff,
            refusal: None,
            settings,
        }
    }

    /// The status that says what the engine decided.
    pub fn next_status(&self, decided: &PoolStatus, now: Timestamp) -> SandboxWarmPoolStatus {
        let generation = self.metadata.generation;
        let wanted =
            decided.conditions.iter().map(|condition| Condition::decided(condition, generation));
        SandboxWarmPoolStatus {
            replicas: decided.counts.warm,
            ready_replicas: decided.counts.available,
            updated_replicas: decided.counts.updated,
            selector: self.selector(),
            observed_generation: Some(generation),
            conditions: merge(&self.status.conditions, wanted.collect(), now),
        }
    }
}

/// The merge patch on the status subresource from one status to another; `None` if they say the same.
pub fn status_patch(has: &SandboxWarmPoolStatus, wanted: &SandboxWarmPoolStatus) -> Option<Value> {
    (has != wanted).then(|| json!({"status": wanted}))
}

/// The budget for so many replicas. One that comes to nothing in both directions could never move, so it counts as one unavailable.
fn budget(said: &RollingUpdate, replicas: u32) -> Budget {
    let budget = Budget {
        max_unavailable: said.max_unavailable.as_ref().map_or(DEFAULT_PART, amount),
        max_surge: said.max_surge.as_ref().map_or(DEFAULT_PART, amount),
        rounding: Rounding::Down,
    };
    if budget.is_frozen(replicas) {
        return Budget { max_unavailable: Amount::Count(1), ..budget };
    }
    budget
}

/// The schema lets only numbers and percentages through; anything else that was stored before counts as the default.
fn amount(said: &IntOrPercent) -> Amount {
    said.amount().unwrap_or(DEFAULT_PART)
}
