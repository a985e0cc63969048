//! Races between what is known and what is.

use std::time::Duration;

use apiserver::testing::{Fault, Rule};
use http::Method;
use sandbank_tests::simulator::user::NAMESPACE;
use sandbank_tests::simulator::x_k8s::image;

use crate::stage::{
    creations, filled, late_news, members, play, ready_claim, ready_members, story,
};

/// agent-sandbox #418: a sandbox got a second pod, because its first was not seen in time.
#[test]
fn a_sandbox_never_has_two_pods() {
    let late = Duration::from_secs(3);
    let faults = [
        Rule::new(Fault::DelayWatch(late)).resource("pods"),
        Rule::new(Fault::FailAfterCommit).methods([Method::POST]).resource("pods").chance(0.5),
        Rule::new(Fault::LoseAnswer).methods([Method::POST]).resource("pods").chance(0.5),
    ];
    play(late_news(late), 1, faults, async |world| {
        filled(world, 4, "Recreate").await;
        let pods = world.bystander.view(|view| view.all("pods").count());
        assert_eq!(pods, 4);
        assert!(world.faults.struck() > 1);
    });
}

/// agent-sandbox #1215: a pool of 500 got 5,000 sandboxes, because each look at a late cache made the missing ones again.
#[test]
fn a_late_cache_does_not_make_a_pool_grow() {
    let late = Duration::from_secs(4);
    play(
        late_news(late),
        1,
        [Rule::new(Fault::DelayWatch(late)).resource("sandboxes")],
        async |world| {
            filled(world, 30, "Recreate").await;
            assert_eq!(creations(world, "/sandboxes"), 30);
            world.user.scale_pool("p", 40).await.unwrap();
            ready_members(world, 40).await;
            assert_eq!(creations(world, "/sandboxes"), 40);
        },
    );
}

/// The answer to a create is lost: whether it happened is looked up, not guessed.
#[test]
fn a_lost_answer_makes_nothing_twice() {
    let lost = |fault| Rule::new(fault).methods([Method::POST]).resource("sandboxes").chance(0.5);
    story([lost(Fault::FailAfterCommit), lost(Fault::LoseAnswer)], async |world| {
        filled(world, 8, "Recreate").await;
        world.user.create_claim("c", "p").await.unwrap();
        ready_claim(world, "c").await;
        ready_members(world, 8).await;
        assert_eq!(creations(world, "/sandboxes"), 9);
    });
}

/// The pool shrinks to nothing while the write that gives its only sandbox away is on its way.
#[test]
fn scaling_down_does_not_hit_a_fresh_claim() {
    story([], async |world| {
        filled(world, 1, "Recreate").await;
        let warm = members_now(world);
        let bind = world.cast.wire(0).hold_next(Method::PATCH, &format!("/sandboxes/{}", warm[0]));
        world.user.create_claim("c", "p").await.unwrap();
        bind.arrived().await;
        world.user.scale_pool("p", 0).await.unwrap();
        world.pass(Duration::from_secs(2)).await;
        bind.open();
        assert_eq!(ready_claim(world, "c").await, warm[0]);
    });
}

/// A claim takes what the pool is about to delete: the delete carries the version it was decided on, and is refused.
#[test]
fn a_delete_on_its_way_does_not_hit_a_fresh_claim() {
    story([], async |world| {
        filled(world, 1, "Recreate").await;
        let warm = members_now(world);
        let delete =
            world.cast.wire(0).hold_next(Method::DELETE, &format!("/sandboxes/{}", warm[0]));
        world.user.scale_pool("p", 0).await.unwrap();
        delete.arrived().await;
        // Meanwhile another controller, which knows of nothing, gives it to a claim.
        world.user.create_claim("c", "elsewhere").await.unwrap();
        world.user.take_by_hand(&warm[0], "c").await.unwrap();
        delete.open();
        world.pass(Duration::from_secs(5)).await;
        let there =
            world.bystander.view(|view| view.get("sandboxes", NAMESPACE, &warm[0]).is_some());
        assert!(there, "{}", world.report());
    });
}

/// The pod stopped being ready, and the sandbox's status does not say so yet.
#[test]
fn what_is_not_ready_any_more_is_not_handed_out() {
    story([], async |world| {
        filled(world, 1, "Recreate").await;
        let warm = members_now(world);
        let status = format!("/sandboxes/{}/status", warm[0]);
        let report = world.cast.wire(0).hold_next(Method::PATCH, &status);
        world.user.report_pod(&warm[0], "Running", false).await.unwrap();
        report.arrived().await;
        world.user.create_claim("c", "p").await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        report.open();
        assert_ne!(ready_claim(world, "c").await, warm[0]);
        world.user.report_pod(&warm[0], "Running", true).await.unwrap();
    });
}

/// The template changes after the sandbox was chosen and before it is given.
#[test]
fn a_template_change_between_choice_and_gift_leaves_everything_whole() {
    story([], async |world| {
        filled(world, 2, "Recreate").await;
        let bind = world.cast.wire(0).hold_next(Method::PATCH, "/sandboxes/p-");
        world.user.create_claim("c", "p").await.unwrap();
        bind.arrived().await;
        world.user.edit_template("t", "image-1").await.unwrap();
        world.pass(Duration::from_millis(20)).await;
        bind.open();
        ready_claim(world, "c").await;
        world
            .until("the pool is new", |view| {
                let members = members(view);
                let new = members.iter().all(|(_, sandbox)| image(sandbox) == "image-1");
                (members.len() == 2 && new).then_some(())
            })
            .await;
    });
}

/// A claim goes and comes back under its name while a sandbox is being given to it: the new one does not inherit what the old one asked for.
#[test]
fn a_claim_made_anew_during_adoption_gets_one_sandbox_of_its_own() {
    story([], async |world| {
        filled(world, 2, "Recreate").await;
        let bind = world.cast.wire(0).hold_next(Method::PATCH, "/sandboxes/p-");
        world.user.create_claim("c", "p").await.unwrap();
        bind.arrived().await;
        world.user.delete_claim("c").await.unwrap();
        world.user.create_claim("c", "p").await.unwrap();
        world.pass(Duration::from_secs(1)).await;
        bind.open();
        ready_claim(world, "c").await;
        ready_members(world, 2).await;
    });
}

/// The same, and the answer is lost as well.
#[test]
fn a_lost_adoption_is_not_repeated_for_the_next_claim_of_that_name() {
    let lost = Rule::new(Fault::Drop).methods([Method::PATCH]).resource("sandboxes").chance(0.7);
    story([lost], async |world| {
        filled(world, 2, "Recreate").await;
        for _ in 0..5 {
            world.user.create_claim("c", "p").await.unwrap();
            world.pass(Duration::from_millis(3)).await;
            world.user.delete_claim("c").await.unwrap();
        }
        world.user.create_claim("c", "p").await.unwrap();
        ready_claim(world, "c").await;
        ready_members(world, 2).await;
    });
}

#[test]
fn of_two_claims_for_one_sandbox_the_first_gets_it() {
    story([], async |world| {
        filled(world, 1, "Recreate").await;
        let warm = members_now(world);
        world.user.create_claim("a", "p").await.unwrap();
        world.user.create_claim("b", "p").await.unwrap();
        let (a, b) = (ready_claim(world, "a").await, ready_claim(world, "b").await);
        assert_eq!(a, warm[0]);
        assert_ne!(a, b);
    });
}

pub fn members_now(world: &sandbank_tests::simulator::world::World) -> Vec<String> {
    world.bystander.view(|view| members(view).into_iter().map(|(name, _)| name).collect())
}
