//! The view of a claim: what it asks for, what it has, and where a sandbox for it may come from.

use std::sync::Arc;

use dialects::x_k8s::claim::Choice;
use dialects::x_k8s::{Sandbox, SandboxClaim};
use engine::Key;
use engine::claim::{ClaimView, Content, Held, Source};
use jiff::Timestamp;

use super::XK8s;
use crate::index::World;

/// A claim and everything that bears on it.
pub(super) fn view(world: &World<XK8s>, claim: &SandboxClaim) -> ClaimView {
    let template_key = template_of(world, claim);
    let template = template_key.as_ref().and_then(|key| world.templates.get(key));
    let content = claim.content(template.map(Arc::as_ref), &world.own.options);
    let (held, spare) = held(world, claim);
    let created = world.claim_seen(&claim.metadata.key()).unwrap_or(claim.metadata.created());
    let source = source(world, claim, template_key.as_ref(), &content, created);
    let mut view = claim.view(content, source, held, spare);
    view.created = created;
    view
}

/// The template of a claim: the one it names, or that of its pool.
pub(super) fn template_of(world: &World<XK8s>, claim: &SandboxClaim) -> Option<Key> {
    match claim.choice() {
        Choice::Pool(pool) => world.pools.get(&pool).map(|pool| pool.template_key()),
        other => other.template().cloned(),
    }
}

fn held(world: &World<XK8s>, claim: &SandboxClaim) -> (Held, Vec<(Key, engine::Precondition)>) {
    let key = claim.metadata.key();
    let owned: Vec<Arc<Sandbox>> = world
        .sandboxes_by_holder
        .of(&claim.metadata.uid())
        .filter_map(|key| world.sandboxes.get(key).cloned())
        .collect();
    let owned: Vec<&Sandbox> = owned.iter().map(Arc::as_ref).collect();
    let same_name = world.sandboxes.get(&key).map(Arc::as_ref);
    let known = &claim.status.sandbox.name;
    let named = if known.is_empty() {
        None
    } else {
        world.sandboxes.get(&key.sibling(known)).map(Arc::as_ref)
    };
    (claim.held(&owned, same_name, named), claim.spare(&owned))
}

fn source(
    world: &World<XK8s>,
    claim: &SandboxClaim,
    template: Option<&Key>,
    content: &Content,
    created: Timestamp,
) -> Source {
    let choice = claim.choice();
    if let Choice::Pool(pool) = &choice
        && world.pools.get(pool).is_none()
    {
        return Source::PoolMissing { name: pool.clone() };
    }
    let Some(template) = template else {
        return Source::Found { offers: Vec::new(), cold_start: None };
    };
    if world.templates.get(template).is_none() {
        return Source::TemplateMissing { name: template.clone() };
    }
    let pools: Vec<Key> = match (&choice, content) {
        (_, Content::ColdOnly(_)) | (Choice::Cold(_), _) => Vec::new(),
        (Choice::Pool(pool), _) => vec![pool.clone()],
        (Choice::PoolOfTemplate { pool, .. }, _) => {
            let fits = world.pools.get(pool).is_some_and(|pool| pool.template_key() == *template);
            if fits { vec![pool.clone()] } else { Vec::new() }
        }
        (Choice::AnyOfTemplate(_), _) => {
            world.own.pools_by_template.of(template).cloned().collect()
        }
    };
    let key = claim.metadata.key();
    let offers = pools
        .iter()
        .filter_map(|pool| world.shelves.get(pool))
        .map(|shelf| shelf.offer(&key, created))
        .collect();
    let cold_start = world.cold_pace.get(template).and_then(engine::pace::Pace::typical);
    Source::Found { offers, cold_start }
}
