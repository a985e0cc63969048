//! Templates: what they mean, and whom they wake.

use dialects::kruise::SandboxTemplate;
use engine::{Key, Uid};

use crate::index::table::{Change, Table};
use crate::index::wakes::Wakes;
use crate::index::{Indexed, World};
use crate::kruise::Kruise;
use crate::subject::Subject;

impl Indexed<Kruise> for SandboxTemplate {
    fn table(world: &mut World<Kruise>) -> &mut Table<Self> {
        &mut world.templates
    }

    fn changed(world: &mut World<Kruise>, key: &Key, change: &Change<Self>, wakes: &mut Wakes) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let owners: [Option<Uid>; 2] =
            [old.and_then(SandboxTemplate::set), new.and_then(SandboxTemplate::set)];
        let [before, after] = owners.clone();
        world.own.sets.written.shift(key, before, after);
        let same = old.map(|old| &old.spec) == new.map(|new| &new.spec);
        if !same {
            let meaning = new.and_then(SandboxTemplate::meaning);
            match meaning {
                Some(meaning) => {
                    world.own.sets.template_meanings.insert(key.clone(), meaning.revision)
                }
                None => world.own.sets.template_meanings.remove(key),
            };
            world.follow_template(key, wakes);
            // A sandbox that exists never follows its template; one that has no pod yet may have waited for it.
            for sandbox in world.own.sandboxes.by_template.of(key) {
                wakes.usual(Subject::Sandbox(sandbox.clone()));
            }
        }
        if same && owners[0] == owners[1] {
            return;
        }
        // Whoever wrote it down writes it again if it is gone, and forgets the oldest if it is one too many.
        for uid in owners.into_iter().flatten() {
            if let Some(set) = world.pool_of_uid.get(&uid) {
                wakes.usual(Subject::Template(set.clone()));
            }
        }
    }
}
