//! What people are told about a sandbox, as events: one when its phase changes, and one when something about it needs somebody's doing.

use dialects::kruise::types::{Sandbox, SandboxStatus};
use engine::lifecycle::{
    LifePlan, LifeReady, LifeStatus, Phase, PodOwner, UpdateState, UpgradeStep,
};
use engine::{Code, Holder};

use crate::events::Severity;
use crate::events::Severity::{Normal, Warning};

/// An event to write.
pub(super) type Told = (Severity, &'static str, String);

/// What a report that was written tells.
pub(super) fn notes(
    sandbox: &Sandbox,
    pod: Option<PodOwner>,
    plan: &LifePlan,
    wanted: &SandboxStatus,
) -> Vec<Told> {
    let Some(status) = &plan.status else { return Vec::new() };
    let mut notes = Vec::new();
    // A warm one that starts is one of many, and its set tells.
    let warm = matches!(sandbox.holder(), Holder::Pool(_));
    notes.extend(
        phase(sandbox.phase(), status).filter(|(severity, ..)| !warm || *severity == Warning),
    );
    notes.extend(ready(sandbox, pod, status, wanted));
    notes.extend(change(sandbox, plan, status, wanted));
    notes
}

fn phase(before: Option<Phase>, status: &LifeStatus) -> Option<Told> {
    if before == Some(status.phase) {
        return None;
    }
    let (severity, reason, text) = match (status.phase, before) {
        (Phase::Pending, _) => (Normal, "SandboxPending", "Start sandbox"),
        (Phase::Running, Some(Phase::Resuming)) => (Normal, "SandboxRunning", "Sandbox resumed"),
        (Phase::Running, Some(Phase::Upgrading)) => (Normal, "SandboxRunning", "Sandbox upgraded"),
        (Phase::Running, _) => (Normal, "SandboxRunning", "Sandbox started"),
        (Phase::Paused, _) => (Normal, "SandboxPaused", "Pause sandbox"),
        (Phase::Resuming, _) => (Normal, "SandboxResuming", "Resume sandbox"),
        (Phase::Upgrading, Some(Phase::Paused)) => {
            (Normal, "SandboxUpgrading", "Upgrade paused sandbox")
        }
        (Phase::Upgrading, _) => (Normal, "SandboxUpgrading", "Upgrade sandbox"),
        (Phase::Succeeded, _) => (Normal, "SandboxSucceeded", "Sandbox succeeded"),
        (Phase::Failed, _) => (Warning, "SandboxFailed", "Sandbox failed"),
        (Phase::Terminating, _) => (Normal, "SandboxTerminating", "Terminate sandbox"),
    };
    let text = if status.message.is_empty() {
        text.to_owned()
    } else {
        format!("{text}: {}", status.message)
    };
    Some((severity, reason, text))
}

/// What keeps it from being ready, when that is news.
fn ready(
    sandbox: &Sandbox,
    pod: Option<PodOwner>,
    status: &LifeStatus,
    wanted: &SandboxStatus,
) -> Option<Told> {
    let message = |status: &SandboxStatus| {
        status.conditions.iter().find(|c| c.kind == "Ready").map(|c| c.message.clone())
    };
    if message(&sandbox.status) == message(wanted) {
        return None;
    }
    match &status.ready {
        LifeReady::NoPod(why) => {
            Some((Warning, "PodCreateFailed", format!("Failed to create pod: {why}")))
        }
        LifeReady::NameTaken(why) if pod == Some(PodOwner::Previous) => {
            Some((Warning, "PodOwnerMismatch", why.clone()))
        }
        LifeReady::NameTaken(why) => Some((Warning, "PodCreateFailed", why.clone())),
        _ => None,
    }
}

/// How a change of the template goes, when that is news.
fn change(
    sandbox: &Sandbox,
    plan: &LifePlan,
    status: &LifeStatus,
    wanted: &SandboxStatus,
) -> Vec<Told> {
    let news = |kind: &str| {
        let said = |status: &SandboxStatus| {
            let condition = status.conditions.iter().find(|c| c.kind == kind);
            condition.map(|c| (c.reason.clone(), c.message.clone()))
        };
        said(&sandbox.status) != said(wanted)
    };
    let mut told = Vec::new();
    if let UpdateState::Failed(why) = &status.update
        && news("InplaceUpdate")
    {
        let forbidden = plan.reasons.iter().any(|reason| reason.code == Code::UpdateForbidden);
        let reason = if forbidden { "InplaceUpdateForbidden" } else { "InplaceUpdateFailed" };
        told.push((Warning, reason, why.clone()));
    }
    if let Some(step) = &status.upgrade
        && news("Upgrading")
    {
        told.extend(match step {
            UpgradeStep::BeforeFailed(why) => Some((Warning, "PreUpgradeFailed", why.clone())),
            UpgradeStep::PodFailed(why) => Some((Warning, "UpgradePodFailed", why.clone())),
            UpgradeStep::AfterFailed(why) => Some((Warning, "PostUpgradeFailed", why.clone())),
            UpgradeStep::Unsupported(why) => Some((Warning, "CheckpointFailed", why.clone())),
            UpgradeStep::After => {
                Some((Normal, "UpgradePodReplaced", "The pod was replaced".to_owned()))
            }
            UpgradeStep::Done => {
                Some((Normal, "UpgradeSucceeded", "The upgrade is complete".to_owned()))
            }
            UpgradeStep::Before | UpgradeStep::Pod => None,
        });
    }
    told
}
