//! Plays many histories: `simulate [COUNT] [FIRST]`. Each line of trouble names its seed; `simulate 1 SEED` plays that one again and tells it whole.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sandbank_tests::simulator::history::{Outcome, play};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (count, first) =
        match (arguments.next().unwrap_or(Ok(100)), arguments.next().unwrap_or(Ok(0))) {
            (Ok(count), Ok(first)) => (count, first),
            _ => {
                eprintln!("usage: simulate [COUNT] [FIRST SEED]");
                return ExitCode::from(2);
            }
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
                    let outcome = play(seed);
                    if count == 1 {
                        println!("{}", outcome.report);
                    }
                    for breach in &outcome.breaches {
                        println!("seed {seed}: {breach}");
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
