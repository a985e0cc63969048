//! Histories: the real controllers and the real server under faults, from seeds. `make simulate SEEDS=n` plays any number of them.

use sandbank_tests::simulator::history::play;
use sandbank_tests::simulator::world::Families;

/// Enough to notice what breaks often, few enough for every run of the tests.
const SEEDS: u64 = 30;

/// The same for sets, and for both families in one server. The first few seeds are calm and stormy.
const SEEDS_OF_SETS: u64 = 10;
const SEEDS_MIXED: u64 = 4;

fn check(families: Families, seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let outcome = play(families, seed);
        assert!(outcome.breaches.is_empty(), "{}", outcome.report);
    }
}

#[test]
fn no_history_breaks_a_law() {
    check(Families::XK8s, (0..SEEDS).step_by(2));
}

/// The other half, on another thread.
#[test]
fn no_other_history_breaks_a_law() {
    check(Families::XK8s, (1..SEEDS).step_by(2));
}

#[test]
fn no_history_of_sets_breaks_a_law() {
    check(Families::Kruise, 0..SEEDS_OF_SETS);
}

/// Both families in one server, each with people of its own.
#[test]
fn no_mixed_history_breaks_a_law() {
    check(Families::Both, 0..SEEDS_MIXED);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 22] {
        let (first, second) = (play(Families::XK8s, seed), play(Families::XK8s, seed));
        assert!(first.fingerprint.0 > 50, "next to nothing happened");
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
    }
    let (first, second) = (play(Families::Both, 3), play(Families::Both, 3));
    assert_eq!(first.fingerprint, second.fingerprint, "both families");
    assert_ne!(play(Families::XK8s, 3).fingerprint, play(Families::XK8s, 22).fingerprint);
}
