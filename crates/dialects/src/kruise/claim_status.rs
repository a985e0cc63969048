//! What a SandboxClaim is told.

use super::claim::Inside;
use super::duration;
use super::types::{SandboxClaim, SandboxClaimStatus};
use crate::condition::{Condition, merge, to_second};
use engine::Verdict;
use engine::batch::{Answer, Delivered, Ending};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The condition that says whether the claim is over, and until then what it waits for.
pub const COMPLETED: &str = "Completed";
/// The condition of a claim whose time was over first.
pub const TIMED_OUT: &str = "TimedOut";
/// The condition of a claim with variables that can't be delivered.
pub const ENV_DELIVERED: &str = "EnvVarsDelivered";
/// The condition of a claim with volumes that can't be mounted.
pub const VOLUMES_MOUNTED: &str = "VolumesMounted";

impl SandboxClaim {
    /// The status that says what the engine decided. `inside` is what sandboxes of its set need; `None` while that is not known.
    pub fn next_status(
        &self,
        answer: &Answer,
        inside: Option<Inside>,
        now: Timestamp,
    ) -> SandboxClaimStatus {
        let generation = self.metadata.generation;
        let wanted = self.spec.replicas;
        let condition = |kind: &str, verdict, reason: &str, message: String| {
            Condition::new(kind, verdict, reason, message, generation)
        };
        let (phase, started, completed, delivered) = match answer {
            Answer::Over | Answer::Silent => return self.status.clone(),
            Answer::Claiming { started, delivered, .. } => ("Claiming", started, None, delivered),
            Answer::Completed { started, at, delivered, .. } => {
                ("Completed", started, Some(to_second(*at)), delivered)
            }
        };
        let count = delivered.count;
        let mut conditions = Vec::new();
        let message = match answer {
            Answer::Completed { ending: Ending::Whole, .. } => {
                let all = format!("Successfully claimed all {count} sandboxes");
                conditions.push(condition(COMPLETED, Verdict::True, "AllReplicasClaimed", all));
                format!("Successfully claimed {count}/{wanted} sandboxes")
            }
            Answer::Completed { ending: Ending::TimedOut(lacking), .. } => {
                let message = self.timeout(delivered);
                let why = format!("{message}: {}", lacking.message);
                conditions.push(condition(COMPLETED, Verdict::True, "TimeoutReached", why.clone()));
                conditions.push(condition(TIMED_OUT, Verdict::True, "ClaimTimeoutReached", why));
                message
            }
            Answer::Completed { ending: Ending::PoolMissing(set), .. } => {
                let message = format!("SandboxSet {} not found", set.name);
                let timeout = self.timeout(delivered);
                conditions.push(condition(
                    COMPLETED,
                    Verdict::True,
                    "SandboxSetNotFound",
                    message.clone(),
                ));
                conditions.push(condition(
                    TIMED_OUT,
                    Verdict::True,
                    "ClaimTimeoutReached",
                    timeout,
                ));
                message
            }
            Answer::Claiming { why, .. } => {
                let reason = why.code.as_str();
                conditions.push(condition(COMPLETED, Verdict::False, reason, why.message.clone()));
                format!("Claiming sandboxes: {count}/{wanted} claimed")
            }
            Answer::Over | Answer::Silent => return self.status.clone(),
        };
        conditions.extend(self.undeliverable(inside));
        SandboxClaimStatus {
            observed_generation: Some(generation),
            phase: phase.to_owned(),
            message,
            claimed_replicas: count,
            claim_start_time: Some(to_second(*started)),
            completion_time: completed,
            conditions: merge(&self.status.conditions, conditions, now),
            sandboxes: delivered.names.iter().map(|key| key.name.to_string()).collect(),
        }
    }

    fn timeout(&self, delivered: &Delivered) -> String {
        format!(
            "Timeout reached after {}, claimed {}/{} sandboxes",
            duration::text(self.patience()),
            delivered.count,
            self.spec.replicas
        )
    }

    /// What the claim asks for and can't have. It gets its sandboxes all the same, and is told.
    pub fn undeliverable(&self, inside: Option<Inside>) -> Vec<Condition> {
        let generation = self.metadata.generation;
        let no = |kind: &str, reason: &str, message: &str| {
            Condition::new(kind, Verdict::False, reason, message, generation)
        };
        let mut conditions = Vec::new();
        if !self.spec.env_vars.is_empty() && inside == Some(Inside::Silent) {
            conditions.push(if self.spec.skip_init_runtime {
                no(ENV_DELIVERED, "InitSkipped", "envVars are not delivered: skipInitRuntime says to leave the runtime inside alone")
            } else {
                no(ENV_DELIVERED, "NoRuntime", "envVars can't be delivered: the set's template names no runtime inside (a container port 49983, or the annotation agents.kruise.io/runtime-url)")
            });
        }
        if !self.spec.dynamic_volumes_mount.is_empty() {
            conditions.push(no(VOLUMES_MOUNTED, "NotServed", "dynamicVolumesMount is not served: nothing is mounted; use volumeClaimTemplates of the set"));
        }
        conditions
    }
}

/// The merge patch on the status subresource from one status to another; `None` if they say the same. What is absent in the new one is removed.
pub fn status_patch(has: &SandboxClaimStatus, wanted: &SandboxClaimStatus) -> Option<Value> {
    (has != wanted).then(|| {
        json!({"status": {
            "observedGeneration": wanted.observed_generation,
            "phase": wanted.phase,
            "message": wanted.message,
            "claimedReplicas": wanted.claimed_replicas,
            "claimStartTime": wanted.claim_start_time,
            "completionTime": wanted.completion_time,
            "conditions": wanted.conditions,
            "sandboxes": if wanted.sandboxes.is_empty() { Value::Null } else { json!(wanted.sandboxes) },
        }})
    })
}
