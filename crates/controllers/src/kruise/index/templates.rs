//! Templates: whom they wake.

use dialects::kruise::SandboxTemplate;
use engine::Key;

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
        if old.map(|t| &t.spec) == new.map(|t| &t.spec) {
            return;
        }
        // A sandbox that exists never follows its template; one that has no pod yet may have waited for it.
        for sandbox in world.own.sandboxes.by_template.of(key) {
            wakes.usual(Subject::Sandbox(sandbox.clone()));
        }
        let sets: Vec<Key> = world.own.sets.by_template.of(key).cloned().collect();
        for set in sets {
            wakes.usual(Subject::Pool(set.clone()));
            world.retell_pool(&set, wakes);
            world.wake_unserved(&set, wakes);
        }
    }
}
