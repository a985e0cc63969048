//! Choice: take a warm sandbox, wait for one, or start one cold.

use super::view::{Candidate, ClaimView, Content, Offer};
use crate::ids::Key;
use crate::reason::{Code, Reason, WaitsFor};
use crate::rollout::Freshness;
use jiff::{SignedDuration, Timestamp};

/// How long a start may take before it is no longer believed to be nearly over, where nothing was observed yet. Longer than the usual start of a container whose
/// image is there; shorter than what a user takes for a hang.
pub const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// The longest a claim waits for warm sandboxes in all. Each single wait is bounded by the start it waits for; this bounds their sum when starts keep failing.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(30);

/// A start that takes longer than so many times the usual is not about to be over: it may as well never be.
const OVERDUE: i32 = 2;

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
///
/// A sandbox that is being created has the same work before it as a cold one and began earlier, so without any observation it is the better bet; with one, times
/// are compared. One that is overdue is not waited for.
fn soonest(
    offers: &[Offer],
    cold_start: Option<SignedDuration>,
    now: Timestamp,
) -> Option<(&Offer, Timestamp)> {
    let worth = |offer: &&Offer| {
        let (Some(start), Some(cold)) = (offer.start, cold_start) else { return true };
        let Some(began) = offer.in_flight else { return false };
        // Compared by when each would be ready: began + start < now + cold.
        began.duration_since(now) + start < cold
    };
    offers
        .iter()
        .filter(worth)
        .filter_map(|offer| {
            let patience = offer.start.or(cold_start).map_or(PATIENCE, |usual| usual * OVERDUE);
            let until = offer.in_flight?.checked_add(patience).ok()?;
            (now < until).then_some((offer, until))
        })
        .min_by_key(|(offer, _)| (offer.ahead, offer.in_flight, &offer.pool))
}
