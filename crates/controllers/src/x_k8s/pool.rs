//! What the generic reconcile of pools needs to know of a SandboxWarmPool.

use std::collections::BTreeSet;
use std::sync::Arc;

use dialects::condition::Condition;
use dialects::x_k8s::{SandboxWarmPool, build, keys, pool as dialect, template};
use engine::backoff::Backoff;
use engine::pool::{PoolPlan, PoolView, Settings};
use engine::shelf::Pick;
use engine::{Key, Precondition, Revision};
use jiff::Timestamp;
use serde_json::Value;

use super::XK8s;
use crate::family::{Order, Pool, Report, Terms, Weight};
use crate::index::World;
use crate::subject::Subject;

impl Pool<XK8s> for SandboxWarmPool {
    const PICK: Pick = Pick::SpreadNodes;
    const ORDER: Order = Order::WritesFirst;
    const BURST: u32 = 1;
    const STALLED: [&'static str; 2] = ["WarmPoolNotProgressing", "WarmPoolProgressing"];

    fn terms(world: &World<XK8s>, pool: &Self) -> Terms {
        let revision = world.revision_of(&pool.template_key()).cloned();
        Terms { strategy: pool.strategy(), revision }
    }

    fn view(world: &World<XK8s>, pool: &Self, backoff: Backoff, settings: Settings) -> PoolView {
        let key = pool.metadata.key();
        let label = (key.namespace.clone(), keys::hash(&key.name));
        let members: BTreeSet<&Key> = world
            .own
            .sandboxes_by_label
            .of(&label)
            .chain(world.sandboxes_by_holder.of(&pool.metadata.uid()))
            .collect();
        let members = members.into_iter().filter_map(|key| world.member(key)).collect();
        let template_key = pool.template_key();
        let revision = world.revision_of(&template_key).cloned();
        let pending = world.ledger.pending(&Subject::Pool(key.clone()));
        let template = template::state(template_key, revision);
        pool.view(template, members, world.waiting(&key), pending, backoff, settings)
    }

    fn blueprint(
        world: &World<XK8s>,
        pool: &Arc<Self>,
        revision: &Revision,
    ) -> Option<impl Fn(&Key) -> Value + Send + Sync + 'static> {
        let template_key = pool.template_key();
        if world.revision_of(&template_key) != Some(revision) {
            return None;
        }
        let template = world.templates.get(&template_key).cloned()?;
        let (pool, options) = (pool.clone(), world.own.options.clone());
        Some(move |name: &Key| build::member::member(&pool, &template, &name.name, &options))
    }

    fn adopt(pool: &Self, precondition: &Precondition) -> Value {
        build::member::adopt(pool, precondition)
    }

    fn report(_: &World<XK8s>, pool: &Self, plan: &PoolPlan, now: Timestamp) -> Option<Report> {
        let wanted = pool.next_status(&plan.status, now);
        let patch = dialect::status_patch(&pool.status, &wanted)?;
        let verdicts = |conditions: &[Condition]| {
            conditions
                .iter()
                .map(|c| (c.kind.clone(), c.status.clone(), c.reason.clone()))
                .collect::<Vec<_>>()
        };
        let only_counts = verdicts(&pool.status.conditions) == verdicts(&wanted.conditions)
            && pool.status.observed_generation == wanted.observed_generation;
        Some(Report { patch, weight: if only_counts { Weight::Counts } else { Weight::Verdict } })
    }
}
