//! Sets: what they mean, by what they are found, and whom they wake.

use std::collections::BTreeMap;

use dialects::kruise::SandboxSet;
use dialects::kruise::revision::{Meaning, SetRevision, is_shown_only, shown_of};
use engine::{Key, Revision, Uid};

use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::world::Groups;
use crate::index::{Indexed, World};
use crate::kruise::Kruise;
use crate::subject::Subject;

/// How sets and templates are linked, and what they mean.
#[derive(Debug, Default)]
pub struct Sets {
    /// Sets by the template they refer to.
    pub by_template: Groups<Key>,
    /// What each set means now; absent while the template that it refers to is missing.
    meanings: BTreeMap<Key, Meaning>,
    /// Templates by the life of the set that wrote them down.
    pub(in crate::kruise) written: Groups<Uid>,
    /// What each template means.
    pub(super) template_meanings: BTreeMap<Key, Revision>,
}

impl Indexed<Kruise> for SandboxSet {
    fn table(world: &mut World<Kruise>) -> &mut Table<Self> {
        &mut world.pools
    }

    fn changed(world: &mut World<Kruise>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        world.own.sets.by_template.shift(
            key,
            old.and_then(SandboxSet::template_key),
            new.and_then(SandboxSet::template_key),
        );
        // Its status changes with every member; nothing is decided from it but which string its revision goes by.
        let same = match (old, new) {
            (Some(old), Some(new)) => {
                old.metadata.uid == new.metadata.uid
                    && old.metadata.generation == new.metadata.generation
                    && old.metadata.is_leaving() == new.metadata.is_leaving()
            }
            _ => false,
        };
        if !same {
            world.follow_meaning(key);
        }
        world.follow_pool(key, change, wakes);
        let string = |set: &SandboxSet| {
            (set.status.update_revision.clone(), set.status.template_digest.clone())
        };
        if old.map(string) != new.map(string) {
            world.reshelve_strings(key, wakes);
        }
        if !same {
            wakes.usual(Subject::Pool(key.clone()));
            wakes.usual(Subject::Template(key.clone()));
            world.wake_unserved(key, wakes);
        }
    }
}

impl World<Kruise> {
    /// Finds out what a set means now.
    fn follow_meaning(&mut self, key: &Key) {
        let meaning = self.pools.get(key).and_then(|set| {
            let referenced = set.template_key().and_then(|name| self.templates.get(&name));
            Meaning::of_block(&set.spec.block, referenced.map(AsRef::as_ref))
        });
        match meaning {
            Some(meaning) => self.own.sets.meanings.insert(key.clone(), meaning),
            None => self.own.sets.meanings.remove(key),
        };
    }

    /// A template came, went or changed: the sets that refer to it follow.
    pub(super) fn follow_template(&mut self, template: &Key, wakes: &mut Wakes) {
        let sets: Vec<Key> = self.own.sets.by_template.of(template).cloned().collect();
        for set in sets {
            self.follow_meaning(&set);
            self.retell_pool(&set, wakes);
            self.reshelve_strings(&set, wakes);
            wakes.usual(Subject::Pool(set.clone()));
            self.wake_unserved(&set, wakes);
        }
    }

    /// What a set means now, whatever it is called.
    pub(in crate::kruise) fn meaning_of(&self, set: &Key) -> Option<&Revision> {
        self.own.sets.meanings.get(set).map(|meaning| &meaning.revision)
    }

    /// The revision of a set under both its names. A string that stands for its meaning already, on a template or on a member, is kept, whoever chose it.
    pub(in crate::kruise) fn set_revision(&self, set: &SandboxSet) -> Option<SetRevision> {
        let meaning = self.own.sets.meanings.get(&set.metadata.key())?;
        let uid = set.metadata.uid();
        let prefix = format!("{}-", set.metadata.name);
        let templates = self.own.sets.written.of(&uid).filter_map(|name| {
            let shown = name.name.strip_prefix(&prefix)?;
            Some((self.own.sets.template_meanings.get(name)?, shown))
        });
        let members = self.sandboxes_by_holder.of(&uid).filter_map(|name| {
            let sandbox = self.sandboxes.get(name)?;
            Some((self.own.sandboxes.revision(name)?, shown_of(&sandbox.metadata)))
        });
        Some(SetRevision::of_set(set, meaning, templates.chain(members)))
    }

    /// Members that carry only a string are worth what it stands for, which has changed.
    fn reshelve_strings(&mut self, set: &Key, wakes: &mut Wakes) {
        let Some(uid) = self.pools.get(set).map(|set| set.metadata.uid()) else { return };
        let sandboxes = &self.own.sandboxes;
        let strings: Vec<Key> = self
            .sandboxes_by_holder
            .of(&uid)
            .filter(|member| sandboxes.revision(member).is_some_and(is_shown_only))
            .cloned()
            .collect();
        for member in strings {
            self.shelve(&member, wakes);
        }
    }
}
