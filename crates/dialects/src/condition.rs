//! Conditions of a status, and how new ones meet old ones.

use jiff::{Timestamp, Unit};
use serde::{Deserialize, Serialize};

/// A condition as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// When the status changed last, to the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// The generation it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// A condition whose time of transition is set by [`merge`].
    pub fn new(
        kind: &str,
        status: engine::Verdict,
        reason: impl Into<String>,
        message: impl Into<String>,
        generation: i64,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            status: status.as_str().to_owned(),
            reason: reason.into(),
            message: message.into(),
            last_transition_time: None,
            observed_generation: Some(generation),
        }
    }

    /// What the engine decided about a pool.
    pub fn decided(condition: &engine::Condition, generation: i64) -> Self {
        let reason = &condition.reason;
        Self::new(
            condition.kind.as_str(),
            condition.verdict,
            reason.code.as_str(),
            &reason.message,
            generation,
        )
    }

    /// Whether it says True.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }
}

/// The condition of this type.
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// Whether a type that was reported is reported no more.
#[must_use]
pub fn withdrawn(old: &[Condition], new: &[Condition]) -> bool {
    old.iter().any(|condition| find(new, &condition.kind).is_none())
}

/// Puts `wanted` in the place of `old`. A time of transition is kept while the status stays the same, so that a status which says nothing new compares equal and
/// is not written. The order of `old` is kept, new types follow.
pub fn merge(old: &[Condition], wanted: Vec<Condition>, now: Timestamp) -> Vec<Condition> {
    let place = |condition: &Condition| {
        old.iter().position(|before| before.kind == condition.kind).unwrap_or(old.len())
    };
    let mut merged: Vec<Condition> = wanted
        .into_iter()
        .map(|mut condition| {
            condition.last_transition_time = match find(old, &condition.kind) {
                Some(before) if before.status == condition.status => {
                    before.last_transition_time.or(Some(to_second(now)))
                }
                _ => Some(condition.last_transition_time.unwrap_or_else(|| to_second(now))),
            };
            condition
        })
        .collect();
    merged.sort_by_key(place);
    merged
}

/// Times in statuses have whole seconds; a fraction would make the stored status differ from the one we compare with.
pub fn to_second(time: Timestamp) -> Timestamp {
    time.round(jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Trunc))
        .unwrap_or(time)
}
