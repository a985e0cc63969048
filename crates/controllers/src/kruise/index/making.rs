//! Templates and the sandboxes that were made from them.

use dialects::kruise::revision::{self, is_shown_only, shown_of};
use dialects::kruise::{Sandbox, keys};
use engine::{Holder, Key, Revision};

use crate::index::World;
use crate::index::table::Change;
use crate::index::wakes::Wakes;
use crate::index::world::Groups;
use crate::kruise::Kruise;
use crate::subject::Subject;

/// Sandboxes by the template that they were made from: the one they refer to, or the one in which their set wrote it down.
#[derive(Debug, Default)]
pub struct Making(Groups<Key>);

/// The template that a sandbox was made from, by name.
fn template(key: &Key, sandbox: &Sandbox) -> Option<Key> {
    if let Some(named) = &sandbox.spec.block.template_ref {
        return Some(key.sibling(&named.name));
    }
    let set = sandbox.metadata.labels.get(keys::POOL)?;
    Some(key.sibling(revision::template_name(set, shown_of(&sandbox.metadata))))
}

impl World<Kruise> {
    /// Follows a change of a sandbox. A template that lost its last one may be forgotten.
    pub(in crate::kruise) fn follow_making(
        &mut self,
        key: &Key,
        change: &Change<Sandbox>,
        wakes: &mut Wakes,
    ) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let (before, after) =
            (old.and_then(|old| template(key, old)), new.and_then(|new| template(key, new)));
        self.own.making.0.shift(key, before.clone(), after.clone());
        if let Some(before) = before.filter(|before| after.as_ref() != Some(before)) {
            self.wake_if_unused(&before, wakes);
        }
    }

    /// What a sandbox was made with, to compare with what its set is now. One that carries only a string was made with what the string stands for in its set.
    pub(in crate::kruise) fn made_with(&self, sandbox: &Sandbox) -> Revision {
        let key = sandbox.metadata.key();
        let known = self.own.sandboxes.revision(&key).cloned();
        let revision =
            known.unwrap_or_else(|| revision::of_sandbox(&sandbox.metadata, &sandbox.spec.block));
        if !is_shown_only(&revision) {
            return revision;
        }
        let Holder::Pool(uid) = sandbox.holder() else { return revision };
        let set = self.pool_of_uid.get(&uid).and_then(|set| self.pools.get(set));
        let of_set = set.and_then(|set| self.set_revision(set));
        of_set.map_or(revision.clone(), |of_set| of_set.of_member(&revision))
    }

    /// Whether a sandbox, or a set, was made from this template or refers to it.
    pub(in crate::kruise) fn is_used(&self, template: &Key) -> bool {
        self.own.making.0.of(template).next().is_some()
            || self.own.sets.by_template.of(template).next().is_some()
    }

    /// A template lost a sandbox. Nobody else would tell its set that it may be forgotten now.
    fn wake_if_unused(&self, template: &Key, wakes: &mut Wakes) {
        if self.is_used(template) {
            return;
        }
        let set = self.templates.get(template).and_then(|template| template.set());
        if let Some(set) = set.and_then(|uid| self.pool_of_uid.get(&uid)) {
            wakes.usual(Subject::Template(set.clone()));
        }
    }
}
