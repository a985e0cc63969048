//! The templates in which a set writes down what its sandboxes are.
//!
//! The subject is the set: a template that nobody owns is never looked at. The present one is there, the newest are kept, and what is older and used by nobody goes.

use std::sync::Arc;

use dialects::kruise::revision::template_name;
use dialects::kruise::{SandboxSet, SandboxTemplate, build};
use engine::Key;
use engine::pool::history::{self, Past, Use};
use serde_json::Value;

use super::Kruise;
use crate::act::Urgency;
use crate::events::{Note, Severity};
use crate::family::{self, Family, Looked};
use crate::index::World;
use crate::reconcile::Reconciler;
use crate::subject::Subject;

impl family::Template<Kruise> for SandboxTemplate {
    async fn reconcile(this: &Arc<Reconciler<Kruise>>, set: &Key) -> Looked {
        this.templates_of(set).await
    }
}

/// What is to be done about the templates of a set.
#[derive(Debug, Default)]
struct Upkeep {
    /// The present one, if it is not there.
    missing: Option<(Key, Value)>,
    /// The present one, if somebody else's has its name.
    taken: Option<Key>,
    /// Those that nobody needs any more.
    outdated: Vec<Past>,
}

impl Reconciler<Kruise> {
    async fn templates_of(self: &Arc<Self>, key: &Key) -> Looked {
        let subject = Subject::Template(key.clone());
        if let Some(at) = self.hold_back(&subject) {
            return Ok(Some(at));
        }
        let (set, upkeep) = {
            let world = self.index.world();
            let Some(set) = world.pools.get(key).cloned() else { return Ok(None) };
            if set.metadata.is_leaving() {
                return Ok(None);
            }
            let upkeep = Upkeep::of(&world, &set);
            (set, upkeep)
        };
        for past in upkeep.outdated {
            tracing::info!(%subject, template = %past.key, "outdated");
            let uid = &past.precondition.uid;
            self.delete_child(&subject, Kruise::TEMPLATE, &past.key, uid, Urgency::Background)
                .await?;
        }
        if let Some(name) = upkeep.taken {
            self.events.note(Note {
                kind: Kruise::POOL,
                key: key.clone(),
                uid: set.metadata.uid(),
                severity: Severity::Warning,
                reason: "TemplateNameTaken",
                message: format!(
                    "SandboxTemplate {} belongs to somebody else, so this revision is not written down; sandboxes are made all the same",
                    name.name
                ),
            });
        }
        if let Some((name, body)) = upkeep.missing {
            self.create_child::<SandboxTemplate>(&subject, &name, &body, Urgency::Background)
                .await?;
        }
        Ok(None)
    }
}

impl Upkeep {
    fn of(world: &World<Kruise>, set: &SandboxSet) -> Self {
        let mut upkeep = Self::default();
        let revision = world.set_revision(set);
        let present = revision
            .as_ref()
            .filter(|_| set.template_name().is_none() && set.problem(None).is_none())
            .map(|revision| {
                let name = template_name(&set.metadata.name, &revision.shown);
                (set.metadata.key().sibling(name), revision)
            });
        if let Some((name, revision)) = &present {
            match world.templates.get(name) {
                None => {
                    upkeep.missing = Some((name.clone(), build::template::template(set, revision)))
                }
                Some(template) if !template.is_of(set) => upkeep.taken = Some(name.clone()),
                Some(_) => {}
            }
        }
        let present = present.map(|(name, _)| name);
        let uid = set.metadata.uid();
        let written = world.own.sets.written.of(&uid).filter_map(|name| {
            let template = world.templates.get(name).filter(|it| !it.metadata.is_leaving())?;
            let needed = Some(name) == present.as_ref() || world.is_used(name);
            Some(template.past(if needed { Use::Needed } else { Use::Remembered }))
        });
        upkeep.outdated =
            history::outdated(written.collect()).into_iter().map(|(past, _)| past).collect();
        upkeep
    }
}
