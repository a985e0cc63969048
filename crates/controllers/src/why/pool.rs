//! A pool, of any family: its plan says how it stands.

use engine::backoff::Backoff;
use engine::pool::Settings;
use engine::{ConditionKind, Holder, Key, Verdict};
use jiff::Timestamp;

use super::{Link, Standing, missing};
use crate::family::{Family, Pool, Sandbox};
use crate::index::World;

/// Members of a pool that are shown. They usually have the same trouble.
pub(crate) const SHOWN: usize = 3;

/// Explains a pool by its plan, its template, if it is another object, and some of the members that are not ready.
pub(crate) fn explain<F: Family>(
    world: &World<F>,
    name: &Key,
    now: Timestamp,
    template: impl FnOnce(&F::Pool) -> Option<Link>,
    sandbox: impl Fn(&Key) -> Link,
) -> Link {
    let Some(pool) = world.pools.get(name) else { return missing(F::POOL, name) };
    // Failures in a row are memory of a running controller; what they led to shows in the pool's own conditions.
    let view = F::Pool::view(world, pool, Backoff::default(), Settings::default());
    let plan = engine::pool::plan(&view, now);
    let verdict = |kind| plan.status.conditions.iter().find(|c| c.kind == kind).map(|c| c.verdict);
    let standing = match (verdict(ConditionKind::Available), verdict(ConditionKind::Progressing)) {
        (Some(Verdict::True), _) => Standing::Well,
        (_, Some(Verdict::False)) => Standing::Stuck,
        _ => Standing::Waiting,
    };
    let counts = plan.status.counts;
    let mut depends_on: Vec<Link> = template(pool).into_iter().collect();
    let unready = view.members.iter().filter(|member| {
        matches!(member.holder, Holder::Pool(_)) && !member.is_available() && !member.is_leaving()
    });
    depends_on.extend(unready.take(SHOWN).map(|member| sandbox(&member.key)));
    Link {
        kind: F::POOL,
        name: name.clone(),
        standing,
        summary: format!(
            "{} of {} ready, {} starting, {} failed, {} leaving",
            counts.available, plan.status.desired, counts.creating, counts.failed, counts.leaving
        ),
        reasons: plan.reasons,
        again_at: plan.wake_at,
        depends_on,
    }
}

/// Who holds a sandbox, for people.
pub(crate) fn holder<F: Family>(world: &World<F>, sandbox: &F::Sandbox) -> String {
    let name = |map: &std::collections::BTreeMap<engine::Uid, Key>, uid| {
        map.get(uid).map(|key| key.name.to_string())
    };
    match F::Sandbox::holder(sandbox) {
        Holder::Nobody => "held by nobody".to_owned(),
        Holder::Other => "held by something else".to_owned(),
        Holder::Pool(uid) => match name(&world.pool_of_uid, &uid) {
            Some(pool) => format!("warm in pool {pool}"),
            None => "of a pool that is gone".to_owned(),
        },
        Holder::Claim(uid) => match name(&world.claim_of_uid, &uid) {
            Some(claim) => format!("held by claim {claim}"),
            None => "held by a claim that is gone".to_owned(),
        },
    }
}
