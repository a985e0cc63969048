//! The plan of a claim, step by step.

use super::choose::{Choice, choose};
use super::lifetime;
use super::view::{
    Answer, ClaimAction, ClaimPlan, ClaimView, Content, Held, Launch, Refusal, Source,
};
use crate::reason::{Code, Reason, WaitsFor};
use jiff::{SignedDuration, Timestamp};

/// So long after its creation a claim is not told that its pool or template is missing. Watches of different kinds are not ordered among each other: of three objects
/// applied together the claim may be seen first, and clients give up for good when they read "not found". Timestamps have whole seconds, so less than two would
/// sometimes be nothing.
pub const MISSING_GRACE: SignedDuration = SignedDuration::from_secs(2);

/// What should be done about a claim.
pub fn plan(view: &ClaimView, now: Timestamp) -> ClaimPlan {
    let mut plan = ClaimPlan {
        actions: Vec::new(),
        answer: Answer::Silent,
        wake_at: None,
        reasons: Vec::new(),
    };
    if view.leaving {
        plan.reasons.push(Reason::new(
            Code::BeingDeleted,
            "the claim is being deleted, and its sandbox with it",
        ));
        return plan;
    }

    // The end comes first: a claim that is over must not be given anything any more.
    match lifetime::ends_at(view) {
        Some((at, code)) if at <= now => {
            let (actions, answer, why) = lifetime::end(view, code);
            return ClaimPlan { actions, answer, wake_at: None, reasons: vec![why] };
        }
        Some((at, _)) => plan.wake(at),
        None => {}
    }

    for (key, precondition) in &view.spare {
        let why = Reason::new(Code::Unwanted, "the claim has another sandbox already");
        plan.actions.push(ClaimAction::DeleteSandbox {
            key: key.clone(),
            precondition: precondition.clone(),
            why,
        });
    }

    match &view.held {
        // What a claim has it keeps, whatever is edited: its user may be in the middle of work.
        Held::Sandbox(held) => {
            let why = Reason::new(Code::AlreadyBound, format!("it has {}", held.key.name));
            return plan.answered(Answer::Bound { sandbox: held.key.clone(), launch: None }, why);
        }
        Held::Pending { name } => {
            let why = Reason::new(
                Code::NotSeenYet,
                format!("{} was asked for and is not seen yet", name.name),
            )
            .waiting_for(WaitsFor::Sandbox(name.clone()));
            return plan.answered(Answer::Waiting(why.clone()), why);
        }
        Held::Lost { name } => {
            plan.reasons.push(Reason::new(
                Code::SandboxLost,
                format!("{} is gone; it gets another one", name.name),
            ));
        }
        Held::Foreign { name } => {
            plan.reasons.push(Reason::new(
                Code::SandboxLost,
                format!("{} is not its own; it gets another one", name.name),
            ));
        }
        Held::Nothing | Held::NameTaken { .. } => {}
    }

    if let Content::Refused { word, message } = &view.content {
        let why = Reason::new(Code::Refused, message.clone()).waiting_for(WaitsFor::Edit);
        return plan.answered(
            Answer::Refused(Refusal::Content { word: word.clone(), message: message.clone() }),
            why,
        );
    }

    match &view.source {
        Source::PoolMissing { name } => {
            let why =
                Reason::new(Code::WarmPoolNotFound, format!("pool {:?} not found", &*name.name));
            let why = why.waiting_for(WaitsFor::Pool(name.clone()));
            plan.missing(view, Refusal::PoolMissing(name.clone()), why, now)
        }
        Source::TemplateMissing { name } => {
            let why = Reason::new(
                Code::TemplateNotFound,
                format!("template {:?} not found", &*name.name),
            );
            let why = why.waiting_for(WaitsFor::Template(name.clone()));
            plan.missing(view, Refusal::TemplateMissing(name.clone()), why, now)
        }
        Source::Found { offers, cold_start } => match choose(view, offers, *cold_start, now) {
            Choice::Take(candidate, pool, why) => {
                let sandbox = candidate.key.clone();
                plan.actions.push(ClaimAction::Bind { candidate, pool, why: why.clone() });
                plan.answered(Answer::Bound { sandbox, launch: Some(Launch::Warm) }, why)
            }
            Choice::Wait(why, until) => {
                plan.wake(until);
                plan.answered(Answer::Waiting(why.clone()), why)
            }
            Choice::Cold(why) => plan.cold(view, why),
        },
    }
}

impl ClaimPlan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    fn answered(mut self, answer: Answer, why: Reason) -> Self {
        self.answer = answer;
        self.reasons.push(why);
        self
    }

    /// Says that something is missing, unless the claim is so young that it may only not have been seen yet.
    fn missing(mut self, view: &ClaimView, refusal: Refusal, why: Reason, now: Timestamp) -> Self {
        match view.created.checked_add(MISSING_GRACE) {
            Ok(told_at) if now < told_at => {
                self.wake(told_at);
                self.answered(Answer::Silent, why)
            }
            _ => self.answered(Answer::Refused(refusal), why),
        }
    }

    /// Starts a sandbox of the claim's own name, if the name is free.
    fn cold(mut self, view: &ClaimView, why: Reason) -> Self {
        if let Held::NameTaken { name } = &view.held {
            let taken = Reason::new(
                Code::NameTaken,
                format!("sandbox {:?} exists and is not the claim's", &*name.name),
            );
            let taken = taken.waiting_for(WaitsFor::Sandbox(name.clone()));
            self.reasons.push(why);
            return self.answered(Answer::Refused(Refusal::NameTaken(name.clone())), taken);
        }
        let name = view.key.clone();
        self.actions.push(ClaimAction::CreateCold { name: name.clone(), why: why.clone() });
        self.reasons.push(why);
        let bound = Reason::new(Code::BoundCold, format!("{} is started for it", name.name));
        self.answered(Answer::Bound { sandbox: name, launch: Some(Launch::Cold) }, bound)
    }
}
