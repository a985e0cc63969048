//! The hooks of upgrades: commands in pods that take their time, while the sandbox is looked at as usual.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::lifecycle::{Hook, HookMoment, HookRun};
use engine::{Key, Revision, Uid};
use parking_lot::Mutex;

use super::Kruise;
use crate::act::ExecError;
use crate::queue::Priority;
use crate::reconcile::Reconciler;
use crate::subject::Subject;

/// The longest that a hook may take, whatever it asks for. An upgrade that waits longer is better told that it failed.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(3600);

/// What is known of hooks. One for each sandbox: its last.
#[derive(Debug, Default)]
pub struct Hooks(Mutex<BTreeMap<Key, Known>>);

#[derive(Debug)]
struct Known {
    id: Id,
    run: HookRun,
}

/// Which run of which hook. A hook of another template, or in another pod, is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Id {
    moment: HookMoment,
    pod: Uid,
    revision: Revision,
}

impl Hooks {
    /// What is known of a hook of this sandbox in this pod. After a restart that is nothing, and it is run again: a hook has to stand being run twice.
    pub fn of(&self, sandbox: &Key, moment: HookMoment, pod: &Uid, revision: &Revision) -> HookRun {
        match self.0.lock().get(sandbox) {
            Some(known)
                if (known.id.moment, &known.id.pod, &known.id.revision)
                    == (moment, pod, revision) =>
            {
                known.run.clone()
            }
            _ => HookRun::Idle,
        }
    }

    /// The sandbox is gone.
    pub fn forget(&self, sandbox: &Key) {
        self.0.lock().remove(sandbox);
    }

    fn begun(&self, sandbox: &Key, id: Id) {
        self.0.lock().insert(sandbox.clone(), Known { id, run: HookRun::Running });
    }

    fn ended(&self, sandbox: &Key, id: &Id, run: HookRun) {
        if let Some(known) = self.0.lock().get_mut(sandbox).filter(|known| known.id == *id) {
            known.run = run;
        }
    }
}

impl Reconciler<Kruise> {
    /// Starts a hook. Its end wakes the sandbox.
    pub(super) fn run_hook(
        self: &Arc<Self>,
        sandbox: &Key,
        container: Option<String>,
        hook: &Hook,
    ) {
        let id = Id { moment: hook.moment, pod: hook.pod.clone(), revision: hook.revision.clone() };
        self.memory.own.hooks.begun(sandbox, id.clone());
        let limit = hook.command.timeout.try_into().unwrap_or(LONGEST).min(LONGEST);
        let (this, sandbox, command) =
            (self.clone(), sandbox.clone(), hook.command.command.clone());
        // Not waited for when the process ends: the next one runs it again.
        tokio::spawn(async move {
            let done = this.writer.exec(&sandbox, container.as_deref(), &command, limit).await;
            let run = match done {
                Ok(()) => HookRun::Succeeded,
                // Whoever leads now knows nothing of this run and makes its own.
                Err(ExecError::NotLeading) => HookRun::Idle,
                Err(error) => HookRun::Failed(error.to_string()),
            };
            tracing::info!(%sandbox, ?run, "a hook ended");
            this.memory.own.hooks.ended(&sandbox, &id, run);
            this.wake(Subject::Sandbox(sandbox), Priority::Background);
        });
    }
}
