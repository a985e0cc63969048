//! Outlook: what a batch takes, what it starts, and what it waits for.

use super::view::{BatchView, ColdStart, Delivery, Handover, Lot, Stock};
use crate::backoff::Backoff;
use crate::claim::Candidate;
use crate::pace::{LONGEST_WAIT, worth_waiting};
use crate::reason::{Code, Reason, WaitsFor};
use crate::rollout::Freshness;
use jiff::Timestamp;

/// How the free places of a batch are filled.
#[derive(Default)]
pub(super) struct Outlook {
    /// These now.
    pub take: Vec<Candidate>,
    /// So many are started.
    pub create: Option<(u32, Reason)>,
    /// The rest is waited for.
    pub wait: Option<Reason>,
    /// When waiting is over although nothing happened.
    pub wake_at: Option<Timestamp>,
}

pub(super) fn outlook(
    view: &BatchView,
    lot: &Lot,
    cold: &ColdStart,
    missing: u32,
    backoff: Backoff,
    started: Timestamp,
    now: Timestamp,
) -> Outlook {
    let held_back = backoff.until().filter(|until| now < *until);
    let failing = |until| {
        let message = format!(
            "{} sandboxes in a row could not be used; the next is tried after a pause",
            backoff.failures
        );
        let wait = Some(Reason::new(Code::BackingOff, message).waiting_for(WaitsFor::Time(until)));
        Outlook { wait, wake_at: Some(until), ..Outlook::default() }
    };
    // Sandboxes that have to be prepared, and could not be, would go one by one until the pool is empty.
    if let (Some(until), Handover::Prepared) = (held_back, view.terms.handover) {
        return failing(until);
    }
    let mut candidates: Vec<Candidate> = lot
        .candidates
        .iter()
        .filter(|candidate| lot.strategy.hands_out(candidate.freshness))
        .take(missing as usize)
        .cloned()
        .collect();
    // Within a freshness the shelf knows best.
    candidates.sort_by_key(|candidate| candidate.freshness);
    let short = missing.saturating_sub(u32::try_from(candidates.len()).unwrap_or(u32::MAX));
    let whole = view.terms.delivery == Delivery::AllOrNothing;
    let wave = if whole { missing } else { view.wave.max(1) };

    let mut rest = if short == 0 {
        Outlook::default()
    } else {
        match (view.terms.stock, cold, held_back) {
            (Stock::Wait, ..) => Outlook { wait: Some(no_stock(lot, short)), ..Outlook::default() },
            (Stock::Create, ColdStart::Impossible(why), _) => {
                Outlook { wait: Some(why.clone()), ..Outlook::default() }
            }
            (Stock::Create, _, Some(until)) => failing(until),
            (Stock::Create, ColdStart::Takes(usual), None) => {
                start_or_wait(lot, *usual, short, started, now)
            }
        }
    };
    // Half of what is only useful as a whole would be taken from others for nothing.
    if whole && short > 0 && rest.create.as_ref().is_none_or(|(count, _)| *count < short) {
        candidates.clear();
        rest.create = None;
    }
    candidates.truncate(wave as usize);
    let left = wave.saturating_sub(u32::try_from(candidates.len()).unwrap_or(u32::MAX));
    rest.create =
        rest.create.map(|(count, why)| (count.min(left), why)).filter(|(count, _)| *count > 0);
    Outlook { take: candidates, ..rest }
}

/// Of what the shelf lacks, some may be nearly ready; the others are started.
fn start_or_wait(
    lot: &Lot,
    usual: Option<jiff::SignedDuration>,
    short: u32,
    started: Timestamp,
    now: Timestamp,
) -> Outlook {
    let patience_over = started.checked_add(LONGEST_WAIT).unwrap_or(Timestamp::MAX);
    let untils: Vec<Timestamp> = lot
        .coming
        .iter()
        .take(short as usize)
        .filter(|_| now < patience_over)
        .filter_map(|began| worth_waiting(*began, lot.start, usual, now))
        .collect();
    let waited = u32::try_from(untils.len()).unwrap_or(u32::MAX);
    let count = short.saturating_sub(waited);
    let why = if lot.stale > 0 && !lot.strategy.hands_out(Freshness::Stale) {
        let message = format!(
            "{} are ready, but of an older template than the strategy hands out",
            lot.stale
        );
        Reason::new(Code::OnlyStale, message)
    } else {
        let message = format!(
            "no warm sandbox is ready or would be sooner than a cold start: {count} are started"
        );
        Reason::new(Code::PoolEmpty, message)
    };
    Outlook {
        take: Vec::new(),
        create: (count > 0).then_some((count, why)),
        wait: (waited > 0).then(|| coming(lot, waited)),
        wake_at: untils.into_iter().min().map(|until| until.min(patience_over)),
    }
}

fn coming(lot: &Lot, waited: u32) -> Reason {
    let (code, message) = if lot.ahead > 0 {
        (
            Code::InLine,
            format!(
                "{waited} warm ones are being started; claims that came first are served first"
            ),
        )
    } else {
        (
            Code::WarmSoonerThanCold,
            format!("{waited} warm ones are being started and will be ready sooner than cold ones"),
        )
    };
    Reason::new(code, message).waiting_for(WaitsFor::Pool(lot.pool.clone()))
}

fn no_stock(lot: &Lot, short: u32) -> Reason {
    let (code, message) = if lot.ahead > 0 {
        (
            Code::InLine,
            format!("{short} more are needed, and claims that came first wait for {}", lot.ahead),
        )
    } else if lot.stale > 0 && !lot.strategy.hands_out(Freshness::Stale) {
        (
            Code::OnlyStale,
            format!(
                "{short} more are needed; {} are ready, but of an older template than the strategy hands out",
                lot.stale
            ),
        )
    } else {
        (
            Code::NoStock,
            format!(
                "{short} more are needed than pool {} has ready, and none may be started instead",
                lot.pool.name
            ),
        )
    };
    Reason::new(code, message).waiting_for(WaitsFor::Pool(lot.pool.clone()))
}
