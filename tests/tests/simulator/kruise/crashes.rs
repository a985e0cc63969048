//! Controllers that die in the middle of a batch claim.

use std::time::Duration;

use sandbank_tests::simulator::weather::Weather;
use sandbank_tests::simulator::world::Families;
use serde_json::{Value, json};

use super::stage::{filled, full, held, over};
use crate::stage::play_in;

/// Serves a claim of four by controllers that die after `writes` writes. Returns whether they had so many to make.
fn dies_after(writes: usize, spec: &Value) -> bool {
    let mut died = false;
    play_in(Families::Kruise, Weather::calm(), 1, [], async |world| {
        filled(world, 3).await;
        let wire = world.cast.wire(0);
        let before = wire.writes().len();
        wire.die_after(writes);
        world.user.kruise().claim_with("a", spec.clone()).await.unwrap();
        let told = over(world, "a").await;
        assert_eq!(told.len(), 4, "{}", world.report());
        full(world, 3).await;
        assert_eq!(world.bystander.view(|view| held(view, "a")), told);
        world.pass(Duration::from_secs(5)).await;
        died = wire.writes().len() >= before + writes;
    });
    died
}

fn dies_after_each_write(spec: &Value) {
    let survived = (1..80).find(|writes| !dies_after(*writes, spec));
    assert!(survived.is_some_and(|writes| writes > 8), "survived {survived:?} writes");
}

#[test]
fn a_crash_between_any_two_writes_of_a_batch_loses_nothing() {
    dies_after_each_write(&json!({"templateName": "s", "replicas": 4}));
}

#[test]
fn a_crash_between_any_two_writes_of_a_batch_with_a_change_loses_nothing() {
    let spec = json!({
        "templateName": "s", "replicas": 4, "inplaceUpdate": {"image": "image-9"}, "waitReadyTimeout": "20s",
    });
    dies_after_each_write(&spec);
}
