//! Short ways to say what a story needs.

use std::time::Duration;

use apiserver::testing::Rule;
use sandbank_tests::simulator::history::alone;
use sandbank_tests::simulator::node::NodeTemper;
use sandbank_tests::simulator::user::NAMESPACE;
use sandbank_tests::simulator::view::{View, is_leaving, is_true, uid};
use sandbank_tests::simulator::weather::Weather;
use sandbank_tests::simulator::world::{Families, World};
use sandbank_tests::simulator::x_k8s::{claim_of, pool_of};
use serde_json::{Value, json};

/// Plays a story with one controller and these faults. It ends at rest, with all laws kept.
pub fn story(faults: impl IntoIterator<Item = Rule>, tale: impl AsyncFnOnce(&World)) {
    play(Weather::calm(), 1, faults, tale);
}

/// Plays a story with this many controllers that elect a leader, in this weather.
pub fn play(
    weather: Weather,
    replicas: usize,
    faults: impl IntoIterator<Item = Rule>,
    tale: impl AsyncFnOnce(&World),
) {
    play_in(Families::XK8s, weather, replicas, faults, tale);
}

/// The same, where these families are known.
pub fn play_in(
    families: Families,
    weather: Weather,
    replicas: usize,
    faults: impl IntoIterator<Item = Rule>,
    tale: impl AsyncFnOnce(&World),
) {
    alone(async {
        let mut world = World::open(1, families, &weather, NodeTemper::default()).await;
        for rule in faults {
            let _ = world.faults.clone().rule(rule);
        }
        world.cast.enter(replicas);
        tale(&world).await;
        world.finish().await;
    });
}

/// Calm, but news may be this old.
pub fn late_news(age: Duration) -> Weather {
    Weather { watches_late: (age, 0.0), ..Weather::calm() }
}

/// A template and a pool of it, filled.
pub async fn filled(world: &World, replicas: u32, strategy: &str) {
    world.user.create_template("t", "image-0").await.unwrap();
    world.user.create_pool("p", "t", replicas, json!({ "type": strategy })).await.unwrap();
    ready_members(world, replicas as usize).await;
}

/// Waits until the pool has so many ready, and says so. Returns their names.
pub async fn ready_members(world: &World, count: usize) -> Vec<String> {
    world
        .until(&format!("the pool has {count} ready"), |view| {
            let members = members(view);
            let told =
                view.get("sandboxwarmpools", NAMESPACE, "p")?["status"]["readyReplicas"].as_u64();
            let all = members.len() == count && told.unwrap_or(0) == count as u64;
            all.then(|| members.into_iter().map(|(name, _)| name).collect())
        })
        .await
}

/// The pool's ready sandboxes.
pub fn members(view: &View) -> Vec<(String, Value)> {
    view.all("sandboxes")
        .filter(|(_, s)| pool_of(s) == Some("p") && is_true(s, "Ready") && !is_leaving(s))
        .map(|(place, s)| (place.2.clone(), s.clone()))
        .collect()
}

/// Waits until the claim is ready. Returns the name of its sandbox.
pub async fn ready_claim(world: &World, name: &str) -> String {
    world
        .until(&format!("claim {name} is ready"), |view| {
            let claim = view.get("sandboxclaims", NAMESPACE, name)?;
            let told = claim["status"]["sandbox"]["name"].as_str()?;
            let sandbox = view.get("sandboxes", NAMESPACE, told)?;
            let ours = claim_of(sandbox).is_some_and(|(_, life)| life == uid(claim));
            (ours && is_true(claim, "Ready")).then(|| told.to_owned())
        })
        .await
}

/// How many of the writes so far were creations of this resource.
pub fn creations(world: &World, plural: &str) -> usize {
    let written = world.cast.wire(0).writes();
    written.iter().filter(|w| w.starts_with("POST") && w.ends_with(plural)).count()
}
