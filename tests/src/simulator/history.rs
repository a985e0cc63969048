//! One whole run, from a seed to a verdict.

use std::time::Duration;

use fastrand::Rng;

use super::kruise;
use super::laws::Breach;
use super::node::NodeTemper;
use super::weather::Weather;
use super::wire::Link;
use super::world::{Families, World};
use super::x_k8s::life::{Habits, Life};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What decided it, and who was there.
    pub seed: (Families, u64),
    /// How many changes the server made, and a hash of all of them.
    pub fingerprint: (u64, u64),
    /// The broken laws.
    pub breaches: Vec<Breach>,
    /// Everything a reader needs to understand them.
    pub report: String,
}

/// Plays the history of a seed, on this thread.
pub fn play(families: Families, seed: u64) -> Outcome {
    alone(async move {
        let mut rng = Rng::with_seed(seed ^ 0x5a5a_5a5a);
        let weather = Weather::draw(&mut rng);
        let habits = Habits::draw(&mut rng);
        let mut temper = draw_temper(&mut rng);
        temper.explains = families != Families::XK8s;
        let mut world = World::open(seed, families, &weather, temper).await;
        world.diary.note(format!("{weather:?}"));
        world.cast.enter(weather.replicas);
        let mut fate = rng.fork();
        let living = live(&world, families, &habits, &mut rng);
        world
            .during(async {
                tokio::select! {
                    biased;
                    () = living => {}
                    () = haunt(&world, &weather, &mut fate) => {}
                }
            })
            .await;
        if world.breaches().is_empty() {
            world.settle().await;
        }
        let report = world.report();
        let fingerprint = world.bystander.fingerprint();
        Outcome { seed: (families, seed), fingerprint, breaches: world.breaches(), report }
    })
}

/// People of all families that are there do what they happen to do.
async fn live(world: &World, families: Families, habits: &Habits, rng: &mut Rng) {
    let (user, diary) = (&world.user, &world.diary);
    match families {
        Families::XK8s => Life::new(user, habits, rng, diary).live().await,
        Families::Kruise => kruise::life::Life::new(user, habits, rng, diary).live().await,
        Families::Both => {
            let mut other = rng.fork();
            let ones = Life::new(user, habits, rng, diary).live();
            let others = kruise::life::Life::new(user, habits, &mut other, diary).live();
            tokio::join!(biased; ones, others);
        }
    }
}

/// Runs a story on a thread and in a time of its own.
pub fn alone<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets needs nothing that could be missing")
        .block_on(story)
}

fn draw_temper(rng: &mut Rng) -> NodeTemper {
    let slowest = [300, 1500, 8000][rng.usize(..3)];
    NodeTemper {
        start: (Duration::from_millis(100), Duration::from_millis(slowest)),
        end: (Duration::from_millis(1), Duration::from_millis([5, 400, 3000][rng.usize(..3)])),
        one_fails_in: [0, 0, 12][rng.usize(..3)],
        one_wavers_in: [0, 0, 6][rng.usize(..3)],
        explains: false,
    }
}

/// Kills controllers and cuts connections, for as long as people live.
async fn haunt(world: &World, weather: &Weather, rng: &mut Rng) {
    let Some(longest) = weather.kills.or(weather.outages.then_some(Duration::from_secs(15))) else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(longest.mul_f64(rng.f64())).await;
        let actor = rng.usize(..weather.replicas);
        let wire = world.cast.wire(actor);
        if weather.outages && (weather.kills.is_none() || rng.bool()) {
            let outage = Duration::from_secs(20).mul_f64(rng.f64());
            world.diary.note(format!("controller {actor} is cut off for {outage:.1?}"));
            wire.set(Link::Out);
            tokio::time::sleep(outage).await;
            wire.set(Link::Up);
        } else if rng.bool() {
            wire.set(Link::Dead);
        } else {
            let writes = rng.usize(1..10);
            world.diary.note(format!("controller {actor} will die after {writes} writes"));
            wire.die_after(writes);
        }
    }
}
