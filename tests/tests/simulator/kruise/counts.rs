//! What things cost, counted.

use std::time::Duration;

use sandbank_tests::simulator::world::World;
use serde_json::json;

use super::stage::{filled, full, over, story};

/// The writes of the controllers since some moment.
fn since(world: &World, before: usize) -> Vec<String> {
    world.cast.wire(0).writes().split_off(before)
}

#[test]
fn a_warm_claim_is_served_with_two_writes() {
    story([], async |world| {
        filled(world, 3).await;
        world.pass(Duration::from_secs(5)).await;
        let before = world.cast.wire(0).writes().len();
        world.user.kruise().claim("a", "s", 1).await.unwrap();
        let told = over(world, "a").await;
        let path = |kind: &str, name: &str| {
            format!("PATCH /apis/agents.kruise.io/v1alpha1/namespaces/default/{kind}/{name}")
        };
        let written = since(world, before);
        // The set's own report may come in between; it serves the set.
        let for_the_claim: Vec<&String> =
            written.iter().filter(|write| !write.contains("/sandboxsets/")).collect();
        let give = path("sandboxes", &told[0]);
        let tell = path("sandboxclaims", "a/status");
        let begin = for_the_claim.iter().take(2).map(|w| w.as_str()).collect::<Vec<_>>();
        assert_eq!(begin, [give.as_str(), tell.as_str()], "{written:#?}");
    });
}

#[test]
fn a_batch_costs_five_writes_a_sandbox_with_its_replacement() {
    story([], async |world| {
        filled(world, 20).await;
        world.pass(Duration::from_secs(5)).await;
        let before = world.cast.wire(0).writes().len();
        let spec = json!({"templateName": "s", "replicas": 20, "createOnNoStock": false});
        world.user.kruise().claim_with("a", spec).await.unwrap();
        assert_eq!(over(world, "a").await.len(), 20);
        full(world, 20).await;
        world.pass(Duration::from_secs(60)).await;
        let written = since(world, before);
        let (reports, for_sandboxes): (Vec<&String>, Vec<&String>) = written
            .iter()
            .partition(|w| w.contains("/sandboxsets/") || w.contains("/sandboxclaims/"));
        assert!(for_sandboxes.len() <= 5 * 20, "{for_sandboxes:#?}");
        // The set tells of its progress while it is refilled, but not of each step.
        assert!(reports.len() <= 15, "{reports:#?}");
        let told = reports.iter().filter(|write| write.contains("/sandboxclaims/")).count();
        assert_eq!(told, 1, "a batch is told once");
    });
}

/// Refill begins with one create each, and a sandbox that became ready costs one more word.
#[test]
fn a_warm_sandbox_costs_three_writes() {
    story([], async |world| {
        filled(world, 20).await;
        world.pass(Duration::from_secs(60)).await;
        let written = world.cast.wire(0).writes();
        let sandboxes: Vec<&String> =
            written.iter().filter(|write| !write.contains("/sandboxsets/")).collect();
        // Its object, its pod, its status; and once the template of the set.
        assert!(sandboxes.len() <= 3 * 20 + 1, "{sandboxes:#?}");
    });
}

#[test]
fn nothing_is_written_at_rest() {
    story([], async |world| {
        filled(world, 5).await;
        let spec = json!({"templateName": "s", "replicas": 2, "ttlAfterCompleted": "-1s"});
        world.user.kruise().claim_with("a", spec).await.unwrap();
        let paused = over(world, "a").await.swap_remove(0);
        world.user.kruise().pause(&paused, true).await.unwrap();
        full(world, 5).await;
        world.pass(Duration::from_secs(400)).await;
        let (before, last) = (world.cast.wire(0).writes().len(), world.bystander.last_change());
        world.pass(Duration::from_secs(3600)).await;
        assert_eq!(since(world, before), Vec::<String>::new());
        // Nobody else wrote either; that old events are swept away is no change of the world.
        assert_eq!(world.bystander.last_change(), last, "{}", world.report());
    });
}
