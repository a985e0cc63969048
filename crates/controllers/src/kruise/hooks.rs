//! The hooks of upgrades: commands in pods that take their time, while the sandbox is looked at as usual.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dialects::kruise::Sandbox;
use dialects::kruise::runtime::InitRequest;
use engine::lifecycle::{Hook, HookMoment, HookRun};
use engine::{Key, Revision, Uid};
use parking_lot::Mutex;

use super::Kruise;
use super::runtime::{self, Telling};
use crate::act::ExecError;
use crate::queue::Priority;
use crate::reconcile::Reconciler;
use crate::subject::Subject;

/// The longest that a hook may take, whatever it asks for. An upgrade that waits longer is better told that it failed.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(3600);

/// What is known of hooks, and of what the programs inside are told. One of each for each sandbox: its last.
#[derive(Debug, Default)]
pub struct Hooks(Mutex<BTreeMap<Key, Known>>, Mutex<BTreeMap<Key, (Uid, HookRun)>>);

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

    /// What is known of the telling of the program in this pod.
    pub fn telling(&self, sandbox: &Key, pod: &Uid) -> HookRun {
        match self.1.lock().get(sandbox) {
            Some((known, run)) if known == pod => run.clone(),
            _ => HookRun::Idle,
        }
    }

    /// The sandbox is gone.
    pub fn forget(&self, sandbox: &Key) {
        self.0.lock().remove(sandbox);
        self.1.lock().remove(sandbox);
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

    /// Starts to tell the program inside what it was told before. The end wakes the sandbox.
    pub(super) fn tell_again(
        self: &Arc<Self>,
        sandbox: &Sandbox,
        address: Option<(IpAddr, u16)>,
        pod: &Uid,
    ) {
        let key = sandbox.metadata.key();
        let request = InitRequest::noted(&sandbox.metadata.annotations);
        self.memory.own.hooks.1.lock().insert(key.clone(), (pod.clone(), HookRun::Running));
        let (this, pod) = (self.clone(), pod.clone());
        tokio::spawn(async move {
            let done = match (address, request) {
                (Some((ip, port)), Some(request)) => {
                    let told = runtime::tell(ip, port, &request, Telling::Again).await;
                    told.map_err(|error| error.line())
                }
                _ => Err("it has no address, or nothing was noted for it".to_owned()),
            };
            let run = match done {
                Ok(()) => HookRun::Succeeded,
                Err(why) => HookRun::Failed(why),
            };
            let mut tellings = this.memory.own.hooks.1.lock();
            if let Some((_, known)) = tellings.get_mut(&key).filter(|(known, _)| *known == pod) {
                *known = run;
            }
            drop(tellings);
            this.wake(Subject::Sandbox(key), Priority::Background);
        });
    }
}
