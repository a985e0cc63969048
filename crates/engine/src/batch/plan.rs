//! The plan of a batch, step by step.

use super::finish;
use super::outlook::{Outlook, outlook};
use super::tally::Tally;
use super::view::{
    Answer, BatchAction, BatchPlan, BatchView, ColdStart, Content, Ending, Failed, Holding,
    HoldingState, Source,
};
use crate::ids::Key;
use crate::reason::{Code, Reason, WaitsFor};
use jiff::Timestamp;

/// What should be done about a batch.
pub fn plan(view: &BatchView, now: Timestamp) -> BatchPlan {
    let mut plan = BatchPlan {
        actions: Vec::new(),
        answer: Answer::Silent,
        in_line: 0,
        wake_at: None,
        reasons: Vec::new(),
        backoff: view.backoff,
    };
    if view.leaving {
        plan.reasons.push(Reason::new(
            Code::BeingDeleted,
            "the claim is being deleted; what it has is its user's and stays",
        ));
        return plan;
    }
    let tally = Tally::of(view);
    if let Some(at) = view.history.completed {
        return finish::over(plan, view, &tally, at, now);
    }
    let started = view.history.started.unwrap_or(now);
    let deadline = started.checked_add(view.terms.patience).unwrap_or(Timestamp::MAX);
    // What is taken or started later than this would be gone before its user saw it, and then be missing again.
    let deadline = view.terms.ends.map_or(deadline, |ends| deadline.min(ends));
    if tally.delivered.count >= view.want {
        return finish::complete(plan, view, tally, started, Ending::Whole, now);
    }

    if tally.delivered.count > view.history.claimed {
        plan.backoff = crate::backoff::Backoff::default();
    }
    let broken = plan.work_on(view, &tally, now);
    if now >= deadline {
        let ending = match (&view.source, tally.delivered.count) {
            (Source::PoolMissing { name }, 0) => Ending::PoolMissing(name.clone()),
            _ => Ending::TimedOut(lacking(view, &tally, broken, now)),
        };
        plan.actions.clear();
        return finish::complete(plan, view, tally, started, ending, now);
    }
    plan.wake(deadline);

    let missing = tally.missing(view.want);
    let why = plan.fill(view, &tally, missing, started, now).or(broken);
    let why = why.unwrap_or_else(|| in_work(view, &tally, now));
    plan.reasons.push(why.clone());
    plan.answer = Answer::Claiming { started, delivered: tally.delivered, why };
    plan
}

impl BatchPlan {
    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |before| before.min(at)));
    }

    /// Sees after what is in work: tells what has to be told, and gives up what can't be delivered. Returns why something was given up, if it was.
    fn work_on(&mut self, view: &BatchView, tally: &Tally<'_>, now: Timestamp) -> Option<Reason> {
        for held in &tally.unwanted {
            self.discard(
                held,
                Reason::new(Code::Unwanted, "the claim has as many as it asked for"),
            );
        }
        let mut broken = None;
        for held in &tally.in_work {
            match fate(view, held, now) {
                Fate::Done => {}
                Fate::Tell => self.actions.push(BatchAction::Tell { key: held.key.clone() }),
                Fate::Until(at) => self.wake(at),
                Fate::GiveUp(why) => {
                    self.give_up(view.terms.failed, held, why.clone());
                    broken = Some(why);
                }
            }
        }
        if broken.is_some() {
            self.backoff = self.backoff.failed(now);
        }
        self.reasons.extend(broken.clone());
        broken
    }

    pub(super) fn discard(&mut self, held: &Holding, why: Reason) {
        let (key, precondition) = (held.key.clone(), held.precondition.clone());
        self.actions.push(BatchAction::Discard { key, precondition, why });
    }

    pub(super) fn give_up(&mut self, how: Failed, held: &Holding, why: Reason) {
        match how {
            Failed::Discard => self.discard(held, why),
            Failed::Reserve => {
                let (key, precondition) = (held.key.clone(), held.precondition.clone());
                self.actions.push(BatchAction::Reserve { key, precondition, why });
            }
        }
    }

    /// Fills the free places. Returns what it waits for, if it waits.
    fn fill(
        &mut self,
        view: &BatchView,
        tally: &Tally<'_>,
        missing: u32,
        started: Timestamp,
        now: Timestamp,
    ) -> Option<Reason> {
        if missing == 0 {
            return None;
        }
        if let Content::Refused(message) = &view.content {
            return Some(Reason::new(Code::Refused, message.clone()).waiting_for(WaitsFor::Edit));
        }
        let (lot, cold) = match &view.source {
            Source::PoolMissing { name } => return Some(pool_missing(name)),
            Source::Found { lot, cold } => (lot, cold),
        };
        let Outlook { take, create, wait, wake_at } =
            outlook(view, lot, cold, missing, self.backoff, started, now);
        let taken = u32::try_from(take.len()).unwrap_or(u32::MAX);
        for candidate in take {
            let message = format!("{} of pool {} was ready", candidate.key.name, lot.pool.name);
            let why = Reason::new(Code::BoundWarm, message);
            self.actions.push(BatchAction::Take { candidate, pool: lot.pool.clone(), why });
        }
        if let Some((count, why)) = create {
            self.actions.push(BatchAction::Create { count, pool: lot.pool.clone(), why });
        }
        if let Some(at) = wake_at {
            self.wake(at);
        }
        let started_now = self.actions.iter().map(created).sum::<u32>();
        self.in_line = missing.saturating_sub(taken).saturating_sub(started_now);
        // What is being done is told where nothing is waited for.
        let done = (taken + started_now > 0).then(|| {
            let has = tally.delivered.count;
            let message = format!("{taken} taken and {started_now} started, beside {has} it has");
            Reason::new(if taken > 0 { Code::BoundWarm } else { Code::BoundCold }, message)
        });
        wait.or(done)
    }
}

/// What becomes of one sandbox in work.
enum Fate {
    Done,
    Tell,
    Until(Timestamp),
    GiveUp(Reason),
}

fn fate(view: &BatchView, held: &Holding, now: Timestamp) -> Fate {
    let name = &held.key.name;
    let late_at = held.since.checked_add(view.terms.readiness).unwrap_or(Timestamp::MAX);
    match &held.state {
        HoldingState::Untold => Fate::Tell,
        HoldingState::Broken { message } => {
            Fate::GiveUp(Reason::new(Code::Failed, format!("{name} can't be used: {message}")))
        }
        // Another one would have the same work before it, and this one began earlier. Whoever threw it away for being slow would start anew until the time is over and
        // never have any.
        HoldingState::Starting(None) if now >= late_at => Fate::Done,
        // It waits for a place, where starting it again would put it last.
        HoldingState::Starting(Some(trouble)) if trouble.kind.is_waiting_for_a_place() => {
            Fate::Done
        }
        HoldingState::Starting(Some(trouble)) if now >= late_at => Fate::GiveUp(Reason::new(
            Code::from(trouble.kind),
            format!("{name} did not get ready in time: {}", trouble.message),
        )),
        HoldingState::Starting(_) => Fate::Until(late_at),
        HoldingState::Done | HoldingState::Reserved | HoldingState::Leaving => Fate::Done,
    }
}

fn created(action: &BatchAction) -> u32 {
    match action {
        BatchAction::Create { count, .. } => *count,
        _ => 0,
    }
}

fn pool_missing(name: &Key) -> Reason {
    Reason::new(
        Code::WarmPoolNotFound,
        format!("pool {:?} not found; it may still appear", &*name.name),
    )
    .waiting_for(WaitsFor::Pool(name.clone()))
}

/// What the batch lacked when its time was over.
fn lacking(view: &BatchView, tally: &Tally<'_>, broken: Option<Reason>, now: Timestamp) -> Reason {
    if view.terms.ends.is_some_and(|ends| now >= ends) {
        let message = "the time has come at which its sandboxes end";
        return Reason::new(Code::Expired, message);
    }
    let said = match (&view.content, &view.source) {
        (Content::Refused(message), _) => Some(Reason::new(Code::Refused, message.clone())),
        (_, Source::PoolMissing { name }) => Some(pool_missing(name)),
        // Neither the pool nor the batch itself could start any.
        (_, Source::Found { cold: ColdStart::Impossible(why), .. })
            if tally.hopeful().next().is_none() =>
        {
            broken.or_else(|| Some(why.clone()))
        }
        _ => broken,
    };
    said.or_else(|| trouble(tally)).unwrap_or_else(|| {
        let unready = tally.hopeful().count();
        let message = if unready > 0 {
            format!("{unready} did not get ready in time")
        } else {
            "the pool had no more to give in time".to_owned()
        };
        Reason::new(Code::TimedOut, message)
    })
}

/// What the sandboxes in work are about, where nothing else has to be said.
fn in_work(view: &BatchView, tally: &Tally<'_>, now: Timestamp) -> Reason {
    let late = |held: &&Holding| {
        let late_at = held.since.checked_add(view.terms.readiness);
        late_at.is_ok_and(|at| now >= at)
    };
    let count = tally.hopeful().count();
    if let Some(why) = trouble(tally) {
        return why;
    }
    if let Some(slow) = tally.hopeful().find(late) {
        let message = format!(
            "{} takes longer than the limit of {:#}; it is waited for, since another one would have to start from the beginning",
            slow.key.name, view.terms.readiness
        );
        return Reason::new(Code::SlowStart, message);
    }
    if tally.hopeful().all(|held| held.state == HoldingState::Untold) && count > 0 {
        return Reason::new(Code::TellingRuntime, format!("{count} are told for whom they run"));
    }
    Reason::new(Code::WaitingForReady, format!("{count} are getting ready"))
}

/// The worst trouble of what is in work.
fn trouble(tally: &Tally<'_>) -> Option<Reason> {
    let troubles = tally.hopeful().filter_map(|held| match &held.state {
        HoldingState::Starting(Some(trouble)) => Some((trouble, &held.key)),
        _ => None,
    });
    let (worst, key) = troubles.min()?;
    let waits_for =
        if worst.kind.is_waiting_for_a_place() { WaitsFor::Capacity } else { WaitsFor::Edit };
    let message = format!("{} can't start: {}", key.name, worst.message);
    Some(Reason::new(Code::from(worst.kind), message).waiting_for(waits_for))
}
