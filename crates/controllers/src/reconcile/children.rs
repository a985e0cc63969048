//! Objects that a subject owns: making them, and finding out what holds a name that is taken.

use engine::{Key, Uid};
use serde_json::Value;

use super::memory::Name;
use super::{Failure, Reconciler};
use crate::act::{DeletePrecondition, Grace, Part, Propagation, Urgency, WriteError};
use crate::family::Family;
use crate::index::Indexed;
use crate::kinds::Kind;
use crate::subject::Subject;

/// What became of a child that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is there.
    Done,
    /// Another object has its name; nothing that builds on the child may be made before that is looked at.
    NameTaken,
}

impl<F: Family> Reconciler<F> {
    /// Makes a child under the name the plan gave it. A name that is taken is not an error: what holds it is looked up and put into the index, and the subject is
    /// planned again from there. It may be our own, from an attempt whose answer was lost, or a stranger's that no watch of ours shows.
    pub(crate) async fn create_child<T: Indexed<F>>(
        &self,
        subject: &Subject,
        key: &Key,
        body: &Value,
        urgency: Urgency,
    ) -> Result<Made, Failure> {
        let kind = T::KIND;
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
                self.glimpse::<T>(key).await?;
                self.wake(subject.clone(), crate::queue::Priority::Urgent);
                Ok(Made::NameTaken)
            }
            Err(source) => {
                if source.is_certain() {
                    self.index.world().ledger.create_refused(subject, kind, key);
                } else {
                    self.memory.create_lost(subject, kind, key, Name::Given);
                }
                Err(Failure::write("create", kind, key, source))
            }
        }
    }

    /// Patches a child, if there is anything to patch. One that is gone needs nothing any more.
    pub(crate) async fn patch_child(
        &self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        patch: Option<Value>,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        let Some(patch) = patch else { return Ok(()) };
        match self.writer.patch(kind, key, Part::Main, &patch, urgency).await {
            Ok(written) => {
                self.wrote(subject, kind, &written);
                Ok(())
            }
            Err(WriteError::Gone(_)) => Ok(()),
            Err(source) => Err(Failure::write("patch", kind, key, source)),
        }
    }

    /// A child is deleted whatever was written to it since: that it has to go depends on its owner alone.
    pub(crate) async fn delete_child(
        &self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        uid: &Uid,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        self.delete_child_within(subject, kind, key, uid, Grace::OfObject, urgency).await
    }

    /// The same, with a choice of how long its processes get to end.
    pub(crate) async fn delete_child_within(
        &self,
        subject: &Subject,
        kind: Kind,
        key: &Key,
        uid: &Uid,
        grace: Grace,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        self.index.world().ledger.deleting(subject, kind, key, uid, self.clock.now());
        let insist = DeletePrecondition::Life(uid);
        let done = self
            .writer
            .delete_within(kind, key, insist, Propagation::Background, grace, urgency)
            .await;
        if done.is_err() {
            self.index.world().ledger.delete_settled(subject, kind, uid);
        }
        match done {
            Ok(()) | Err(WriteError::Gone(_)) => Ok(()),
            Err(source) => Err(Failure::write("delete", kind, key, source)),
        }
    }

    /// Puts an object into the index that no watch may have shown.
    pub(crate) async fn glimpse<T: Indexed<F>>(&self, key: &Key) -> Result<(), Failure> {
        let kind = T::KIND;
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
