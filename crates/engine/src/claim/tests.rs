//! What claims are told, case by case.

use super::*;
use crate::ids::{Key, Precondition, Uid, Version};
use crate::reason::{Code, Reason};
use crate::rollout::{Freshness, Strategy};
use jiff::{SignedDuration, Timestamp};

const BORN: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Timestamp {
    BORN + SignedDuration::from_secs(seconds)
}

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn precondition(name: &str) -> Precondition {
    Precondition { uid: Uid::new(format!("uid-{name}")), version: Version(3) }
}

fn claim(source: Source, held: Held) -> ClaimView {
    ClaimView {
        key: Key::new("ns", "alice"),
        uid: Uid::new("uid-alice"),
        version: Version(9),
        created: BORN,
        leaving: false,
        lifetime: Lifetime::default(),
        content: Content::Plain,
        source,
        held,
        spare: Vec::new(),
    }
}

fn bound() -> Held {
    Held::Sandbox(HeldSandbox {
        key: Key::new("ns", "p-1"),
        precondition: precondition("p-1"),
        leaving: false,
        finished: None,
        expired: false,
    })
}

fn offer(pool: &str, strategy: Strategy) -> Offer {
    Offer {
        pool: Key::new("ns", pool),
        strategy,
        candidate: None,
        in_flight: None,
        ahead: 0,
        stale: 0,
        start: None,
    }
}

fn ready(pool: &str, strategy: Strategy, freshness: Freshness) -> Offer {
    let name = format!("{pool}-1");
    let candidate = Candidate {
        key: Key::new("ns", &name),
        precondition: precondition(&name),
        freshness,
        node: None,
    };
    Offer { candidate: Some(candidate), ..offer(pool, strategy) }
}

fn found(offers: Vec<Offer>, cold_start: Option<SignedDuration>) -> Source {
    Source::Found { offers, cold_start }
}

/// What a claim does, in a word.
fn verdict(plan: &ClaimPlan) -> String {
    let answer = match &plan.answer {
        Answer::Bound { sandbox, launch: Some(launch) } => format!("{launch:?} {}", sandbox.name),
        Answer::Bound { sandbox, launch: None } => format!("has {}", sandbox.name),
        Answer::Waiting(why) => format!("waits {}", why.code),
        Answer::Refused(_) => "refused".to_owned(),
        Answer::Ended(Ending::Expired) => "ended".to_owned(),
        Answer::Ended(Ending::ExpiredForeign(_)) => "ended, not its own".to_owned(),
        Answer::Silent => "silent".to_owned(),
    };
    let actions: Vec<&str> = plan
        .actions
        .iter()
        .map(|action| match action {
            ClaimAction::Bind { .. } => "bind",
            ClaimAction::CreateCold { .. } => "create",
            ClaimAction::DeleteSandbox { .. } => "delete sandbox",
            ClaimAction::DeleteClaim { cascade: Cascade::Background, .. } => "delete claim",
            ClaimAction::DeleteClaim { cascade: Cascade::Foreground, .. } => "delete claim last",
        })
        .collect();
    if actions.is_empty() { answer } else { format!("{answer}: {}", actions.join(", ")) }
}

#[test]
fn what_pools_offer_decides() {
    let fresh = |pool| ready(pool, Strategy::OnReplenish, Freshness::Fresh);
    let stale = |pool, strategy| ready(pool, strategy, Freshness::Stale);
    // A start that began one second before the claim.
    let coming =
        |start| Offer { in_flight: Some(at(-1)), start, ..offer("a", Strategy::OnReplenish) };
    let table = [
        ("no pool at all", vec![], None, "Cold alice: create"),
        ("a ready one", vec![fresh("a")], None, "Warm a-1: bind"),
        (
            "fresh before stale",
            vec![stale("a", Strategy::OnReplenish), fresh("b")],
            None,
            "Warm b-1: bind",
        ),
        ("stale where allowed", vec![stale("a", Strategy::OnReplenish)], None, "Warm a-1: bind"),
        ("stale where not", vec![stale("a", Strategy::Recreate)], None, "Cold alice: create"),
        ("one is coming, nothing observed", vec![coming(None)], None, "waits WarmSoonerThanCold"),
        (
            "coming in 2 s, cold takes 5 s",
            vec![coming(Some(secs(3)))],
            Some(secs(5)),
            "waits WarmSoonerThanCold",
        ),
        (
            "coming in 9 s, cold takes 5 s",
            vec![coming(Some(secs(10)))],
            Some(secs(5)),
            "Cold alice: create",
        ),
        (
            "overdue",
            vec![Offer { in_flight: Some(at(-7)), ..coming(Some(secs(3))) }],
            Some(secs(5)),
            "Cold alice: create",
        ),
        ("others first", vec![Offer { ahead: 2, ..coming(None) }], None, "waits InLine"),
        ("coming here, ready there", vec![coming(None), fresh("b")], None, "Warm b-1: bind"),
    ];
    for (case, offers, cold_start, expected) in table {
        let plan = plan(&claim(found(offers, cold_start), Held::Nothing), at(0));
        assert_eq!(verdict(&plan), expected, "{case}");
    }
}

/// Waiting has an end: the wake-up comes no later than what was waited for, and after half a minute in all the claim starts cold whatever is promised.
#[test]
fn waiting_is_bounded() {
    let coming = |began| Offer { in_flight: Some(at(began)), ..offer("a", Strategy::OnReplenish) };
    let wait = plan(&claim(found(vec![coming(-1)], None), Held::Nothing), at(0));
    assert_eq!(wait.wake_at, Some(at(9)));
    let late = plan(&claim(found(vec![coming(25)], None), Held::Nothing), at(26));
    assert_eq!(late.wake_at, Some(at(30)));
    let over = plan(&claim(found(vec![coming(29)], None), Held::Nothing), at(30));
    assert_eq!(verdict(&over), "Cold alice: create");
}

#[test]
fn what_the_claim_is_and_has_decides_first() {
    let warm = || found(vec![ready("a", Strategy::OnReplenish, Freshness::Fresh)], None);
    let refused = Content::Refused { word: "InvalidMetadata".to_owned(), message: "no".to_owned() };
    let cold = Content::ColdOnly(Reason::new(Code::ColdAsked, "it sets variables"));
    let name = |name: &str| Key::new("ns", name);
    let missing = || Source::PoolMissing { name: name("a") };
    let table = [
        (
            "bound, and stays so whatever is edited",
            claim(missing(), bound()),
            Some(refused.clone()),
            5,
            "has p-1",
        ),
        ("refused", claim(warm(), Held::Nothing), Some(refused), 5, "refused"),
        ("wants a cold one", claim(warm(), Held::Nothing), Some(cold), 5, "Cold alice: create"),
        (
            "its sandbox is lost",
            claim(warm(), Held::Lost { name: name("p-0") }),
            None,
            5,
            "Warm a-1: bind",
        ),
        (
            "its sandbox is another's",
            claim(warm(), Held::Foreign { name: name("p-0") }),
            None,
            5,
            "Warm a-1: bind",
        ),
        (
            "asked for one already",
            claim(warm(), Held::Pending { name: name("p-0") }),
            None,
            5,
            "waits NotSeenYet",
        ),
        (
            "name taken, warm there",
            claim(warm(), Held::NameTaken { name: name("alice") }),
            None,
            5,
            "Warm a-1: bind",
        ),
        (
            "name taken, nothing warm",
            claim(found(vec![], None), Held::NameTaken { name: name("alice") }),
            None,
            5,
            "refused",
        ),
        (
            "no such pool, as far as seen in the first moment",
            claim(missing(), Held::Nothing),
            None,
            1,
            "silent",
        ),
        ("no such pool", claim(missing(), Held::Nothing), None, 2, "refused"),
        (
            "being deleted",
            ClaimView { leaving: true, ..claim(warm(), Held::Nothing) },
            None,
            5,
            "silent",
        ),
        (
            "one too many from a lost answer",
            ClaimView {
                spare: vec![(name("alice"), precondition("alice"))],
                ..claim(warm(), bound())
            },
            None,
            5,
            "has p-1: delete sandbox",
        ),
    ];
    for (case, mut view, content, now, expected) in table {
        view.content = content.unwrap_or(Content::Plain);
        assert_eq!(verdict(&plan(&view, at(now))), expected, "{case}");
    }
}

/// The end is reported first and carried out when that was seen.
#[test]
fn claims_end() {
    use ExpiryPolicy::{Delete, DeleteForeground, Retain};
    let nobody = || Held::Nothing;
    let foreign = || Held::Foreign { name: Key::new("ns", "p-0") };
    let table = [
        (Retain, false, bound(), "ended"),
        (Retain, true, bound(), "ended: delete sandbox"),
        (Retain, true, nobody(), "ended"),
        (Retain, true, foreign(), "ended, not its own"),
        (Delete, false, bound(), "ended"),
        (Delete, true, bound(), "ended: delete claim"),
        (Delete, true, foreign(), "ended: delete claim"),
        (DeleteForeground, true, bound(), "ended: delete claim last"),
    ];
    for (policy, announced, held, expected) in table {
        let mut view = claim(found(vec![], None), held);
        view.lifetime =
            Lifetime { shutdown_at: Some(at(60)), policy, announced, ..Lifetime::default() };
        let before = plan(&view, at(59));
        assert_eq!(before.wake_at, Some(at(60)), "a deadline arms its own wake-up");
        assert_eq!(verdict(&plan(&view, at(60))), expected, "{policy:?} announced {announced}");
    }
}

/// The time to live counts from the end of the sandbox's work, and is known even after the sandbox is gone.
#[test]
fn finished_claims_end_after_their_time() {
    let mut view = claim(found(vec![], None), bound());
    view.lifetime.ttl_after_finished = Some(secs(0));
    assert_eq!(verdict(&plan(&view, at(500))), "has p-1");
    if let Held::Sandbox(held) = &mut view.held {
        held.finished = Some(at(100));
    }
    assert_eq!(verdict(&plan(&view, at(100))), "ended");
    view.held = Held::Lost { name: Key::new("ns", "p-1") };
    view.lifetime.finished = Some(at(100));
    assert_eq!(verdict(&plan(&view, at(100))), "ended");
}
