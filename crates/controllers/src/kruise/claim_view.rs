//! The view of a claim: what it asks for, what it has, and what its set can give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dialects::kruise::claim::Inside;
use dialects::kruise::{Sandbox, SandboxClaim, SandboxSet, SandboxTemplate, keys, runtime};
use dialects::meta::Pairs;
use engine::backoff::Backoff;
use engine::batch::{BatchView, ColdStart, Content, Source};
use engine::pace::Pace;
use engine::{Code, Key, Reason, WaitsFor};

use super::Kruise;
use crate::family;
use crate::index::World;

/// How many sandboxes a claim takes or starts between two reports: as many as there are writes in flight at most, so that a wave takes about as long as its
/// slowest write.
const WAVE: u32 = 64;

/// What a claim is planned from, beside the world: what this look did already and the world has not seen.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Sandboxes as our writes left them.
    pub sandboxes: BTreeMap<Key, Sandbox>,
    /// Sandboxes that our writes removed.
    pub removed: BTreeSet<Key>,
    /// The claim as our writes left it.
    pub claim: Option<Arc<SandboxClaim>>,
}

/// A claim, and what its set means for it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub claim: Arc<SandboxClaim>,
    pub view: BatchView,
    /// What sandboxes of the set need; `None` while the set is not known.
    pub inside: Option<Inside>,
}

/// A claim and everything that bears on it.
pub(super) fn view(
    world: &World<Kruise>,
    key: &Key,
    overlay: &Overlay,
    backoff: Backoff,
) -> Option<Seen> {
    let known = world.claims.get(key)?;
    let newer = overlay.claim.as_ref().filter(|own| {
        own.metadata.uid == known.metadata.uid && own.metadata.version() > known.metadata.version()
    });
    let claim = newer.unwrap_or(known).clone();
    let set_key = claim.set_key();
    let set = world.pools.get(&set_key);
    let referenced = set.and_then(|set| template_of(world, &set_key, set));
    let pod = set.and_then(|set| set.spec.block.pod(referenced.map(Arc::as_ref)));
    let inside = set.map(|_| claim.inside(&Pairs::new(), pod));
    let content = match set {
        Some(set) => {
            let refers = set.spec.block.template_ref.as_ref().map(|it| it.name.as_str());
            claim.content(pod, refers)
        }
        None => Content::Plain,
    };
    let created = world.claim_seen(key).unwrap_or(claim.metadata.created());
    let source = match (set, world.shelves.get(&set_key)) {
        (Some(set), Some(shelf)) => {
            let open = claim.spec.replicas.saturating_sub(claim.status.claimed_replicas);
            let lot = shelf.lot(key, created, open);
            Source::Found { lot, cold: cold_start(world, &set_key, set) }
        }
        _ => Source::PoolMissing { name: set_key.clone() },
    };
    let held = holdings(world, &claim, overlay);
    let mut view = claim.view(inside.unwrap_or_default(), content, source, held, backoff, WAVE);
    // Reports have whole seconds. What began within the second that was reported began when we saw it.
    if let Some(started) = view.history.started
        && created.duration_since(started).as_secs() == 0
        && created > started
    {
        view.history.started = Some(created);
    }
    Some(Seen { claim, view, inside })
}

fn holdings(
    world: &World<Kruise>,
    claim: &SandboxClaim,
    overlay: &Overlay,
) -> Vec<engine::batch::Holding> {
    let life = claim.metadata.uid();
    let known = world
        .sandboxes_by_holder
        .of(&life)
        .filter_map(|key| Some((key, world.sandboxes.get(key)?.as_ref())));
    let mut held: BTreeMap<&Key, &Sandbox> = known.collect();
    for (key, own) in &overlay.sandboxes {
        let newer = held.get(key).is_none_or(|it| it.metadata.version() < own.metadata.version());
        if newer {
            held.insert(key, own);
        }
    }
    held.into_iter()
        .filter(|(key, _)| !overlay.removed.contains(*key))
        .map(|(_, sandbox)| {
            let pod = world.pod_of(&sandbox.metadata.uid());
            let trouble = pod.and_then(|pod| pod.trouble());
            claim.holding(sandbox, trouble)
        })
        .collect()
}

/// Where the runtime of this sandbox listens. What its set's template says in an annotation does not reach its sandboxes, so the set is asked too.
pub(super) fn port_of(world: &World<Kruise>, key: &Key, sandbox: &Sandbox) -> Option<u16> {
    let block = &sandbox.spec.block;
    let referenced = block.template_ref.as_ref();
    let referenced = referenced.and_then(|it| world.templates.get(&key.sibling(&it.name)));
    let own = block.pod(referenced.map(Arc::as_ref));
    runtime::port(&sandbox.metadata.annotations, own).or_else(|| {
        let set_key = key.sibling(sandbox.metadata.labels.get(keys::POOL)?);
        let set = world.pools.get(&set_key)?;
        let template = template_of(world, &set_key, set);
        runtime::port(&Pairs::new(), set.spec.block.pod(template.map(Arc::as_ref)))
    })
}

fn template_of<'a>(
    world: &'a World<Kruise>,
    key: &Key,
    set: &SandboxSet,
) -> Option<&'a Arc<SandboxTemplate>> {
    let name = &set.spec.block.template_ref.as_ref()?.name;
    world.templates.get(&key.sibling(name))
}

/// Whether, and how fast, a sandbox of this set can be started for a claim.
fn cold_start(world: &World<Kruise>, key: &Key, set: &SandboxSet) -> ColdStart {
    if <SandboxSet as family::Pool<Kruise>>::terms(world, set).revision.is_some() {
        return ColdStart::Takes(world.cold_pace.get(key).and_then(Pace::typical));
    }
    let name = set.spec.block.template_ref.as_ref().map_or("", |it| &it.name);
    let why = Reason::new(Code::TemplateNotFound, format!("SandboxTemplate {name:?} not found"));
    ColdStart::Impossible(why.waiting_for(WaitsFor::Template(key.sibling(name))))
}
