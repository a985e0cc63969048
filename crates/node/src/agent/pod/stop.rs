//! Stops containers: first by word (preStop, then the signal), then by force.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::{
    agent::{context::Context, recorder::Severity},
    runtime::{ContainerId, ExecSetup, PodId, Runtime},
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

/// Asks one container to end; within the grace period, because the hook may hang.
pub(super) async fn ask<R: Runtime>(
    context: &Arc<Context<R>>,
    pod: &Pod,
    container: &Container,
    grace: Duration,
) {
    let id = ContainerId {
        pod: PodId(pod.metadata.uid.clone().unwrap_or_default()),
        name: container.name.clone(),
    };
    let hook = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
    if let Some(hook) = hook {
        let run = async {
            if let Some(exec) = &hook.exec {
                let argv = exec.command.clone().unwrap_or_default();
                let setup = ExecSetup { argv, env: Default::default(), tty: false, stdin: false };
                let mut streams = context.runtime.exec(&id, setup).await?;
                // Nobody listens; closed ends must not block the hook.
                (streams.stdout, streams.stderr) = (None, None);
                streams.exit.await?;
            }
            if let Some(pause) = &hook.sleep {
                sleep(Duration::from_secs(u64::try_from(pause.seconds).unwrap_or(0))).await;
            }
            Ok::<(), crate::runtime::RuntimeError>(())
        };
        if let Ok(Err(error)) = timeout(grace, run).await {
            let message = format!("PreStopHook failed: {error}");
            let name = Some(container.name.as_str());
            context.recorder.note(pod, name, Severity::Warning, "FailedPreStopHook", message);
        }
    }
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
    grace: Duration,
    ended: impl Future<Output = ()>,
) {
    let by_word = async {
        ask(context, pod, container, grace).await;
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
