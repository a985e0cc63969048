//! `make bench`: what sandbank costs, measured on this machine and written down with the conditions.
//!
//! ```text
//!   main ──> suite: which measurements, how often ──> one file for each
//!              │                                        │
//!              │  Figures of each run                   ├─ start.rs       start to ready, memory     (the real binary)
//!              v                                        ├─ api.rs         requests, watches          (in process, TLS)
//!            report: median, least, most                ├─ commits.rs     the store and what is below it
//!              │                                        ├─ claims.rs      latency, rates, what a claim costs
//!              v                                        ├─ containers.rs  cold starts beside a bare clone
//!            bench/results/DATE.md                      └─ refill.rs      an empty pool fills
//! ```
//!
//! Clients, servers and containers live in a network namespace of their own with nothing but a loopback, so that a bridge for pods
//! disturbs nobody. What each number means is in `bench/README.md`.

mod api;
mod batches;
mod caller;
mod claims;
mod commits;
mod conditions;
mod containers;
mod costs;
mod figures;
mod load;
mod refill;
mod report;
mod stage;
mod start;
mod suite;
mod up;
mod watchers;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What the real binary has: servers in this process shall not differ from it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Pods that are started below the API have this very binary as their own process: nothing may come before this.
    node::shim::main().unwrap_or_else(suite::main)
}
