//! What batches are told and do, case by case.

use super::*;
use crate::backoff::Backoff;
use crate::claim::Candidate;
use crate::ids::{Key, Precondition, Uid, Version};
use crate::reason::{Code, Reason};
use crate::rollout::{Freshness, Strategy};
use crate::world::{Trouble, TroubleKind};
use jiff::{SignedDuration, Timestamp};

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + secs(seconds)
}

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn name(name: &str) -> Key {
    Key::new("ns", name)
}

fn precondition(name: &str) -> Precondition {
    Precondition { uid: Uid::new(format!("uid-{name}")), version: Version(3) }
}

fn lot(ready: u32) -> Lot {
    let candidate = |number| {
        let key = format!("w-{number}");
        Candidate {
            precondition: precondition(&key),
            key: name(&key),
            freshness: Freshness::Fresh,
            node: None,
        }
    };
    Lot {
        pool: name("pool"),
        strategy: Strategy::OnReplenish,
        candidates: (1..=ready).map(candidate).collect(),
        coming: Vec::new(),
        ahead: 0,
        stale: 0,
        start: None,
    }
}

fn found(lot: Lot) -> Source {
    Source::Found { lot, cold: ColdStart::Takes(None) }
}

fn batch(want: u32, source: Source, held: Vec<Holding>) -> BatchView {
    BatchView {
        key: name("alice"),
        uid: Uid::new("uid-alice"),
        version: Version(9),
        leaving: false,
        want,
        terms: Terms {
            delivery: Delivery::AsTheyCome,
            stock: Stock::Wait,
            handover: Handover::AsItIs,
            failed: Failed::Discard,
            patience: secs(60),
            readiness: secs(30),
            keep: Some(secs(3600)),
            ends: None,
        },
        history: History { started: Some(at(0)), ..History::default() },
        content: Content::Plain,
        source,
        held,
        backoff: Backoff::default(),
        wave: 100,
    }
}

fn held(key: &str, state: HoldingState) -> Holding {
    Holding { key: name(key), precondition: precondition(key), since: at(0), state }
}

fn done(keys: &[&str]) -> Vec<Holding> {
    keys.iter().map(|key| held(key, HoldingState::Done)).collect()
}

fn told(view: &mut BatchView, keys: &[&str]) {
    view.history.delivered = keys.iter().map(|key| name(key)).collect();
    view.history.claimed = u32::try_from(keys.len()).unwrap();
}

fn trouble(kind: TroubleKind) -> HoldingState {
    HoldingState::Starting(Some(Trouble { kind, message: "it says so".to_owned() }))
}

/// What a batch does and is told, in a line.
fn verdict(plan: &BatchPlan) -> String {
    let mut words: Vec<String> = Vec::new();
    let count = |pick: fn(&BatchAction) -> bool| plan.actions.iter().filter(|a| pick(a)).count();
    let takes = count(|action| matches!(action, BatchAction::Take { .. }));
    if takes > 0 {
        words.push(format!("takes {takes}"));
    }
    for action in &plan.actions {
        match action {
            BatchAction::Take { .. } => {}
            BatchAction::Create { count, .. } => words.push(format!("creates {count}")),
            BatchAction::Discard { key, .. } => words.push(format!("discards {}", key.name)),
            BatchAction::Reserve { key, .. } => words.push(format!("reserves {}", key.name)),
            BatchAction::Tell { key } => words.push(format!("tells {}", key.name)),
            BatchAction::DeleteBatch { .. } => words.push("deletes itself".to_owned()),
        }
    }
    words.push(match &plan.answer {
        Answer::Claiming { delivered, why, .. } => format!("has {}, {}", delivered.count, why.code),
        Answer::Completed { delivered, ending, .. } => {
            let how = match ending {
                Ending::Whole => "whole",
                Ending::TimedOut(_) => "timed out",
                Ending::PoolMissing(_) => "pool missing",
            };
            format!("ends with {}, {how}", delivered.count)
        }
        Answer::Over => "over".to_owned(),
        Answer::Silent => "silent".to_owned(),
    });
    words.join("; ")
}

#[test]
fn places_are_filled_from_the_shelf_then_by_waiting_or_starting() {
    let coming = |began: &[i64], lot: Lot| Lot {
        coming: began.iter().map(|began| at(*began)).collect(),
        ..lot
    };
    let timed = |start, lot: Lot| Lot { start: Some(secs(start)), ..lot };
    let cold =
        |lot: Lot, cold: Option<i64>| Source::Found { lot, cold: ColdStart::Takes(cold.map(secs)) };
    let none = || {
        let why = Reason::new(Code::TemplateNotFound, "no template");
        Source::Found { lot: lot(1), cold: ColdStart::Impossible(why) }
    };
    use Stock::{Create, Wait};
    let table = [
        ("enough", Wait, found(lot(5)), "takes 3; has 0, BoundWarm", 0),
        ("too few", Wait, found(lot(2)), "takes 2; has 0, NoStock", 1),
        ("nothing", Wait, found(lot(0)), "has 0, NoStock", 3),
        ("others first", Wait, found(Lot { ahead: 4, ..lot(0) }), "has 0, InLine", 3),
        ("enough, and may start", Create, found(lot(3)), "takes 3; has 0, BoundWarm", 0),
        ("the rest is started", Create, found(lot(1)), "takes 1; creates 2; has 0, BoundWarm", 0),
        ("all are started", Create, found(lot(0)), "creates 3; has 0, BoundCold", 0),
        (
            "one is nearly ready",
            Create,
            found(coming(&[-2], lot(1))),
            "takes 1; creates 1; has 0, WarmSoonerThanCold",
            1,
        ),
        (
            "all are nearly ready",
            Create,
            found(coming(&[-2, -1, 0], lot(0))),
            "has 0, WarmSoonerThanCold",
            3,
        ),
        (
            "overdue ones are not waited for",
            Create,
            found(coming(&[-11, -12], lot(0))),
            "creates 3; has 0, BoundCold",
            0,
        ),
        (
            "cold is sooner",
            Create,
            cold(coming(&[0, 0, 0], timed(9, lot(0))), Some(4)),
            "creates 3; has 0, BoundCold",
            0,
        ),
        ("cold can't be", Create, none(), "takes 1; has 0, TemplateNotFound", 2),
        (
            "no pool",
            Create,
            Source::PoolMissing { name: name("pool") },
            "has 0, WarmPoolNotFound",
            0,
        ),
    ];
    for (case, stock, source, expected, in_line) in table {
        let mut view = batch(3, source, Vec::new());
        view.terms.stock = stock;
        let plan = plan(&view, at(1));
        assert_eq!(verdict(&plan), expected, "{case}");
        assert_eq!(plan.in_line, in_line, "{case}: its place in line");
        assert_eq!(crate::check::batch_plan(&view, &plan), vec![], "{case}");
    }
}

#[test]
fn what_it_has_is_counted_once_and_for_all() {
    let working = || vec![held("a", HoldingState::Done), held("b", HoldingState::Starting(None))];
    let gone = |state| vec![held("a", HoldingState::Done), held("b", state)];
    let table: [(&str, &[&str], Vec<Holding>, &str); 8] = [
        ("nothing was reported yet", &[], done(&["a", "b"]), "takes 1; has 2, BoundWarm"),
        ("one in work has a place", &[], working(), "takes 1; has 1, BoundWarm"),
        ("a deleted one is not replaced", &["a", "b"], done(&["a"]), "takes 1; has 2, BoundWarm"),
        ("one deleted, another one came", &["a", "b"], done(&["a", "c"]), "ends with 3, whole"),
        ("all deleted", &["a", "b"], Vec::new(), "takes 1; has 2, BoundWarm"),
        (
            "a told one that is not ready now",
            &["b"],
            gone(HoldingState::Starting(None)),
            "takes 1; has 2, BoundWarm",
        ),
        (
            "one put aside does not count",
            &["a"],
            gone(HoldingState::Reserved),
            "takes 2; has 1, BoundWarm",
        ),
        (
            "nor one that leaves and was not told",
            &["a"],
            gone(HoldingState::Leaving),
            "takes 2; has 1, BoundWarm",
        ),
    ];
    for (case, reported, held, expected) in table {
        let mut view = batch(3, found(lot(5)), held);
        told(&mut view, reported);
        let plan = plan(&view, at(1));
        assert_eq!(verdict(&plan), expected, "{case}");
        assert_eq!(crate::check::batch_plan(&view, &plan), vec![], "{case}");
    }
}

#[test]
fn what_is_in_work_is_seen_after() {
    let broken = || HoldingState::Broken { message: "it ended".to_owned() };
    let starting = || HoldingState::Starting(None);
    let table = [
        ("is waited for", starting(), 29, "has 0, WaitingForReady"),
        ("slow is better than from the start", starting(), 31, "has 0, SlowStart"),
        ("in trouble, in time", trouble(TroubleKind::ImagePull), 29, "has 0, ImagePull"),
        (
            "in trouble for too long",
            trouble(TroubleKind::ImagePull),
            30,
            "discards a; has 0, ImagePull",
        ),
        ("waits for room", trouble(TroubleKind::Unschedulable), 59, "has 0, Unschedulable"),
        ("can't be used", broken(), 1, "discards a; has 0, Failed"),
        ("has to be told", HoldingState::Untold, 1, "tells a; has 0, TellingRuntime"),
        ("its time is over", starting(), 60, "discards a; ends with 0, timed out"),
    ];
    for (case, state, now, expected) in table {
        let mut view = batch(1, found(lot(5)), vec![held("a", state)]);
        let plan = plan(&view, at(now));
        assert_eq!(verdict(&plan), expected, "{case}");
        assert_eq!(crate::check::batch_plan(&view, &plan), vec![], "{case}");
        view.terms.failed = Failed::Reserve;
        let plan = super::plan(&view, at(now));
        assert_eq!(verdict(&plan), expected.replace("discards", "reserves"), "{case}");
    }
}

/// A pool whose sandboxes can't be changed as the claim asks is not emptied by trying: each failure in a row is followed by a longer pause.
#[test]
fn failures_in_a_row_are_answered_with_pauses() {
    let broken = || vec![held("a", HoldingState::Broken { message: "no".to_owned() })];
    let mut view = batch(1, found(lot(5)), broken());
    view.terms.handover = Handover::Prepared;
    for failures in 1..=2 {
        view.held = broken();
        view.backoff = plan(&view, at(1)).backoff;
        assert_eq!(view.backoff.failures, failures);
        view.held = Vec::new();
        let expected =
            if failures == 1 { "takes 1; has 0, BoundWarm" } else { "has 0, BackingOff" };
        assert_eq!(verdict(&plan(&view, at(1))), expected);
    }
    assert_eq!(plan(&view, at(1)).wake_at, Some(at(6)));
    assert_eq!(verdict(&plan(&view, at(6))), "takes 1; has 0, BoundWarm");
    // What needs no preparation can't fail by it.
    view.terms.handover = Handover::AsItIs;
    assert_eq!(verdict(&plan(&view, at(1))), "takes 1; has 0, BoundWarm");
    // Starts do fail the same way.
    (view.terms.stock, view.source) = (Stock::Create, found(lot(0)));
    assert_eq!(verdict(&plan(&view, at(1))), "has 0, BackingOff");
}

#[test]
fn a_whole_or_nothing() {
    use Stock::{Create, Wait};
    let table = [
        ("not enough", Wait, 2, Vec::new(), 1, "has 0, NoStock"),
        ("enough", Wait, 3, Vec::new(), 1, "takes 3; has 0, BoundWarm"),
        (
            "the rest can be started",
            Create,
            2,
            Vec::new(),
            1,
            "takes 2; creates 1; has 0, BoundWarm",
        ),
        ("a part is nothing yet", Wait, 0, done(&["a", "b"]), 1, "has 0, NoStock"),
        ("all at once", Wait, 0, done(&["a", "b", "c"]), 1, "ends with 3, whole"),
        (
            "a part is given back in the end",
            Wait,
            0,
            done(&["a", "b"]),
            60,
            "discards a; discards b; ends with 0, timed out",
        ),
    ];
    for (case, stock, ready, held, now, expected) in table {
        let mut view = batch(3, found(lot(ready)), held);
        view.terms.delivery = Delivery::AllOrNothing;
        view.terms.stock = stock;
        // A wave would be a part.
        view.wave = 1;
        let plan = plan(&view, at(now));
        assert_eq!(verdict(&plan), expected, "{case}");
        assert_eq!(crate::check::batch_plan(&view, &plan), vec![], "{case}");
    }
}

#[test]
fn one_plan_does_one_wave() {
    let mut view = batch(10, found(lot(3)), Vec::new());
    (view.wave, view.terms.stock) = (4, Stock::Create);
    assert_eq!(verdict(&plan(&view, at(1))), "takes 3; creates 1; has 0, BoundWarm");
    view.wave = 2;
    assert_eq!(verdict(&plan(&view, at(1))), "takes 2; has 0, BoundWarm");
}

#[test]
fn batches_end() {
    let missing = || Source::PoolMissing { name: name("pool") };
    let mut view = batch(2, missing(), Vec::new());
    assert_eq!(plan(&view, at(0)).wake_at, Some(at(60)));
    assert_eq!(verdict(&plan(&view, at(60))), "ends with 0, pool missing");
    view.held = done(&["a"]);
    assert_eq!(verdict(&plan(&view, at(60))), "ends with 1, timed out");
    view.source = found(lot(5));
    assert_eq!(verdict(&plan(&view, at(60))), "ends with 1, timed out", "too late");

    let mut over = batch(1, found(lot(5)), done(&["a"]));
    over.history.completed = Some(at(10));
    told(&mut over, &["a"]);
    let before = plan(&over, at(11));
    assert_eq!((verdict(&before).as_str(), before.wake_at), ("over", Some(at(3610))));
    assert_eq!(verdict(&plan(&over, at(3610))), "deletes itself; over");
    over.terms.keep = None;
    assert_eq!(verdict(&plan(&over, at(9999))), "over");
    over.held.push(held("b", HoldingState::Starting(None)));
    assert_eq!(verdict(&plan(&over, at(11))), "discards b; over", "left over from a lost answer");
    let mut late = over.clone();
    (late.want, late.held) = (5, vec![held("c", HoldingState::Done)]);
    assert_eq!(verdict(&plan(&late, at(11))), "discards c; over", "ready a moment too late");
    over.history.delivered.clear();
    assert_eq!(
        verdict(&plan(&over, at(11))),
        "over",
        "another implementation's: it may have been told"
    );
    over.leaving = true;
    assert_eq!(verdict(&plan(&over, at(11))), "silent");
}

#[test]
fn what_can_not_be_done_is_said_until_the_time_is_over() {
    let mut view = batch(1, found(lot(5)), Vec::new());
    view.content = Content::Refused("no such key".to_owned());
    let waits = plan(&view, at(1));
    assert_eq!(verdict(&waits), "has 0, Refused");
    let ended = plan(&view, at(60));
    let Answer::Completed { ending: Ending::TimedOut(why), .. } = ended.answer else {
        panic!("{:?}", ended.answer)
    };
    assert_eq!(why.message, "no such key");
}

/// Whoever started sandboxes that end at once would start them again and again.
#[test]
fn a_batch_is_over_when_its_sandboxes_would_be() {
    let mut view = batch(2, found(lot(5)), Vec::new());
    view.terms.ends = Some(at(5));
    assert_eq!(plan(&view, at(4)).wake_at, Some(at(5)));
    let ended = plan(&view, at(5));
    assert!(ended.actions.is_empty(), "{ended:?}");
    let Answer::Completed { ending: Ending::TimedOut(why), .. } = ended.answer else {
        panic!("{:?}", ended.answer)
    };
    assert_eq!(why.code, Code::Expired);
}
