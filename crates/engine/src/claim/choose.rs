//! Choice: take a warm sandbox, wait for one, or start one cold.

use super::view::{Candidate, ClaimView, Content, Offer};
use crate::ids::Key;
use crate::pace::{LONGEST_WAIT, worth_waiting};
use crate::reason::{Code, Reason, WaitsFor};
use crate::rollout::Freshness;
use jiff::{SignedDuration, Timestamp};

/// What a claim without a sandbox should do.
pub(super) enum Choice {
    /// Take this one.
    Take(Candidate, Key, Reason),
    /// Wait until then at most.
    Wait(Reason, Timestamp),
    /// Start one.
    Cold(Reason),
}

/// The choice, from what the pools offer.
pub(super) fn choose(
    view: &ClaimView,
    offers: &[Offer],
    cold_start: Option<SignedDuration>,
    now: Timestamp,
) -> Choice {
    if let Content::ColdOnly(why) = &view.content {
        return Choice::Cold(why.clone());
    }
    if let Some((offer, candidate)) = best(offers) {
        let age = match candidate.freshness {
            Freshness::Fresh => "",
            Freshness::Stale => ", of an older template, as the pool's strategy allows",
        };
        let why = Reason::new(
            Code::BoundWarm,
            format!("{} of pool {} was ready{age}", candidate.key.name, offer.pool.name),
        );
        return Choice::Take(candidate.clone(), offer.pool.clone(), why);
    }
    let deadline = view.created.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
    if now < deadline
        && let Some((offer, until)) = soonest(offers, cold_start, now)
    {
        let (code, message) = if offer.ahead > 0 {
            (
                Code::InLine,
                "warm sandboxes are being started; claims that came first are served first",
            )
        } else {
            (
                Code::WarmSoonerThanCold,
                "a warm sandbox is being started and will be ready sooner than a cold one",
            )
        };
        let until = until.min(deadline);
        let why = Reason::new(code, message).waiting_for(WaitsFor::Pool(offer.pool.clone()));
        return Choice::Wait(why, until);
    }
    let stale: u32 = offers.iter().map(|offer| offer.stale).sum();
    Choice::Cold(if offers.is_empty() {
        Reason::new(Code::PoolEmpty, "no pool keeps this template warm")
    } else if stale > 0 && offers.iter().all(|offer| !offer.strategy.hands_out(Freshness::Stale)) {
        Reason::new(
            Code::OnlyStale,
            format!("{stale} are ready, but of an older template than the strategy hands out"),
        )
    } else {
        Reason::new(
            Code::PoolEmpty,
            "no warm sandbox is ready or would be sooner than a cold start",
        )
    })
}

/// The best candidate: fresh before stale, then in the order of the pools. The strategy is asked once more, since an offer may be older than a change of it.
fn best(offers: &[Offer]) -> Option<(&Offer, &Candidate)> {
    offers
        .iter()
        .filter_map(|offer| offer.candidate.as_ref().map(|candidate| (offer, candidate)))
        .filter(|(offer, candidate)| offer.strategy.hands_out(candidate.freshness))
        .min_by_key(|(offer, candidate)| (candidate.freshness, &offer.pool))
}

/// The pool whose next sandbox is worth waiting for, and until when.
fn soonest(
    offers: &[Offer],
    cold_start: Option<SignedDuration>,
    now: Timestamp,
) -> Option<(&Offer, Timestamp)> {
    offers
        .iter()
        .filter_map(|offer| {
            let until = worth_waiting(offer.in_flight?, offer.start, cold_start, now)?;
            Some((offer, until))
        })
        .min_by_key(|(offer, _)| (offer.ahead, offer.in_flight, &offer.pool))
}
