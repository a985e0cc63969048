//! Plays many histories: `simulate [COUNT] [FIRST] [x-k8s|kruise|both]`. Without a family, seeds take turns. Each line of trouble names seed and family;
//! `simulate 1 SEED FAMILY` plays that one again and tells it whole.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbank_tests::simulator::history::{Outcome, play};
use sandbank_tests::simulator::world::Families;

/// The words for families, in the order in which seeds take turns.
const TURNS: [(&str, Families); 3] =
    [("x-k8s", Families::XK8s), ("kruise", Families::Kruise), ("both", Families::Both)];

fn word(families: Families) -> &'static str {
    TURNS.iter().find(|turn| turn.1 == families).map_or("", |turn| turn.0)
}

fn read(arguments: &[String]) -> Option<(u64, u64, Option<Families>)> {
    let number = |n: usize, absent: u64| match arguments.get(n) {
        Some(text) => text.parse().ok(),
        None => Some(absent),
    };
    let only = match arguments.get(2) {
        Some(text) => Some(TURNS.iter().find(|turn| turn.0 == text)?.1),
        None => None,
    };
    (arguments.len() < 4).then_some((number(0, 100)?, number(1, 0)?, only))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((count, first, only)) = read(&arguments) else {
        eprintln!("usage: simulate [COUNT] [FIRST SEED] [x-k8s|kruise|both]");
        return ExitCode::from(2);
    };
    if count == 1 {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .without_time()
            .with_writer(std::io::stderr)
            .init();
    }
    let next = AtomicU64::new(first);
    let broken: Mutex<BTreeMap<u64, Outcome>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let families = only.unwrap_or(TURNS[(seed % TURNS.len() as u64) as usize].1);
                    let outcome = play(families, seed);
                    if count == 1 {
                        println!("{}", outcome.report);
                    }
                    for breach in &outcome.breaches {
                        println!("seed {seed} {}: {breach}", word(families));
                    }
                    if !outcome.breaches.is_empty()
                        && let Ok(mut broken) = broken.lock()
                    {
                        broken.insert(seed, outcome);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap_or_default();
    println!("{count} histories from seed {first}; {} broke a law", broken.len());
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
