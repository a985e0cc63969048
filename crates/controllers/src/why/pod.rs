//! The end of most chains: the pod.

use dialects::pod::Pod;
use engine::sandbox::PodPhase;
use engine::{Code, Reason, WaitsFor};

use super::{Link, Standing};
use crate::kinds::Kind;

/// How a pod stands, and what troubles it.
pub(crate) fn explain(pod: &Pod) -> Link {
    let trouble = pod.trouble();
    let phase = pod.phase();
    let standing = match (&trouble, phase) {
        (Some(_), _) | (None, PodPhase::Failed | PodPhase::Unknown) => Standing::Stuck,
        (None, PodPhase::Running) if pod.is_ready() => Standing::Well,
        (None, PodPhase::Succeeded) => Standing::Well,
        (None, PodPhase::Pending | PodPhase::Running) => Standing::Waiting,
    };
    let place = pod.node().map_or("on no node yet".to_owned(), |node| format!("on node {node}"));
    let reasons = trouble.map(|trouble| {
        let code = Code::from(trouble.kind);
        let waits =
            if trouble.kind.is_waiting_for_a_place() { WaitsFor::Capacity } else { WaitsFor::Edit };
        Reason::new(code, trouble.message).waiting_for(waits)
    });
    Link {
        kind: Kind::Pod,
        name: pod.metadata.key(),
        standing,
        summary: format!("{}, {place}", phase.as_str()),
        reasons: reasons.into_iter().collect(),
        again_at: None,
        depends_on: Vec::new(),
    }
}
