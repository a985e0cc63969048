//! One sandbox: its pod, its service, its volumes, and how its life ends.

mod view;

pub use view::*;

use jiff::Timestamp;

/// What should be done about a sandbox.
pub fn plan(view: &SandboxView, now: Timestamp) -> SandboxPlan {
    let _ = (view, now);
    SandboxPlan {
        actions: Vec::new(),
        status: SandboxStatus {
            readiness: Readiness::NotYet(PodState::Missing, ServiceState::NotNeeded),
            suspension: Suspension::NotAsked,
            scheduling: None,
            finish: Finish::No,
            ips: Vec::new(),
            node: None,
            pod: None,
            has_service: false,
        },
        wake_at: None,
        reasons: Vec::new(),
    }
}
