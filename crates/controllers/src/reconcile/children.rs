//! Objects that a subject owns: making them, and finding out what holds a name that is taken.

use engine::Key;
use serde_json::Value;

use super::{Failure, Reconciler};
use crate::act::{Urgency, WriteError};
use crate::index::Indexed;
use crate::index::child::{NetworkPolicy, Service, Volume};
use crate::kinds::Kind;
use crate::subject::Subject;
use dialects::pod::Pod;

/// What became of a child that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// It is there.
    Done,
    /// Another object has its name; nothing that builds on the child may be made before that is looked at.
    NameTaken,
}

impl Reconciler {
    /// Makes a child under the name the plan gave it. A name that is taken is not an error: what holds it is looked up and put into the index, and the subject is
    /// planned again from there. It may be our own, from an attempt whose answer was lost, or a stranger's that no watch of ours shows.
    pub(super) async fn create_child(
        &self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        body: &Value,
        urgency: Urgency,
    ) -> Result<Made, Failure> {
        self.index.world().ledger.creating(subject, kind, key, self.clock.now());
        match self.writer.create(kind, &key.namespace, body, urgency).await {
            Ok(written) => {
                let mut world = self.index.world();
                let seen = world.seen_version(kind, key);
                world.ledger.wrote(subject, kind, key, written.version, seen, self.clock.now());
                Ok(Made::Done)
            }
            Err(WriteError::AlreadyExists(_)) => {
                self.index.world().ledger.create_refused(subject, kind, key);
                self.look_up_holder(kind, key).await?;
                self.wake(subject.clone(), crate::queue::Priority::Urgent);
                Ok(Made::NameTaken)
            }
            Err(source) => {
                if source.is_certain() {
                    self.index.world().ledger.create_refused(subject, kind, key);
                } else {
                    self.memory.create_lost(subject, kind, key);
                }
                Err(Failure::write("create", kind, key, source))
            }
        }
    }

    async fn look_up_holder(&self, kind: Kind, key: &Key) -> Result<(), Failure> {
        match kind {
            Kind::Pod => self.glimpse::<Pod>(kind, key).await,
            Kind::Service => self.glimpse::<Service>(kind, key).await,
            Kind::Volume => self.glimpse::<Volume>(kind, key).await,
            Kind::NetworkPolicy => self.glimpse::<NetworkPolicy>(kind, key).await,
            // All of these are watched without a selector.
            Kind::Sandbox | Kind::Template | Kind::Pool | Kind::Claim => Ok(()),
        }
    }

    /// Puts an object into the index that no watch may have shown.
    pub(super) async fn glimpse<T: Indexed>(&self, kind: Kind, key: &Key) -> Result<(), Failure> {
        let known = self.index.world().seen_version(kind, key);
        match self.writer.look::<T>(kind, key).await {
            Ok(Some(object)) => self.index.apply(object),
            // What was seen while we asked is not what we asked about.
            Ok(None) => {
                if let Some(version) = known {
                    self.index.gone::<T>(key, version);
                }
            }
            Err(source) => return Err(Failure::write("look at", kind, key, source)),
        }
        Ok(())
    }
}
