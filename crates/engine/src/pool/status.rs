//! What a pool reports about itself: never only that it is not ready, always why.

use super::census::Census;
use super::plan::Draft;
use super::size::sandboxes;
use super::view::{PoolView, TemplateState};
use crate::reason::{Code, Condition, ConditionKind, Reason, Verdict, WaitsFor};
use crate::rollout::{Freshness, Strategy};
use crate::world::{Stage, Trouble};

/// `Available`, `Progressing`, and `ScalingLimited` where it applies.
pub(super) fn conditions(
    view: &PoolView,
    census: &Census,
    desired: u32,
    draft: &Draft,
) -> Vec<Condition> {
    let (moves, progress) = progress(view, census, desired, draft);
    let available = available(view, census, desired, &progress);
    let progressing = Condition {
        kind: ConditionKind::Progressing,
        verdict: Verdict::of(moves),
        reason: progress,
    };
    [Some(available), Some(progressing), scaling_limited(view, draft)]
        .into_iter()
        .flatten()
        .collect()
}

/// Whether more are missing than may be started at once, of a pool that has such a limit.
fn scaling_limited(view: &PoolView, draft: &Draft) -> Option<Condition> {
    view.startup?;
    let limited = draft.limit().filter(|reason| reason.code == Code::StartupLimit);
    let reason = limited.cloned().unwrap_or_else(|| {
        Reason::new(Code::NotLimited, "as many are being started as are missing")
    });
    Some(Condition {
        kind: ConditionKind::ScalingLimited,
        verdict: Verdict::of(limited.is_some()),
        reason,
    })
}

/// Whether claims find what the pool was asked to keep ready.
fn available(view: &PoolView, census: &Census, desired: u32, progress: &Reason) -> Condition {
    let ready = |freshness: Freshness| {
        census
            .warm
            .iter()
            .filter(|warm| warm.freshness == freshness && warm.member.is_available())
            .count()
    };
    let (fresh, stale) = (ready(Freshness::Fresh), ready(Freshness::Stale));
    let usable = if view.strategy.hands_out(Freshness::Stale) { fresh + stale } else { fresh };
    let enough = usable >= desired as usize;
    let mut message = format!("{usable} of {} ready to be claimed", sandboxes(desired));
    if stale > 0 {
        let fate =
            if view.strategy.hands_out(Freshness::Stale) { "of them are" } else { "more are" };
        message.push_str(&format!(", {stale} {fate} of an older template"));
    }
    let code = match (enough, desired) {
        (true, 0) => Code::NothingAsked,
        (true, _) => Code::Filled,
        (false, _) => progress.code,
    };
    Condition {
        kind: ConditionKind::Available,
        verdict: Verdict::of(enough),
        reason: Reason::new(code, message),
    }
}

/// Whether the pool gets on, and with what. What can't be helped without somebody's doing comes first.
fn progress(view: &PoolView, census: &Census, desired: u32, draft: &Draft) -> (bool, Reason) {
    if view.leaving {
        return (true, Reason::new(Code::BeingDeleted, "the pool is being deleted"));
    }
    if let TemplateState::Missing { name } = &view.template {
        let message = format!("template {:?} not found; what exists is kept", &*name.name);
        return (
            false,
            Reason::new(Code::TemplateNotFound, message)
                .waiting_for(WaitsFor::Template(name.clone())),
        );
    }
    if let TemplateState::Invalid { message, .. } = &view.template {
        let message = format!("{message}; what exists is kept");
        return (false, Reason::new(Code::TemplateInvalid, message).waiting_for(WaitsFor::Edit));
    }
    let has = census.counts().warm + census.unseen;
    if let Some(refusal) = view.refusal.as_ref().filter(|_| has < desired) {
        let message = format!("sandboxes can't be made: {refusal}; tried again from time to time");
        return (false, Reason::new(Code::CreateRefused, message).waiting_for(WaitsFor::Edit));
    }
    if let Some(held_back) = &draft.held_back {
        return (false, held_back.clone());
    }
    if let Some(reason) = trouble(census) {
        return (false, reason);
    }
    let counts = census.counts();
    let starting = counts.creating + census.unseen;
    let stale = counts.warm - counts.updated;
    let frozen =
        matches!(view.strategy, Strategy::RollingUpdate(budget) if budget.is_frozen(desired));
    if stale > 0 && !frozen && view.strategy != Strategy::OnReplenish {
        let message = format!(
            "{} of {} updated, {} ready; {stale} stale to go, {starting} being started, {} leaving",
            counts.updated,
            sandboxes(desired),
            counts.updated_available,
            counts.leaving
        );
        return (
            true,
            Reason::new(Code::RollingOut, message).waiting_for(WaitsFor::Pool(view.key.clone())),
        );
    }
    if counts.warm > desired {
        return (
            true,
            Reason::new(
                Code::AboveTarget,
                format!("{} wanted, {} exist", sandboxes(desired), counts.warm),
            ),
        );
    }
    if counts.available < desired && draft.backoff.failures > 0 {
        let message = format!(
            "{} of {} ready; {} starts in a row failed, the next one is on its way",
            counts.available,
            sandboxes(desired),
            draft.backoff.failures
        );
        return (
            true,
            Reason::new(Code::Failed, message).waiting_for(WaitsFor::Pool(view.key.clone())),
        );
    }
    if starting > 0 {
        let message = format!(
            "{} of {} ready, {starting} being started",
            counts.available,
            sandboxes(desired)
        );
        return (
            true,
            Reason::new(Code::WaitingForReady, message)
                .waiting_for(WaitsFor::Pool(view.key.clone())),
        );
    }
    if counts.available < desired {
        let mut message = format!("{} of {} ready", counts.available, sandboxes(desired));
        if counts.locked > 0 {
            message.push_str(&format!(", {} being taken by others", counts.locked));
        }
        let reason =
            draft.limit().cloned().unwrap_or_else(|| Reason::new(Code::BelowTarget, message));
        return (reason.waits_for != Some(WaitsFor::Edit), reason);
    }
    if stale > 0 && frozen {
        let message = format!(
            "{stale} of {} are of an older template and stay: none may be missing, and none may come on top",
            sandboxes(counts.warm)
        );
        return (true, Reason::new(Code::RolloutFrozen, message).waiting_for(WaitsFor::Edit));
    }
    if stale > 0 {
        let message = format!(
            "{} of {} ready are of an older template and stay until they are claimed",
            stale, counts.available
        );
        return (true, Reason::new(Code::OnReplenish, message));
    }
    if desired == 0 {
        return (true, Reason::new(Code::NothingAsked, "the pool was asked to keep none"));
    }
    (true, Reason::new(Code::Filled, format!("{} ready", sandboxes(counts.available))))
}

/// The worst trouble of those being created, and how many share its kind.
fn trouble(census: &Census) -> Option<Reason> {
    let troubles = || {
        census.warm.iter().filter_map(|warm| match &warm.member.stage {
            Stage::Creating(Some(trouble)) => Some(trouble),
            _ => None,
        })
    };
    let worst: &Trouble = troubles().min()?;
    let sharing = troubles().filter(|trouble| trouble.kind == worst.kind).count();
    let code = Code::from(worst.kind);
    let waits_for =
        if worst.kind.is_waiting_for_a_place() { WaitsFor::Capacity } else { WaitsFor::Edit };
    let who = sandboxes(u32::try_from(sharing).unwrap_or(u32::MAX));
    Some(Reason::new(code, format!("{who} can't start: {}", worst.message)).waiting_for(waits_for))
}
