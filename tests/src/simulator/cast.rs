//! Controllers that start, die and come back.
//!
//! Each is the whole program: `controllers::run` behind a wire of its own. When the wire dies the task is dropped where it stands, with all that it remembered,
//! and after a pause another one begins from nothing. What can't be dropped with it, because it runs on its own, can't write any more either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apiserver::testing::{Faults, TestServer};
use controllers::lease::LeaseOptions;
use controllers::metrics::Metrics;
use controllers::{Clock, Options, RunError};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::wire::{Link, Wire};
use super::world::Diary;

/// How long a dead controller stays away: a fast supervisor.
const AWAY: Duration = Duration::from_millis(300);

/// All controllers of a run.
pub struct Cast {
    shared: Arc<Shared>,
    actors: JoinSet<()>,
}

struct Shared {
    server: TestServer,
    faults: Faults,
    clock: Clock,
    diary: Diary,
    seed: u64,
    births: AtomicU64,
    wires: Mutex<Vec<Wire>>,
    /// What no controller may do: end in another way than by losing its lease.
    failure: Mutex<Option<String>>,
}

impl Cast {
    /// Nobody yet.
    pub fn new(server: TestServer, faults: Faults, clock: Clock, diary: Diary, seed: u64) -> Self {
        let shared = Shared {
            server,
            faults,
            clock,
            diary,
            seed,
            births: AtomicU64::new(0),
            wires: Mutex::default(),
            failure: Mutex::default(),
        };
        Self { shared: Arc::new(shared), actors: JoinSet::new() }
    }

    /// Starts controllers; several elect a leader.
    pub fn enter(&mut self, replicas: usize) {
        for _ in 0..replicas {
            let wire = Wire::default();
            let actor = {
                let mut wires = self.shared.wires.lock();
                wires.push(wire.clone());
                wires.len() - 1
            };
            self.actors.spawn(self.shared.clone().live(actor, wire, replicas > 1));
        }
    }

    /// The wire of a controller as it lives now.
    pub fn wire(&self, actor: usize) -> Wire {
        self.shared.wires.lock()[actor].clone()
    }

    /// All wires.
    pub fn wires(&self) -> Vec<Wire> {
        self.shared.wires.lock().clone()
    }

    /// Every connection is up again; the dead come back by themselves.
    pub fn mend(&self) {
        for wire in self.wires() {
            wire.set(Link::Up);
        }
    }

    /// Why a controller ended although it must not have, if one did.
    pub fn failure(&self) -> Option<String> {
        self.shared.failure.lock().clone()
    }
}

/// Ends a task with its owner.
struct Process(JoinHandle<Result<(), RunError>>);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    async fn live(self: Arc<Self>, actor: usize, mut wire: Wire, elects: bool) {
        loop {
            let birth = self.births.fetch_add(1, Ordering::SeqCst);
            let name = format!("controller-{actor}-{birth}");
            let options = Options {
                clock: self.clock.clone(),
                seed: self.seed ^ birth.wrapping_mul(0x9E37_79B9_7F4A_7C15),
                // Enough to work on several things at once, few enough that they wait for each other.
                workers: 8,
                metrics: Metrics::new(),
                election: elects.then(|| LeaseOptions::new("default", &name)),
                ..Options::default()
            };
            let client = wire.client(self.faults.layer(self.server.service()));
            let run = controllers::run(client, options, CancellationToken::new());
            let mut process = Process(tokio::spawn(run));
            tokio::select! {
                biased;
                ended = &mut process.0 => match ended {
                    Ok(Err(RunError::Election(error))) => {
                        self.diary.note(format!("{name} stops: {error}"));
                    }
                    ended => {
                        let why = format!("{name} ended: {ended:?}");
                        *self.failure.lock() = Some(why);
                        return;
                    }
                },
                () = wire.dead() => self.diary.note(format!("{name} is killed")),
            }
            // Whatever of it still runs on its own must not write.
            wire.set(Link::Dead);
            drop(process);
            tokio::time::sleep(AWAY).await;
            wire = Wire::default();
            self.wires.lock()[actor] = wire.clone();
        }
    }
}
