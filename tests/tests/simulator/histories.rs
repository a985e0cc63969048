//! Histories: the real controllers and the real server under faults, from seeds. `make simulate SEEDS=n` plays any number of them.

use sandbank_tests::simulator::history::play;

/// Enough to notice what breaks often, few enough for every run of the tests.
const SEEDS: u64 = 30;

fn check(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let outcome = play(seed);
        assert!(outcome.breaches.is_empty(), "{}", outcome.report);
    }
}

#[test]
fn no_history_breaks_a_law() {
    check((0..SEEDS).step_by(2));
}

/// The other half, on another thread.
#[test]
fn no_other_history_breaks_a_law() {
    check((1..SEEDS).step_by(2));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 22] {
        let (first, second) = (play(seed), play(seed));
        assert!(first.fingerprint.0 > 50, "next to nothing happened");
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
    }
    assert_ne!(play(3).fingerprint, play(22).fingerprint);
}
