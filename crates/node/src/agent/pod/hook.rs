//! Lifecycle hooks: what a container is told when it has begun, and before it ends.

use std::{net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use tokio::time::sleep;

use crate::{
    agent::context::Context,
    probe,
    runtime::{ContainerId, ExecSetup, PodId, Runtime, RuntimeError},
};

/// How hooks introduce themselves to servers.
const AGENT: &str = "kube-lifecycle/sandbank";

/// Why a hook has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// The command could not be run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The command has failed.
    #[error("the command exited with {0}")]
    Exited(i32),
    /// Nobody answered.
    #[error("{0}")]
    Unanswered(String),
}

/// Runs a hook to its end. Whoever waits bounds the time.
pub(super) async fn run<R: Runtime>(
    context: &Arc<Context<R>>,
    pod: &Pod,
    container: &Container,
    hook: &LifecycleHandler,
    address: Option<IpAddr>,
) -> Result<(), HookError> {
    if let Some(exec) = &hook.exec {
        let id = ContainerId {
            pod: PodId(pod.metadata.uid.clone().unwrap_or_default()),
            name: container.name.clone(),
        };
        let argv = exec.command.clone().unwrap_or_default();
        let setup = ExecSetup { argv, env: Default::default(), tty: false, stdin: false };
        let mut streams = context.runtime.exec(&id, setup).await?;
        // Nobody listens; closed ends must not block the hook.
        (streams.stdout, streams.stderr) = (None, None);
        let code = streams.exit.await?.code;
        return if code == 0 { Ok(()) } else { Err(HookError::Exited(code)) };
    }
    if let Some(get) = &hook.http_get {
        // Whatever is answered, it was heard.
        let answer = probe::http_get(&context.runtime, container, get, address, AGENT).await;
        return answer.map(drop).map_err(HookError::Unanswered);
    }
    if let Some(pause) = &hook.sleep {
        sleep(Duration::from_secs(u64::try_from(pause.seconds).unwrap_or(0))).await;
    }
    Ok(())
}
