//! Reads the objects of a chain from the server and judges each.

use dialects::condition::{self, Condition};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::chain::{Link, Saying, State};
use crate::exit::Error;
use crate::verbs::connect::Server;
use crate::verbs::objects::{self, Claim, Pool, Sandbox, Scope};

/// A pool may have hundreds of sandboxes that are not ready, all for the same reason.
const MEMBERS_SHOWN: usize = 3;
/// The newest warnings tell the state; older ones tell history, for which there is `kubectl events`.
const EVENTS_SHOWN: usize = 3;

/// Reasons of a Ready condition that do not pass by themselves.
const WRONG_REASONS: [&str; 10] = [
    "InvalidMetadata",
    "EnvVarsInjectionRejected",
    "VolumeClaimTemplatesError",
    "ClaimExpired",
    "SandboxExpired",
    "TemplateNotFound",
    "WarmPoolNotFound",
    "PodFailed",
    "PodSucceeded",
    "MultiplePods",
];

/// Reasons of a container that waits in vain.
const WRONG_WAITS: [&str; 8] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// The chain of a claim: its pool, that one's template, and its sandbox.
pub async fn claim(server: &Server, name: &str) -> Result<Link, Error> {
    let object = format!("claim {}/{name}", server.namespace);
    let found = server.claims(Scope::Namespace).get_opt(name).await;
    let found = found.map_err(|e| server.explain(&object, "", e))?;
    let Some(claim) = found else {
        let next = "`kubectl get sandboxclaims -A` lists the claims";
        return Err(Error::not_found(object, next));
    };
    let mut link = judged(object, claim_conditions(&claim));
    if link.says.is_empty() {
        link.summary = "no controller has looked at it yet".into();
        link.state = State::Waiting;
    }
    link.says.extend(events(server, "SandboxClaim", name).await);
    // A bound claim no longer depends on its pool.
    match objects::claim_sandbox(&claim) {
        Some(bound) => {
            let sandbox = find_sandbox(server, &bound.name).await?;
            let missing = || Link::missing(format!("sandbox {}/{}", server.namespace, bound.name));
            link.depends_on.push(sandbox.unwrap_or_else(missing).related("holds"));
        }
        None => {
            let name = &claim.spec.warm_pool_ref.name;
            let missing = || Link::missing(format!("pool {}/{name}", server.namespace));
            let pool = find_pool(server, name).await?.unwrap_or_else(missing);
            link.depends_on.push(pool.related("takes from"));
        }
    }
    Ok(link)
}

/// The chain of a pool: its template, and some of its sandboxes that are not ready.
pub async fn pool(server: &Server, name: &str) -> Result<Link, Error> {
    let object = format!("pool {}/{name}", server.namespace);
    let next = "`sandbank pool ls -A` lists the pools";
    find_pool(server, name).await?.ok_or_else(|| Error::not_found(object, next))
}

/// The chain of a template: the pools that keep it warm.
pub async fn template(server: &Server, name: &str) -> Result<Link, Error> {
    let object = format!("template {}/{name}", server.namespace);
    if !server.template_exists(name).await? {
        let next = "`kubectl get sandboxtemplates -A` lists the templates";
        return Err(Error::not_found(object, next));
    }
    let pools = server.pools(Scope::Namespace).list(&ListParams::default()).await;
    let pools = pools.map_err(|e| server.explain("listing pools", "", e))?;
    let mut link = Link::new(object, "exists");
    for pool in pools.items.iter().filter(|p| p.spec.sandbox_template_ref.name == name) {
        let object = format!("pool {}", objects::full_name(&pool.metadata));
        link.depends_on.push(pool_link(server, object, pool).await?.related("is kept warm by"));
    }
    if link.depends_on.is_empty() {
        link.summary = "exists; no pool keeps it warm".into();
    }
    Ok(link)
}

/// The chain of a sandbox: its pod.
pub async fn sandbox(server: &Server, name: &str) -> Result<Link, Error> {
    let object = format!("sandbox {}/{name}", server.namespace);
    let next = "`kubectl get sandboxes -A` lists the sandboxes";
    find_sandbox(server, name).await?.ok_or_else(|| Error::not_found(object, next))
}

/// The chain of a pod: its containers.
pub async fn pod(server: &Server, name: &str) -> Result<Link, Error> {
    let object = format!("pod {}/{name}", server.namespace);
    let next = "`kubectl get pods -A` lists the pods";
    find_pod(server, name).await?.ok_or_else(|| Error::not_found(object, next))
}

async fn pool_link(server: &Server, object: String, pool: &Pool) -> Result<Link, Error> {
    let status = pool.status.clone().unwrap_or_default();
    let desired = pool.spec.replicas.unwrap_or(1);
    let summary = format!("{} of {desired} ready", status.ready_replicas);
    let mut link = Link::new(object, summary);
    link.says = status.conditions.iter().map(Saying::of_condition).collect();
    link.says.extend(events(server, "SandboxWarmPool", &pool.name_any()).await);
    if status.ready_replicas >= desired {
        return Ok(link);
    }
    link.state = State::Waiting;
    let template = &pool.spec.sandbox_template_ref.name;
    if !server.template_exists(template).await? {
        let object = format!("template {}/{template}", server.namespace);
        link.depends_on.push(Link::missing(object).related("keeps warm"));
        return Ok(link);
    }
    let selector = ListParams::default().labels(&status.selector);
    let members = match status.selector.is_empty() {
        true => Vec::new(),
        false => {
            server
                .sandboxes(Scope::Namespace)
                .list(&selector)
                .await
                .map_err(|e| server.explain("listing sandboxes", "", e))?
                .items
        }
    };
    for member in members.iter().filter(|m| !objects::sandbox_is_ready(m)).take(MEMBERS_SHOWN) {
        link.depends_on.push(sandbox_link(server, member).await?.related("starts"));
    }
    Ok(link)
}

async fn find_pool(server: &Server, name: &str) -> Result<Option<Link>, Error> {
    let object = format!("pool {}/{name}", server.namespace);
    let pool = server.pools(Scope::Namespace).get_opt(name).await;
    match pool.map_err(|e| server.explain(&object, "", e))? {
        Some(pool) => pool_link(server, object, &pool).await.map(Some),
        None => Ok(None),
    }
}

async fn find_sandbox(server: &Server, name: &str) -> Result<Option<Link>, Error> {
    let object = format!("sandbox {}/{name}", server.namespace);
    let sandbox = server.sandboxes(Scope::Namespace).get_opt(name).await;
    match sandbox.map_err(|e| server.explain(&object, "", e))? {
        Some(sandbox) => sandbox_link(server, &sandbox).await.map(Some),
        None => Ok(None),
    }
}

async fn sandbox_link(server: &Server, sandbox: &Sandbox) -> Result<Link, Error> {
    let object = format!("sandbox {}", objects::full_name(&sandbox.metadata));
    let conditions = sandbox.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let mut link = judged(object, conditions);
    if let Some(launch) = objects::launch_type(sandbox) {
        link.summary = format!("{} ({launch} start)", link.summary);
    }
    link.says.extend(events(server, "Sandbox", &sandbox.name_any()).await);
    let name = objects::pod_of(sandbox);
    let missing = || Link::missing(format!("pod {}/{name}", server.namespace));
    let pod = find_pod(server, &name).await?.unwrap_or_else(missing);
    link.depends_on.push(pod.related("runs as"));
    Ok(link)
}

async fn find_pod(server: &Server, name: &str) -> Result<Option<Link>, Error> {
    let object = format!("pod {}/{name}", server.namespace);
    let pod = server.pods().get_opt(name).await.map_err(|e| server.explain(&object, "", e))?;
    let Some(pod) = pod else { return Ok(None) };
    let mut link = judge_pod(object, &pod);
    if link.state != State::Well {
        link.says.extend(events(server, "Pod", name).await);
    }
    Ok(Some(link))
}

fn judge_pod(object: String, pod: &Pod) -> Link {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.unwrap_or_else(|| "not looked at by a node yet".into());
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let mut link = Link::new(object, phase.clone());
    link.state = match phase.as_str() {
        "Failed" | "Succeeded" => State::Wrong,
        _ if ready => State::Well,
        _ => State::Waiting,
    };
    if let Some(reason) = status.reason {
        let message = status.message.unwrap_or_default();
        link.says.push(Saying { about: "pod".into(), reason, message, count: None });
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses);
    for container in containers.flatten() {
        if let Some((state, saying)) = judge_container(container) {
            if state == State::Wrong {
                link.state = State::Wrong;
            }
            link.says.push(saying);
        }
    }
    for unmet in conditions.iter().filter(|c| c.status != "True" && c.reason.is_some()) {
        if unmet.reason.as_deref() == Some("Unschedulable") {
            link.state = State::Wrong;
        }
        link.says.push(Saying {
            about: format!("{} is {}", unmet.type_, unmet.status),
            reason: unmet.reason.clone().unwrap_or_default(),
            message: unmet.message.clone().unwrap_or_default(),
            count: None,
        });
    }
    link
}

/// What a container that does not run says of itself.
fn judge_container(container: &ContainerStatus) -> Option<(State, Saying)> {
    let about = format!("container {}", container.name);
    let state = container.state.as_ref()?;
    let saying = |reason: Option<&String>, message: Option<&String>| Saying {
        about: about.clone(),
        reason: reason.cloned().unwrap_or_default(),
        message: message.cloned().unwrap_or_default(),
        count: Some(container.restart_count),
    };
    if let Some(waiting) = &state.waiting {
        let in_vain = waiting.reason.as_deref().is_some_and(|r| WRONG_WAITS.contains(&r));
        let state = if in_vain { State::Wrong } else { State::Waiting };
        return Some((state, saying(waiting.reason.as_ref(), waiting.message.as_ref())));
    }
    let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let message = format!(
        "it ended with exit code {}{}",
        ended.exit_code,
        ended.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default()
    );
    Some((State::Wrong, saying(ended.reason.as_ref(), Some(&message))))
}

/// A link whose state and first words come from the Ready condition.
fn judged(object: String, conditions: &[Condition]) -> Link {
    let ready = condition::find(conditions, "Ready");
    let mut link = Link::new(object, "not ready");
    link.state = match ready {
        Some(ready) if ready.is_true() => State::Well,
        Some(ready) if WRONG_REASONS.contains(&ready.reason.as_str()) => State::Wrong,
        _ => State::Waiting,
    };
    if link.state == State::Well {
        link.summary = "ready".into();
    }
    let others = conditions.iter().filter(|c| c.kind != "Ready");
    link.says = ready.into_iter().chain(others).map(Saying::of_condition).collect();
    link
}

fn claim_conditions(claim: &Claim) -> &[Condition] {
    claim.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default()
}

/// The newest warnings about an object. Without the right to read events the chain is told without them.
async fn events(server: &Server, kind: &str, name: &str) -> Vec<Saying> {
    let events: Api<Event> = Api::namespaced(server.client.clone(), &server.namespace);
    let about_it = ListParams::default()
        .fields(&format!("involvedObject.kind={kind},involvedObject.name={name}"));
    let mut events = events.list(&about_it).await.map(|list| list.items).unwrap_or_default();
    events.retain(|event| event.type_.as_deref() == Some("Warning"));
    events.sort_by_key(|event| std::cmp::Reverse(last_seen(event)));
    let newest = events.into_iter().take(EVENTS_SHOWN);
    let saying = |event: Event| Saying {
        about: "event".into(),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
        count: event.series.and_then(|s| s.count).or(event.count),
    };
    newest.map(saying).collect()
}

fn last_seen(event: &Event) -> Option<jiff::Timestamp> {
    let in_series = event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
    let last = event.last_timestamp.as_ref().map(|t| t.0);
    in_series.or(last).or(event.event_time.as_ref().map(|t| t.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(status: serde_json::Value) -> Link {
        let pod = serde_json::json!({"metadata": {"name": "s"}, "status": status});
        judge_pod("pod default/s".into(), &serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_whose_image_cannot_be_had_is_wrong_and_says_which() {
        let link = pod(serde_json::json!({
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady",
                            "message": "containers with unready status: [shell]"}],
            "containerStatuses": [{"name": "shell", "image": "x", "imageID": "", "ready": false,
                "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no x is here"}}}],
        }));
        assert_eq!(link.state, State::Wrong);
        assert_eq!(
            (link.says[0].about.as_str(), link.says[0].message.as_str()),
            ("container shell", "no x is here")
        );
    }

    #[test]
    fn a_pod_without_room_is_wrong_and_one_that_starts_is_waiting() {
        let unschedulable = pod(serde_json::json!({
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                            "message": "Insufficient memory"}],
        }));
        assert_eq!(unschedulable.state, State::Wrong);
        assert_eq!(unschedulable.says[0].message, "Insufficient memory");
        assert_eq!(pod(serde_json::json!({"phase": "Pending"})).state, State::Waiting);
        assert_eq!(pod(serde_json::json!({})).state, State::Waiting);
    }

    #[test]
    fn the_ready_condition_is_told_first() {
        let condition = |kind: &str, status: &str, reason: &str| Condition {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            ..Condition::default()
        };
        let conditions = [
            condition("Suspended", "False", "NotSuspended"),
            condition("Ready", "False", "PodFailed"),
        ];
        let link = judged("sandbox default/s".into(), &conditions);
        assert_eq!((link.state, link.says[0].reason.as_str()), (State::Wrong, "PodFailed"));
    }
}
