//! The world of a run: server, machine, people, controllers and bystander, on one thread and in one time.

use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::{Faults, TestServer};
use apiserver::{ApiServer, Clock as ServerClock, Converter, Ids};
use controllers::Clock;
use fastrand::Rng;
use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::bystander::Bystander;
use super::cast::Cast;
use super::laws::{Breach, Grace};
use super::node::{self, Mood, NodeTemper};
use super::user::User;
use super::weather::Weather;

/// When every run begins.
const BEGIN: &str = "2030-01-01T00:00:00Z";

/// Nothing is written for this long: longer than any pause of the controllers, whose longest is the five minutes after which an unseen write is given up.
const REST: Duration = Duration::from_secs(400);

/// After this long without faults everything must have come to rest. Several pauses of the longest kind in a row fit in.
const RESTLESS: Duration = Duration::from_secs(3600);

/// What happened, for the report of a breach. Clones are the same diary.
#[derive(Clone)]
pub struct Diary {
    begun: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Diary {
    fn new() -> Self {
        Self { begun: Instant::now(), lines: Arc::default() }
    }

    /// Writes a line.
    pub fn note(&self, what: impl std::fmt::Display) {
        let at = self.begun.elapsed().as_secs_f64();
        self.lines.lock().push(format!("{at:>9.3}s {what}"));
    }
}

/// A run in progress.
pub struct World {
    /// The server.
    pub server: TestServer,
    /// People, on a clean connection.
    pub user: User,
    /// The controllers.
    pub cast: Cast,
    /// Who checks the laws.
    pub bystander: Bystander,
    /// What happened.
    pub diary: Diary,
    /// How the machine feels.
    pub mood: Mood,
    /// What happens to the controllers' requests.
    pub faults: Faults,
    seed: u64,
    _tasks: JoinSet<()>,
}

struct Versions;

impl Converter for Versions {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        let version = api_version.rsplit('/').next().unwrap_or_default();
        dialects::x_k8s::convert::convert(object, version).map_err(|error| error.to_string())
    }
}

/// The API families that a world knows. The controllers always know them all, and wait quietly for what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// `agents.x-k8s.io`.
    XK8s,
    /// `agents.kruise.io`.
    Kruise,
    /// Both, in one server.
    Both,
}

impl Families {
    fn definitions(self) -> Vec<Value> {
        match self {
            Self::XK8s => dialects::x_k8s::crds::crds(),
            Self::Kruise => dialects::kruise::crds::crds(),
            Self::Both => [Self::XK8s.definitions(), Self::Kruise.definitions()].concat(),
        }
    }
}

impl World {
    /// A world without controllers yet: [`Cast::enter`] starts them. Needs a current-thread runtime with paused time.
    pub async fn open(
        seed: u64,
        families: Families,
        weather: &Weather,
        temper: NodeTemper,
    ) -> Self {
        let mut rng = Rng::with_seed(seed);
        let begin: Timestamp = BEGIN.parse().expect("a constant that parses");
        let ids = Ids::seeded(rng.u64(..));
        let mut builder = ApiServer::builder().clock(ServerClock::tokio(begin)).ids(ids);
        for kind in dialects::x_k8s::Kind::ALL {
            builder = builder.converter(kind.group(), kind.as_str(), Arc::new(Versions));
        }
        let server = TestServer::open(builder).await;
        let clock = Clock::starting_at(begin);
        let diary = Diary::new();
        let client = Client::new(server.service(), "default");
        let user = User::new(client.clone(), clock.clone());
        user.install(families.definitions()).await;

        let mut tasks = JoinSet::new();
        let grace = Grace(u64::try_from(weather.grace().as_millis()).unwrap_or(u64::MAX));
        let (bystander, looking) = Bystander::begin(server.store(), grace);
        tasks.spawn(async move {
            // It ends with the world.
            let _ = looking.await;
        });
        let mood = Mood::default();
        tasks.spawn(node::run(client, temper, mood.clone(), rng.u64(..)));
        let faults = weather.rules(server.faults(rng.u64(..)));
        let cast = Cast::new(server.clone(), faults.clone(), clock, diary.clone(), rng.u64(..));
        Self { server, user, cast, bystander, diary, mood, faults, seed, _tasks: tasks }
    }

    /// Lets something happen, until it is done or a law is broken.
    pub async fn during<T>(&self, events: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.bystander.breached() => None,
            done = events => Some(done),
        }
    }

    /// Stops all faults and waits until nothing is written any more; then everything must be as it should.
    pub async fn settle(&self) {
        self.faults.stop();
        self.cast.mend();
        self.mood.calm();
        let limit = Instant::now() + RESTLESS;
        let rest = async {
            loop {
                let quiet_at = self.bystander.last_change() + REST;
                if Instant::now() >= quiet_at {
                    return true;
                }
                if Instant::now() >= limit {
                    return false;
                }
                tokio::time::sleep_until(quiet_at.min(limit)).await;
            }
        };
        match self.during(rest).await {
            Some(true) => self.bystander.at_rest(),
            Some(false) => self.bystander.accuse(6, "there was no rest".to_owned()),
            None => {}
        }
        if let Some(why) = self.cast.failure() {
            self.bystander.accuse(0, why);
        }
    }

    /// The laws that were broken.
    pub fn breaches(&self) -> Vec<Breach> {
        self.bystander.breaches()
    }

    /// Everything a reader needs to understand a breach.
    pub fn report(&self) -> String {
        let mut text = format!("seed {}\n", self.seed);
        for breach in self.breaches() {
            text.push_str(&format!("{breach}\n"));
        }
        text.push_str("\nwhat happened:\n");
        let mut lines = self.diary.lines.lock().clone();
        lines.push(format!("{:>9.3}s now", self.diary.begun.elapsed().as_secs_f64()));
        text.push_str(&lines.join("\n"));
        text.push_str("\n\nthe last changes:\n");
        text.push_str(&self.bystander.lately().join("\n"));
        text.push('\n');
        text
    }

    /// Ends a scenario: everything comes to rest, and a breach is a panic that tells all.
    pub async fn finish(self) {
        self.settle().await;
        assert!(self.breaches().is_empty(), "{}", self.report());
    }

    /// Waits until the world looks so. Panics with a report when it never does.
    pub async fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&super::view::View) -> Option<T>,
    ) -> T {
        let limit = Instant::now() + Duration::from_secs(600);
        loop {
            if let Some(found) = self.bystander.view(&mut look) {
                return found;
            }
            let broken = !self.breaches().is_empty();
            assert!(
                !broken && Instant::now() < limit,
                "never came true: {what}\n{}",
                self.report()
            );
            self.bystander.next_change(limit).await;
        }
    }

    /// Lets time pass.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
