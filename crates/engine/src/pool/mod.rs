//! Pools: what a pool looks like, and what should be done about it.

mod view;

pub use view::*;

use jiff::Timestamp;

/// What should be done about a pool.
pub fn plan(view: &PoolView, now: Timestamp) -> PoolPlan {
    let _ = now;
    PoolPlan {
        actions: Vec::new(),
        status: PoolStatus {
            counts: Counts::default(),
            desired: 0,
            revision: None,
            conditions: Vec::new(),
        },
        wake_at: None,
        reasons: Vec::new(),
        backoff: view.backoff,
    }
}
