//! Short ways to say what a story of sets needs.

use apiserver::testing::Rule;
use kube::api::DynamicObject;
use sandbank_tests::simulator::family::Family;
use sandbank_tests::simulator::kruise::Kruise;
use sandbank_tests::simulator::kruise::people::template;
use sandbank_tests::simulator::user::NAMESPACE;
use sandbank_tests::simulator::view::{View, is_leaving, is_true, uid};
use sandbank_tests::simulator::weather::Weather;
use sandbank_tests::simulator::world::{Families, World};
use serde_json::{Value, json};

use crate::stage::play_in;

/// Plays a story with one controller and these faults. It ends at rest, with all laws kept.
pub fn story(faults: impl IntoIterator<Item = Rule>, tale: impl AsyncFnOnce(&World)) {
    play_in(Families::Kruise, Weather::calm(), 1, faults, tale);
}

/// A set `s`, filled.
pub async fn filled(world: &World, replicas: u32) -> Vec<String> {
    filled_with(world, replicas, json!({})).await
}

/// A set `s` with this in its spec, filled.
pub async fn filled_with(world: &World, replicas: u32, more: Value) -> Vec<String> {
    let mut spec = template("image-0");
    spec["replicas"] = json!(replicas);
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    world.user.kruise().create_set_with("s", spec).await.unwrap();
    full(world, replicas as usize).await
}

/// Waits until the set has so many available, and says so. Returns their names.
pub async fn full(world: &World, count: usize) -> Vec<String> {
    world
        .until(&format!("the set has {count} available"), |view| {
            let members = available(view);
            let status = &view.get("sbs", NAMESPACE, "s")?["status"];
            let told = status["availableReplicas"].as_u64() == Some(count as u64)
                && status["replicas"].as_u64() == Some(count as u64);
            (members.len() == count && told).then_some(members)
        })
        .await
}

/// The names of those of the set that can be claimed.
pub fn available(view: &View) -> Vec<String> {
    view.all("sbx")
        .filter(|(_, s)| Kruise::pool_of(s) == Some("s") && is_true(s, "Ready") && !is_leaving(s))
        .filter(|(_, s)| Kruise::lock_of(s).is_none())
        .map(|(place, _)| place.2.clone())
        .collect()
}

/// Waits until a claim is over. Returns the names that it was told of.
pub async fn over(world: &World, name: &str) -> Vec<String> {
    world
        .until(&format!("claim {name} is over"), |view| {
            let claim = view.get("sbc", NAMESPACE, name)?;
            let told = Kruise::told(claim).into_iter().map(ToOwned::to_owned).collect();
            (claim["status"]["phase"] == "Completed").then_some(told)
        })
        .await
}

/// What a claim holds now.
pub fn held(view: &View, claim: &str) -> Vec<String> {
    let life = view.get("sbc", NAMESPACE, claim).map(uid);
    view.all("sbx")
        .filter(|(_, s)| Kruise::holder_of(s).is_some_and(|holder| Some(holder.life) == life))
        .map(|(place, _)| place.2.clone())
        .collect()
}

/// What somebody outside sees on offer once there is something.
pub async fn offered(world: &World) -> DynamicObject {
    let mut offers = world.user.kruise().on_offer("s").await.unwrap();
    offers.swap_remove(0)
}

/// How many of the writes so far were creations of sandboxes.
pub fn creations(world: &World) -> usize {
    let written = world.cast.wire(0).writes();
    written.iter().filter(|w| w.starts_with("POST") && w.ends_with("/sandboxes")).count()
}
