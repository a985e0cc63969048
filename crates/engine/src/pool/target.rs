//! Target: how many warm sandboxes a pool wants at this moment.

use super::view::Target;

/// How many to have warm, given how many there are (`warm`), how many are claimed and how many claims wait.
///
/// A buffer that is within its range stays as it is; one that is outside goes to the nearest edge and not further, since every step beyond it is made twice: once
/// too much now, once back later.
pub(super) fn desired(target: Target, warm: u32, claimed: u32, waiting: u32) -> u32 {
    match target {
        Target::Count(count) => count,
        Target::Buffer { min_idle, max_idle, min_total, max_total } => {
            // Nothing checks that a user's minimum is below the maximum; the maximum wins, because it is what protects the cluster.
            let idle = warm.saturating_sub(waiting).max(min_idle).min(max_idle);
            let total = claimed.saturating_add(waiting).saturating_add(idle);
            total.max(min_total).min(max_total).saturating_sub(claimed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_moves_to_the_nearest_edge_and_stays_inside() {
        let target = Target::Buffer { min_idle: 2, max_idle: 10, min_total: 5, max_total: 20 };
        //          warm, claimed, waiting -> desired
        let table = [
            (0, 0, 0, 5),   // empty: the minimum in all
            (5, 0, 0, 5),   // inside: stays
            (1, 4, 0, 2),   // too few idle
            (12, 0, 0, 10), // too many idle
            (2, 15, 0, 2),  // inside
            (0, 15, 3, 5),  // three wait: theirs and the minimum
            (0, 19, 4, 1),  // the maximum in all wins over everybody
            (0, 25, 1, 0),  // already beyond it
        ];
        for (warm, claimed, waiting, expected) in table {
            assert_eq!(
                desired(target, warm, claimed, waiting),
                expected,
                "{warm} {claimed} {waiting}"
            );
        }
        let upside_down = Target::Buffer { min_idle: 9, max_idle: 1, min_total: 9, max_total: 3 };
        assert_eq!(desired(upside_down, 0, 0, 0), 3);
    }
}
