//! Writes a pod's status, and its end.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use crate::{agent::context::Context, runtime::Runtime};

/// What became of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// It is there.
    Done,
    /// The pod isn't: another one has its name, or none.
    Gone,
    /// Not now; try again.
    Failed(Box<kube::Error>),
}

/// Judges an answer. A conflict may be about this pod or about another one that has its name by now: it is looked up.
async fn judge<R: Runtime, T>(
    context: &Arc<Context<R>>,
    pod: &Pod,
    answer: Result<T, kube::Error>,
) -> Written {
    let error = match answer {
        Ok(_) => return Written::Done,
        Err(error) => error,
    };
    match &error {
        kube::Error::Api(status) if status.code == 404 => Written::Gone,
        kube::Error::Api(status) if status.code == 409 => {
            match api(context, pod).get_opt(&pod.name_any()).await {
                Ok(now) if now.as_ref().is_none_or(|now| now.uid() != pod.uid()) => Written::Gone,
                _ => Written::Failed(Box::new(error)),
            }
        }
        _ => Written::Failed(Box::new(error)),
    }
}

/// One PATCH with everything that is ours. The uid makes it miss another pod of the same name.
pub(super) async fn status<R: Runtime>(
    context: &Arc<Context<R>>,
    pod: &Pod,
    status: &PodStatus,
) -> Written {
    let mut value = serde_json::to_value(status).unwrap_or(Value::Null);
    // In a merge patch, absent means unchanged: what is no longer so must be said.
    for name in ["reason", "message", "podIP", "podIPs"] {
        if value.get(name).is_none() {
            value[name] = Value::Null;
        }
    }
    let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": value });
    let params = PatchParams::default();
    let answer =
        api(context, pod).patch_status(&pod.name_any(), &params, &Patch::Merge(patch)).await;
    judge(context, pod, answer).await
}

/// Takes the object away after its containers have ended.
pub(super) async fn removal<R: Runtime>(context: &Arc<Context<R>>, pod: &Pod) -> Written {
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let answer = api(context, pod).delete(&pod.name_any(), &params).await;
    judge(context, pod, answer).await
}

fn api<R: Runtime>(context: &Arc<Context<R>>, pod: &Pod) -> Api<Pod> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Api::namespaced(context.client.clone(), namespace)
}
