//! Stops containers: first by word (preStop, then the signal), then by force.

use std::{net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::time::timeout;
use tracing::debug;

use super::hook;
use crate::{
    agent::{context::Context, recorder::Severity},
    runtime::{ContainerId, PodId, Runtime},
};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

/// What an image may name instead of SIGTERM.
fn signal_number(name: &str) -> Option<i32> {
    const NAMES: [(&str, i32); 8] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", 15),
        ("WINCH", 28),
    ];
    let plain = name.strip_prefix("SIG").unwrap_or(name);
    let known = NAMES.iter().find(|(known, _)| *known == plain).map(|(_, number)| *number);
    known.or_else(|| plain.parse().ok()).filter(|number| (1..=64).contains(number))
}

/// Runs the hook that comes before the end, if there is one; within the grace period, because it may hang.
pub(super) async fn announce<R: Runtime>(
    context: &Arc<Context<R>>,
    pod: &Pod,
    container: &Container,
    address: Option<IpAddr>,
    grace: Duration,
) {
    let hook = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
    let Some(hook) = hook else { return };
    let run = hook::run(context, pod, container, hook, address);
    if let Ok(Err(error)) = timeout(grace, run).await {
        let message = format!("PreStopHook failed: {error}");
        let name = Some(container.name.as_str());
        context.recorder.note(pod, name, Severity::Warning, "FailedPreStopHook", message);
    }
}

/// Sends the signal by which a container is to end.
pub(super) async fn ask<R: Runtime>(context: &Arc<Context<R>>, pod: &Pod, container: &Container) {
    let id = ContainerId {
        pod: PodId(pod.metadata.uid.clone().unwrap_or_default()),
        name: container.name.clone(),
    };
    let signal = stop_signal(context, container).unwrap_or(SIGTERM);
    if let Err(error) = context.runtime.signal(&id, signal).await {
        debug!(%error, container = container.name, "asking a container to stop");
    }
}

fn stop_signal<R: Runtime>(context: &Arc<Context<R>>, container: &Container) -> Option<i32> {
    let image = context.images.resolve(container.image.as_deref()?).ok()??;
    signal_number(image.defaults.stop_signal.as_deref()?)
}

/// Ends one container of a pod that goes on: by word, and by force when the grace period is over. `ended` resolves when it has.
pub(super) async fn end<R: Runtime>(
    context: &Arc<Context<R>>,
    pod: &Pod,
    container: &Container,
    address: Option<IpAddr>,
    grace: Duration,
    ended: impl Future<Output = ()>,
) {
    let by_word = async {
        announce(context, pod, container, address, grace).await;
        ask(context, pod, container).await;
        ended.await;
    };
    if timeout(grace, by_word).await.is_ok() {
        return;
    }
    let id = ContainerId {
        pod: PodId(pod.metadata.uid.clone().unwrap_or_default()),
        name: container.name.clone(),
    };
    if let Err(error) = context.runtime.signal(&id, SIGKILL).await {
        debug!(%error, container = container.name, "ending a container");
    }
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(signal_number("SIGQUIT"), Some(3));
        assert_eq!(signal_number("TERM"), Some(15));
        assert_eq!(signal_number("37"), Some(37));
        assert_eq!(signal_number("0"), None);
        assert_eq!(signal_number("nonsense"), None);
    }
}
