//! Who leads, as a pure function of what was seen and when.

use std::time::Duration;

use tokio::time::Instant;

/// What the Lease object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; nobody after a clean exit.
    pub holder: Option<String>,
    /// For how long a renewal is good.
    pub term: Duration,
    /// When the holder says it renewed, as text: compared for change only, because the holder's clock may be wrong.
    pub renewed: String,
    /// How often the holder changed.
    pub transitions: i32,
}

/// A record and the instant, on our own clock, at which we first saw it in this form.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What was seen.
    pub record: Record,
    /// Since when.
    pub since: Instant,
}

impl Observation {
    /// Takes a fresh reading: the time restarts only if the record changed.
    #[must_use]
    pub fn observe(previous: Option<Observation>, record: Record, now: Instant) -> Self {
        match previous {
            Some(seen) if seen.record == record => seen,
            _ => Observation { record, since: now },
        }
    }
}

/// What to do about the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no Lease object: create it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// Nobody holds it, or its holder has not renewed for a whole term: take it.
    TakeOver,
    /// Somebody else leads; it can be taken at this instant at the earliest.
    Wait(Instant),
}

/// Decides the next step for the process called `me`.
#[must_use]
pub fn evaluate(seen: Option<&Observation>, me: &str, now: Instant) -> Step {
    let Some(Observation { record, since }) = seen else { return Step::Create };
    match record.holder.as_deref() {
        None | Some("") => Step::TakeOver,
        Some(holder) if holder == me => Step::Renew,
        Some(_) => {
            // A term is measured from when we saw the renewal, never from the time written in it: with clocks apart, the latter would let us take a
            // lease that its holder is about to renew.
            let free = *since + record.term;
            if now >= free { Step::TakeOver } else { Step::Wait(free) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Duration = Duration::from_secs(15);

    fn held_by(holder: &str, renewed: &str) -> Record {
        let holder = (!holder.is_empty()).then(|| holder.to_string());
        Record { holder, term: TERM, renewed: renewed.to_string(), transitions: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_lease_is_created_and_a_released_one_is_taken() {
        let now = Instant::now();
        assert_eq!(evaluate(None, "a", now), Step::Create);
        let released = Observation { record: held_by("", "1"), since: now };
        assert_eq!(evaluate(Some(&released), "a", now), Step::TakeOver);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_holder_loses_the_lease_after_a_whole_term_on_our_clock() {
        let start = Instant::now();
        let seen = Observation::observe(None, held_by("b", "1"), start);
        assert_eq!(evaluate(Some(&seen), "a", start), Step::Wait(start + TERM));
        // The same record seen again does not restart the term; a renewal does.
        let later = start + Duration::from_secs(10);
        let same = Observation::observe(Some(seen.clone()), held_by("b", "1"), later);
        assert_eq!(evaluate(Some(&same), "a", start + TERM), Step::TakeOver);
        let renewed = Observation::observe(Some(seen), held_by("b", "2"), later);
        assert_eq!(evaluate(Some(&renewed), "a", start + TERM), Step::Wait(later + TERM));
    }

    #[tokio::test(start_paused = true)]
    async fn the_holder_renews_even_when_it_is_late() {
        let start = Instant::now();
        let mine = Observation::observe(None, held_by("a", "1"), start);
        assert_eq!(evaluate(Some(&mine), "a", start + TERM * 2), Step::Renew);
    }
}
