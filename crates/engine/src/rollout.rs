//! Rollout: how stale warm sandboxes give way to fresh ones.

use serde::{Deserialize, Serialize};

/// Whether a sandbox was made from the template as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Freshness {
    /// Of the current revision.
    Fresh,
    /// Of an older one, or of another template.
    Stale,
}

/// How stale warm sandboxes are replaced. A claimed sandbox is never touched by any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// All stale ones go at once. The pool is empty until new ones are ready.
    Recreate,
    /// Stale ones stay until they are claimed; only what is made newly is fresh.
    OnReplenish,
    /// Stale ones go step by step, never more than the budget allows, and each step waits until the fresh ones are ready. Until then they may be claimed.
    RollingUpdate(Budget),
}

impl Strategy {
    /// Whether a claim may get a sandbox of this freshness if there is no fresh one. `Recreate` says that old ones are wrong. A rolling update says the opposite:
    /// they serve until they are replaced, or every claim right after a template change would start cold, which is what a warm pool is there to prevent.
    pub fn hands_out(self, freshness: Freshness) -> bool {
        match (self, freshness) {
            (_, Freshness::Fresh)
            | (Self::OnReplenish | Self::RollingUpdate(_), Freshness::Stale) => true,
            (Self::Recreate, Freshness::Stale) => false,
        }
    }
}

/// How far a rolling update may leave the target, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// How many of the target may be missing.
    pub max_unavailable: Amount,
    /// How many more than the target may exist. Percentages round up.
    pub max_surge: Amount,
    /// How percentages of `max_unavailable` round.
    #[serde(default)]
    pub rounding: Rounding,
}

/// How a part that is not a whole number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rounding {
    /// As the number below: a small pool may find that nothing may be missing.
    #[default]
    Down,
    /// As the number above: something always may.
    Up,
}

/// A number, or a part of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many of a hundred.
    Percent(u32),
}

/// A [`Budget`] applied to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The rollout never leaves fewer available than this.
    pub floor: u32,
    /// The rollout never makes more than this.
    pub ceiling: u32,
}

impl Amount {
    /// How many of `whole`.
    pub fn of(self, whole: u32, round: Rounding) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let product = u64::from(whole) * u64::from(percent);
                let part = match round {
                    Rounding::Down => product / 100,
                    Rounding::Up => product.div_ceil(100),
                };
                u32::try_from(part).unwrap_or(u32::MAX)
            }
        }
    }
}

impl Budget {
    /// The bounds for a target.
    pub fn bounds(self, target: u32) -> Bounds {
        let surge = self.max_surge.of(target, Rounding::Up);
        let unavailable = self.max_unavailable.of(target, self.rounding);
        Bounds { floor: target.saturating_sub(unavailable), ceiling: target.saturating_add(surge) }
    }

    /// Whether nothing that is available may ever be replaced: none may be missing and none may come on top. A family that takes this for a mistake gives another
    /// budget; here it is what was asked for.
    pub fn is_frozen(self, target: u32) -> bool {
        target > 0 && self.bounds(target) == Bounds { floor: target, ceiling: target }
    }
}

#[cfg(test)]
mod tests {
    use super::Amount::{Count, Percent};
    use super::Rounding::{Down, Up};
    use super::*;

    #[test]
    fn a_budget_is_frozen_if_nothing_could_move() {
        let frozen = |max_unavailable, max_surge, rounding, target| {
            Budget { max_unavailable, max_surge, rounding }.is_frozen(target)
        };
        assert!(frozen(Count(0), Count(0), Up, 3));
        assert!(frozen(Percent(10), Count(0), Down, 3));
        assert!(!frozen(Percent(10), Count(0), Up, 3));
        assert!(!frozen(Count(0), Percent(1), Down, 3));
        assert!(!frozen(Count(0), Count(0), Up, 0));
    }

    #[test]
    fn budgets_round_as_they_say() {
        let table = [
            (Down, Count(1), Count(1), 3, 2, 4),
            (Down, Percent(25), Percent(25), 3, 3, 4), // 0.75 down, 0.75 up
            (Up, Percent(25), Percent(25), 3, 2, 4),   // 0.75 up, both
            (Down, Percent(25), Percent(25), 8, 6, 10),
            (Up, Percent(20), Count(0), 10, 8, 10),
            (Up, Percent(20), Count(0), 1, 0, 1),
            (Down, Count(0), Count(0), 3, 3, 3),
            (Down, Percent(100), Percent(0), 4, 0, 4),
            (Down, Count(9), Count(2), 4, 0, 6),
            (Down, Count(0), Percent(100), 0, 0, 0),
        ];
        for (rounding, max_unavailable, max_surge, target, floor, ceiling) in table {
            let bounds = Budget { max_unavailable, max_surge, rounding }.bounds(target);
            assert_eq!(
                bounds,
                Bounds { floor, ceiling },
                "{max_unavailable:?} {max_surge:?} of {target}"
            );
        }
    }
}
