//! The pod of a sandbox, and making it.

use super::outcome::{Grace, LifeAction, LifeReady, PodFacts};
use super::plan::Draft;
use super::view::{Blueprint, Ending, LifePod, LifeView, PodOwner};
use crate::reason::{Code, Reason, WaitsFor};
use crate::sandbox::{PodPhase, Setback, volumes};

/// What pod there is, as far as it matters.
#[derive(Clone, Copy)]
pub(super) enum PodNow<'a> {
    /// None, and the name is free.
    Missing,
    /// One of an earlier sandbox of this name.
    Previous,
    /// One of somebody else.
    Stranger,
    /// Ours, on its way out.
    Going,
    /// Ours, and its processes ended by themselves.
    Ended(&'a LifePod),
    /// Ours, and the cluster ended it.
    Disrupted(&'a LifePod),
    /// Ours, not started yet.
    Starting(&'a LifePod),
    /// Ours, started.
    Runs(&'a LifePod),
}

impl<'a> PodNow<'a> {
    pub fn of(view: &'a LifeView) -> Self {
        let Some(pod) = &view.pod else { return Self::Missing };
        match pod.owner {
            PodOwner::Previous => return Self::Previous,
            PodOwner::Stranger => return Self::Stranger,
            PodOwner::Ours => {}
        }
        // First, because the processes of a pod that is being deleted end too, and that is not its own end.
        if pod.leaving {
            return Self::Going;
        }
        match (pod.phase, pod.ending) {
            (PodPhase::Succeeded | PodPhase::Failed, Ending::Own) => Self::Ended(pod),
            (PodPhase::Succeeded | PodPhase::Failed, Ending::Disrupted) => Self::Disrupted(pod),
            (PodPhase::Pending, _) => Self::Starting(pod),
            // A node that does not answer has started it.
            (PodPhase::Running | PodPhase::Unknown, _) => Self::Runs(pod),
        }
    }

    /// Ours, and not on its way out.
    pub fn present(self) -> Option<&'a LifePod> {
        match self {
            Self::Ended(pod) | Self::Disrupted(pod) | Self::Starting(pod) | Self::Runs(pod) => {
                Some(pod)
            }
            Self::Missing | Self::Previous | Self::Stranger | Self::Going => None,
        }
    }
}

/// Makes the pod if its name is free and all it needs is there. Returns what the sandbox then says of being ready.
pub(super) fn make(view: &LifeView, draft: &mut Draft) -> LifeReady {
    match PodNow::of(view) {
        PodNow::Going => {
            draft.because(Code::PodTerminating, "the last pod has to be gone before the next one");
            return LifeReady::Starting;
        }
        PodNow::Previous => {
            let message = format!(
                "pod {:?} belongs to an earlier sandbox of this name; it has to be gone first",
                &*view.key.name
            );
            draft.because(Code::ForeignObject, message.clone());
            return LifeReady::NameTaken(message);
        }
        PodNow::Stranger => {
            let message =
                format!("pod {:?} exists and does not belong to this sandbox", &*view.key.name);
            draft.because(Code::ForeignObject, message.clone());
            return LifeReady::NameTaken(message);
        }
        PodNow::Missing => {}
        PodNow::Ended(_) | PodNow::Disrupted(_) | PodNow::Starting(_) | PodNow::Runs(_) => {
            return LifeReady::Starting;
        }
    }
    if let Blueprint::Missing(what) = &view.blueprint {
        draft
            .reasons
            .push(Reason::new(Code::TemplateNotFound, what.clone()).waiting_for(WaitsFor::Edit));
        return LifeReady::NoPod(what.clone());
    }
    let problem = volumes::settle(&view.volumes, &mut draft.actions, &mut draft.reasons);
    if problem.is_none() {
        draft.because(Code::PodMissing, "its pod is made");
        draft.actions.push(LifeAction::CreatePod(view.key.clone()));
    }
    match (&view.setback, problem) {
        // What only an edit helps comes first: waiting for the rest to pass would be in vain.
        (Some(Setback::Invalid(message)), _) => LifeReady::NoPod(message.clone()),
        (Some(Setback::Denied(message)), None) => LifeReady::NoPod(message.clone()),
        (Some(Setback::Denied(message)), Some(problem)) => {
            LifeReady::NoPod(format!("{message}; {problem}"))
        }
        (None, Some(problem)) => LifeReady::NoPod(problem),
        (None, None) => LifeReady::Starting,
    }
}

/// Deletes a pod of ours.
pub(super) fn remove(pod: &LifePod, grace: Grace, draft: &mut Draft) {
    draft.actions.push(LifeAction::DeletePod {
        key: pod.key.clone(),
        uid: pod.precondition.uid.clone(),
        grace,
    });
}

/// Where the sandbox can be reached, if its pod runs.
pub(super) fn facts(now: PodNow<'_>) -> Option<PodFacts> {
    match now {
        PodNow::Runs(pod) => Some(PodFacts {
            uid: pod.precondition.uid.clone(),
            ip: pod.ip.clone(),
            node: pod.node.clone(),
        }),
        _ => None,
    }
}

/// What a pod that has not started yet lets the sandbox say of being ready.
pub(super) fn not_started(pod: &LifePod) -> LifeReady {
    pod.trouble.clone().map_or(LifeReady::Starting, LifeReady::Trouble)
}

/// What a pod that runs lets the sandbox say of being ready.
pub(super) fn mirrored(pod: &LifePod) -> LifeReady {
    match (&pod.trouble, pod.ready) {
        (_, true) => LifeReady::Yes,
        (Some(trouble), false) => LifeReady::NotStarting(trouble.clone()),
        (None, false) => LifeReady::PodNotReady,
    }
}
