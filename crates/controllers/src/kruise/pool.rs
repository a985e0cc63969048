//! What the generic reconcile of pools needs to know of a SandboxSet.

use std::sync::Arc;

use dialects::kruise::SandboxSet;
use engine::backoff::Backoff;
use engine::pool::{PoolPlan, PoolView, Removal, Settings, Target, TemplateState};
use engine::shelf::Pick;
use engine::{Key, Precondition, Revision, Strategy};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Kruise;
use crate::family::{Order, Pool, Report, Terms};
use crate::index::World;
use crate::subject::Subject;

impl Pool<Kruise> for SandboxSet {
    const PICK: Pick = Pick::SpreadNodes;
    /// Clients of this family watch a set go from n to n-1 and back, so what a plan saw is told before its effects.
    const ORDER: Order = Order::ReportFirst;
    /// One claim makes three: one less, one on its way, ready again.
    const BURST: u32 = 4;
    const STALLED: [&'static str; 2] = ["SandboxSetNotProgressing", "SandboxSetProgressing"];

    fn terms(_: &World<Kruise>, _: &Self) -> Terms {
        Terms { strategy: Strategy::OnReplenish, revision: None }
    }

    fn view(world: &World<Kruise>, set: &Self, backoff: Backoff, settings: Settings) -> PoolView {
        let key = set.metadata.key();
        PoolView {
            uid: set.metadata.uid(),
            leaving: set.metadata.is_leaving(),
            target: Target::Count(set.spec.replicas),
            template: TemplateState::Missing { name: key.clone() },
            strategy: Strategy::OnReplenish,
            startup: None,
            removal: Removal::StaleThenOldest,
            members: Vec::new(),
            claimed: 0,
            waiting: world.waiting(&key),
            pending: world.ledger.pending(&Subject::Pool(key.clone())),
            backoff,
            settings,
            key,
        }
    }

    fn blueprint(
        _: &World<Kruise>,
        _: &Arc<Self>,
        _: &Revision,
    ) -> Option<impl Fn(&Key) -> Value + Send + Sync + 'static> {
        None::<fn(&Key) -> Value>
    }

    fn adopt(_: &Self, _: &Precondition) -> Value {
        json!({})
    }

    fn report(_: &Self, _: &PoolPlan, _: Timestamp) -> Option<Report> {
        None
    }
}
