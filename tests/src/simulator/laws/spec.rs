//! What a pool asks for, read from its spec by somebody who has only read the documentation.

use serde_json::Value;

pub(super) fn template_of(pool: &Value) -> &str {
    pool["spec"]["sandboxTemplateRef"]["name"].as_str().unwrap_or_default()
}

pub(super) fn replicas(pool: &Value) -> u64 {
    pool["spec"]["replicas"].as_u64().unwrap_or(1)
}

pub(super) fn rolls(pool: &Value) -> bool {
    pool["spec"]["updateStrategy"]["type"] == "RollingUpdate"
}

/// How many more than asked for may exist.
pub(super) fn surge(pool: &Value) -> u64 {
    if rolls(pool) { bound(pool, "maxSurge", Round::Up) } else { 0 }
}

/// How many must be available while a rollout goes on. A budget of nothing in both directions could never move, so it counts as one unavailable.
pub(super) fn floor(pool: &Value) -> u64 {
    let unavailable = match bound(pool, "maxUnavailable", Round::Down) {
        0 if surge(pool) == 0 => 1,
        unavailable => unavailable,
    };
    replicas(pool).saturating_sub(unavailable)
}

enum Round {
    Up,
    Down,
}

/// A count or a percentage; absent means a quarter, as for a Deployment.
fn bound(pool: &Value, field: &str, round: Round) -> u64 {
    let value = &pool["spec"]["updateStrategy"]["rollingUpdate"][field];
    if let Some(count) = value.as_u64() {
        return count;
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse().ok());
    let product = replicas(pool) * percent.unwrap_or(25_u64);
    match round {
        Round::Up => product.div_ceil(100),
        Round::Down => product / 100,
    }
}
