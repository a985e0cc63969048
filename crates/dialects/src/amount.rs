//! Numbers and percentages, as strategies of every family write them.

use engine::Amount;
use serde::{Deserialize, Serialize};

/// A number or a percentage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    /// So many.
    Int(u32),
    /// Such as `"25%"`.
    Percent(String),
}

impl IntOrPercent {
    /// As the engine sees it. `None` for a text that is no percentage: schemas let none through, but one may have been stored before there was a schema.
    pub fn amount(&self) -> Option<Amount> {
        match self {
            Self::Int(count) => Some(Amount::Count(*count)),
            Self::Percent(text) => text.strip_suffix('%')?.parse().ok().map(Amount::Percent),
        }
    }
}
