//! The faults of a run, drawn from its seed: what happens to requests of the controllers, and what happens to the controllers.

use std::time::Duration;

use apiserver::testing::{Fault, Faults, Lists, Rule};
use fastrand::Rng;
use http::Method;

/// How bad it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Weather {
    /// The share of requests that something happens to, for each kind of mishap.
    pub mishaps: f64,
    /// The longest delay of a request.
    pub late: Duration,
    /// The longest delay of each piece of a watch, and of how many of the watches.
    pub watches_late: (Duration, f64),
    /// Whether the controllers are killed now and then, and after how long at most.
    pub kills: Option<Duration>,
    /// How many controllers there are; more than one elect a leader.
    pub replicas: usize,
    /// Whether connections go out now and then.
    pub outages: bool,
}

impl Weather {
    /// Nothing happens to anybody.
    pub fn calm() -> Self {
        Self {
            mishaps: 0.0,
            late: Duration::ZERO,
            watches_late: (Duration::ZERO, 0.0),
            kills: None,
            replicas: 1,
            outages: false,
        }
    }

    /// The weather of a seed. One run in eight is calm: what breaks there is broken in earnest.
    pub fn draw(rng: &mut Rng) -> Self {
        if rng.u8(..8) == 0 {
            return Self::calm();
        }
        let replicas = if rng.u8(..4) == 0 { 2 } else { 1 };
        Self {
            mishaps: [0.0, 0.01, 0.05][rng.usize(..3)],
            late: Duration::from_millis([0, 20, 400][rng.usize(..3)]),
            watches_late: (Duration::from_millis([0, 50, 600][rng.usize(..3)]), 0.7),
            kills: rng.bool().then_some(Duration::from_secs(20)),
            replicas,
            outages: replicas > 1 && rng.bool(),
        }
    }

    /// The rules for the fault layer.
    pub fn rules(&self, mut faults: Faults) -> Faults {
        let writes = || [Method::POST, Method::PATCH, Method::PUT, Method::DELETE];
        if self.mishaps > 0.0 {
            for (fault, weight) in [
                (Fault::Conflict, 1.0),
                (Fault::Busy(1), 0.5),
                (Fault::Fail, 0.5),
                (Fault::FailAfterCommit, 1.0),
                (Fault::LoseAnswer, 1.0),
                (Fault::Drop, 0.5),
            ] {
                let rule = Rule::new(fault).methods(writes()).chance(self.mishaps * weight);
                faults = faults.rule(rule);
            }
            let stale = Fault::StaleList { revisions: 12, lists: Lists::Cached };
            faults = faults
                .rule(Rule::new(Fault::Drop).methods([Method::GET]).chance(self.mishaps))
                .rule(Rule::new(Fault::CutWatch(3)).chance(self.mishaps * 4.0))
                .rule(Rule::new(stale).chance(0.5));
        }
        let (late, share) = self.watches_late;
        if !late.is_zero() {
            faults = faults.rule(Rule::new(Fault::DelayWatch(late)).chance(share));
        }
        if !self.late.is_zero() {
            faults = faults.rule(Rule::new(Fault::Delay(self.late)).methods(writes()).chance(0.6));
        }
        faults
    }

    /// How old news may be before acting against it is a fault of the controllers: a late watch that breaks and comes back a few times, and with several
    /// controllers an outage that a leader may sit out.
    pub fn grace(&self) -> Duration {
        let watching = self.watches_late.0 * 2;
        let reopening = if self.mishaps > 0.0 { Duration::from_secs(2) } else { Duration::ZERO };
        let outage = if self.outages { Duration::from_secs(12) } else { Duration::ZERO };
        self.late + watching + reopening + outage + Duration::from_millis(50)
    }
}
