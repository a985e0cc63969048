//! What the generic reconcile of pools needs to know of a SandboxSet.

use std::sync::Arc;

use dialects::condition::Condition;
use dialects::kruise::{SandboxSet, build, set as dialect};
use engine::backoff::Backoff;
use engine::pool::{PoolPlan, PoolView, Settings};
use engine::shelf::Pick;
use engine::{Code, Key, Precondition, Revision};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Kruise;
use crate::events::Severity;
use crate::family::{Deed, Order, Pool, Remark, Report, Terms, Weight};
use crate::index::World;
use crate::metrics::{Metrics, SetNumbers};
use crate::subject::Subject;

impl Pool<Kruise> for SandboxSet {
    const PICK: Pick = Pick::SpreadNodes;
    /// Clients of this family watch a set go from n to n-1 and back, so what a plan saw is told before its effects.
    const ORDER: Order = Order::ReportFirst;
    /// One claim makes three: one less, one on its way, ready again.
    const BURST: u32 = 4;
    const STALLED: [&'static str; 2] = ["SandboxSetNotProgressing", "SandboxSetProgressing"];

    fn terms(world: &World<Kruise>, set: &Self) -> Terms {
        let revision = world.meaning_of(&set.metadata.key()).cloned();
        Terms { strategy: set.strategy(), revision }
    }

    fn view(world: &World<Kruise>, set: &Self, backoff: Backoff, settings: Settings) -> PoolView {
        let key = set.metadata.key();
        let referenced = set.template_key().and_then(|name| world.templates.get(&name).cloned());
        let revision = world.set_revision(set);
        let template = set.template_state(referenced.as_deref(), revision.as_ref());
        // Only what it owns: a label that somebody wrote on a sandbox of theirs makes it nobody's to remove.
        let uid = set.metadata.uid();
        let members = world.sandboxes_by_holder.of(&uid);
        let members = members.filter_map(|name| world.member(name)).collect();
        let pending = world.ledger.pending(&Subject::Pool(key.clone()));
        set.view(template, members, world.waiting(&key), pending, backoff, settings)
    }

    fn blueprint(
        world: &World<Kruise>,
        set: &Arc<Self>,
        revision: &Revision,
    ) -> Option<impl Fn(&Key) -> Value + Send + Sync + 'static> {
        // The set as it is known now: a plan made from an older one is checked by what it means.
        let set = world
            .pools
            .get(&set.metadata.key())
            .filter(|now| now.metadata.uid == set.metadata.uid)?
            .clone();
        let now = world.set_revision(&set).filter(|now| now.meaning == *revision)?;
        let referenced = set.template_key().and_then(|name| world.templates.get(&name).cloned());
        Some(move |name: &Key| build::member::member(&set, referenced.as_deref(), &now, &name.name))
    }

    /// Sets of this family take nobody in, so no plan asks for it: [`Pool::view`] shows only what they own.
    fn adopt(set: &Self, precondition: &Precondition) -> Value {
        json!({"metadata": {
            "uid": precondition.uid,
            "resourceVersion": precondition.version.to_string(),
            "ownerReferences": [build::owned_by(dialects::kruise::Kind::SandboxSet, &set.metadata)],
        }})
    }

    fn report(
        world: &World<Kruise>,
        set: &Self,
        plan: &PoolPlan,
        now: Timestamp,
    ) -> Option<Report> {
        let revision = world.set_revision(set);
        // The template moved on since the plan: the next one, already asked for, tells.
        if plan.status.revision.is_some()
            && plan.status.revision != revision.as_ref().map(|revision| revision.meaning.clone())
        {
            return None;
        }
        let revision = revision.filter(|_| plan.status.revision.is_some());
        let wanted = set.next_status(&plan.status, revision.as_ref(), now);
        let patch = dialect::status_patch(&set.status, &wanted)?;
        let verdicts = |conditions: &[Condition]| {
            conditions
                .iter()
                .map(|c| (c.kind.clone(), c.status.clone(), c.reason.clone()))
                .collect::<Vec<_>>()
        };
        let only_counts = verdicts(&set.status.conditions) == verdicts(&wanted.conditions)
            && set.status.observed_generation == wanted.observed_generation
            && set.status.update_revision == wanted.update_revision
            && set.status.template_digest == wanted.template_digest;
        Some(Report { patch, weight: if only_counts { Weight::Counts } else { Weight::Verdict } })
    }

    fn measure(metrics: &Metrics, key: &Key, now: Option<(&Self, &PoolPlan)>) {
        let Some((set, plan)) = now else {
            return metrics.set_gone(&key.namespace, &key.name);
        };
        let counts = plan.status.counts;
        let numbers = SetNumbers {
            created: set.metadata.created(),
            desired: plan.status.desired,
            replicas: counts.warm,
            available: counts.available,
            updated: counts.updated,
            updated_available: counts.updated_available,
        };
        metrics.set(&key.namespace, &key.name, &numbers);
    }

    fn made(metrics: &Metrics, key: &Key, count: usize) {
        metrics.set_made(&key.namespace, &key.name, count);
    }

    fn remark(deed: &Deed<'_>) -> Option<Remark> {
        let (severity, reason, message) = match deed {
            Deed::Made { count: 1, example } => {
                (Severity::Normal, "SandboxCreated", format!("Sandbox {example} created"))
            }
            Deed::Made { count, example } => {
                let others = count - 1;
                let message = format!("Sandbox {example} and {others} more created");
                (Severity::Normal, "SandboxCreated", message)
            }
            Deed::Refused { error } => {
                let message = format!("Failed to create sandbox: {error}");
                (Severity::Warning, "CreateSandboxFailed", message)
            }
            Deed::Removed { sandbox, why } => {
                let (severity, reason) = match why.code {
                    Code::Stale => (Severity::Normal, "RollingUpdate"),
                    Code::Failed | Code::Stuck => (Severity::Warning, "FailedSandboxDeleted"),
                    Code::StrandedLock => (Severity::Warning, "StrandedLock"),
                    _ => (Severity::Normal, "SandboxScaledDown"),
                };
                (severity, reason, format!("Sandbox {sandbox} deleted: {}", why.message))
            }
        };
        Some(Remark { severity, reason, message })
    }
}
