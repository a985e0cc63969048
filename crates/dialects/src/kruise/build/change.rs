//! How a pod compares with what its Sandbox asks for now, and the patches that bring a running one there.
//!
//! Only four things of a running pod can change: labels, annotations, the images of its containers, and what they may use. Whether anything else differs is told by a
//! hash that the pod carries since it was made.

use super::pod;
use crate::condition::find;
use crate::kruise::resources::{Quantity, Service};
use crate::kruise::types::Sandbox;
use crate::kruise::{keys, revision};
use crate::pod::{Container, Pod};
use engine::lifecycle::{Fit, Fixed, Progress, ResourceDrift};
use engine::sandbox::Drift;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a pod carries of its last change in place: how its containers were before, so that it can be seen when each is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct State {
    revision: String,
    update_timestamp: Option<Timestamp>,
    last_container_statuses: BTreeMap<String, Before>,
}

/// How a container was before it was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Before {
    #[serde(rename = "imageID")]
    image_id: String,
    /// The same image under another name starts another container all the same.
    #[serde(rename = "containerID")]
    container_id: String,
}

/// How a pod compares with what its sandbox asks for.
pub fn fit(sandbox: &Sandbox, pod: &Pod) -> Fit {
    let wanted = sandbox.revision();
    let has = pod.metadata.labels.get(keys::POD_TEMPLATE_HASH);
    let old = has != Some(&wanted);
    let differs = |differs: bool| if differs { Drift::Differs } else { Drift::None };
    let fixed = match pod.metadata.annotations.get(keys::HASH_IMMUTABLE_PART) {
        // Nothing changed since it was made; the hash is over the whole template, and most looks are about something else.
        _ if !old => Fixed::Same,
        None => Fixed::Unknown,
        Some(hash) if *hash == revision::immutable_part(&sandbox.spec.block) => Fixed::Same,
        Some(_) => Fixed::Differs,
    };
    Fit {
        revision: differs(old),
        fixed,
        metadata: differs(!pod::changes(sandbox, &pod.metadata).is_empty()),
        images: differs(old && !other_images(sandbox, pod).is_empty()),
        resources: if old { resources(sandbox, pod) } else { ResourceDrift::None },
        progress: progress(pod),
    }
}

/// The containers of the template, with the pod's container of the same name.
fn pairs<'a>(
    sandbox: &'a Sandbox,
    pod: &'a Pod,
) -> impl Iterator<Item = (&'a Value, &'a Container)> {
    let template = sandbox.spec.block.template.as_ref();
    let containers = template.and_then(|template| template.spec["containers"].as_array());
    containers.into_iter().flatten().filter_map(|container| {
        let name = container["name"].as_str()?;
        pod.spec.containers.iter().find(|c| c.name == name).map(|found| (container, found))
    })
}

/// Names and wanted images of the containers that have another one.
fn other_images<'a>(sandbox: &'a Sandbox, pod: &'a Pod) -> Vec<(&'a str, &'a str)> {
    pairs(sandbox, pod)
        .filter_map(|(wanted, has)| Some((has.name.as_str(), wanted["image"].as_str()?, has)))
        .filter(|(_, image, has)| *image != has.image)
        .map(|(name, image, _)| (name, image))
        .collect()
}

/// Names and wanted resources of the containers that have others.
fn other_resources<'a>(sandbox: &'a Sandbox, pod: &'a Pod) -> Vec<(&'a str, Value)> {
    pairs(sandbox, pod)
        .map(|(wanted, has)| {
            (has.name.as_str(), filled(&wanted["resources"]), filled(&has.resources))
        })
        .filter(|(_, wanted, has)| amounts(wanted) != amounts(has))
        .map(|(name, wanted, _)| {
            (name, json!({"requests": wanted["requests"], "limits": wanted["limits"]}))
        })
        .collect()
}

/// Resources with the requests that a server makes of limits.
fn filled(resources: &Value) -> Value {
    let map = |kind: &str| resources[kind].as_object().cloned().unwrap_or_default();
    let (mut requests, limits) = (map("requests"), map("limits"));
    for (name, amount) in &limits {
        requests.entry(name.clone()).or_insert_with(|| amount.clone());
    }
    json!({"requests": requests, "limits": limits})
}

/// What resources mean, whatever the spelling of their amounts.
fn amounts(resources: &Value) -> BTreeMap<(String, String), Option<Quantity>> {
    let members = |kind: &'static str| {
        let map = resources[kind].as_object();
        map.into_iter()
            .flatten()
            .map(move |(name, amount)| ((kind.to_owned(), name.clone()), Quantity::parse(amount)))
    };
    members("requests").chain(members("limits")).collect()
}

fn resources(sandbox: &Sandbox, pod: &Pod) -> ResourceDrift {
    let others = other_resources(sandbox, pod);
    if others.is_empty() {
        return ResourceDrift::None;
    }
    for (name, wanted) in &others {
        let has = pod.spec.containers.iter().find(|container| container.name == *name);
        let has = amounts(&filled(has.map_or(&Value::Null, |container| &container.resources)));
        let wanted = amounts(wanted);
        if let Some((kind, resource)) = has.keys().find(|key| !wanted.contains_key(*key)) {
            return ResourceDrift::Refused(format!(
                "resources.{kind}.{resource} of container {name} can't be taken away while the pod runs"
            ));
        }
        let known = |resource: &str| matches!(resource, "cpu" | "memory");
        let changed = wanted.iter().filter(|(key, amount)| has.get(*key) != Some(amount));
        if let Some(((kind, resource), _)) = changed.into_iter().find(|((_, r), _)| !known(r)) {
            return ResourceDrift::Refused(format!(
                "resources.{kind}.{resource} of container {name} can't be changed while the pod runs; cpu and memory can"
            ));
        }
    }
    let template = sandbox.spec.block.template.as_ref();
    let after = template.map(|template| Service::of(&template.spec));
    let inits = template.map_or(&Value::Null, |template| &template.spec["initContainers"]);
    let before = Service::of(&json!({
        "containers": pod.spec.containers.iter().map(|c| json!({"resources": c.resources})).collect::<Vec<_>>(),
        "initContainers": inits,
    }));
    match after {
        Some(after) if after != before => ResourceDrift::Refused(format!(
            "the change would move the pod from QoS class {} to {}, which no running pod can",
            before.as_str(),
            after.as_str()
        )),
        _ => ResourceDrift::Differs,
    }
}

/// How far the last change in place got.
fn progress(pod: &Pod) -> Option<Progress> {
    let state: State =
        serde_json::from_str(pod.metadata.annotations.get(keys::INPLACE_UPDATE_STATE)?).ok()?;
    if pod.metadata.labels.get(keys::POD_TEMPLATE_HASH) != Some(&state.revision) {
        return None;
    }
    let status = |name: &str| pod.status.container_statuses.iter().find(|c| c.name == name);
    let started = state.last_container_statuses.iter().all(|(name, before)| {
        status(name).is_some_and(|now| {
            let another =
                now.image_id != before.image_id || now.container_id != before.container_id;
            another && now.state.running.is_some()
        })
    });
    let given = pod.spec.containers.iter().all(|container| {
        let Some(now) = status(&container.name).filter(|now| now.resources.is_object()) else {
            // A node that does not say what it gave can't be waited for.
            return true;
        };
        let (wanted, has) =
            (amounts(&filled(&container.resources)), amounts(&filled(&now.resources)));
        wanted.iter().all(|(key, amount)| has.get(key) == Some(amount))
    });
    if !given
        && let Some(pending) = find(&pod.status.conditions, "PodResizePending")
        && matches!(pending.reason.as_str(), "Infeasible" | "Deferred")
    {
        let why = format!("the resize is infeasible now ({}): {}", pending.reason, pending.message);
        return Some(Progress::Infeasible(why));
    }
    Some(if started && given { Progress::Done } else { Progress::Going })
}

/// The strategic merge patch that changes images, labels and annotations of a running pod, and notes how its containers are now.
pub fn containers(sandbox: &Sandbox, pod: &Pod, now: Timestamp) -> Value {
    let images = other_images(sandbox, pod);
    let before = |name: &str| {
        let status = pod.status.container_statuses.iter().find(|c| c.name == name);
        status
            .map(|c| Before { image_id: c.image_id.clone(), container_id: c.container_id.clone() })
            .unwrap_or_default()
    };
    let state = State {
        revision: sandbox.revision(),
        update_timestamp: Some(crate::condition::to_second(now)),
        last_container_statuses: images
            .iter()
            .map(|(name, _)| ((*name).to_owned(), before(name)))
            .collect(),
    };
    let mut metadata = pod::changes(sandbox, &pod.metadata);
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    annotations[keys::INPLACE_UPDATE_STATE] = json!(json!(state).to_string());
    metadata.insert("uid".to_owned(), json!(pod.metadata.uid));
    let mut patch = json!({ "metadata": metadata });
    if !images.is_empty() {
        let containers: Vec<Value> =
            images.iter().map(|(name, image)| json!({"name": name, "image": image})).collect();
        patch["spec"] = json!({ "containers": containers });
    }
    patch
}

/// The strategic merge patch for what the containers of a running pod may use; `None` if that is right.
pub fn resize(sandbox: &Sandbox, pod: &Pod) -> Option<Value> {
    let others = other_resources(sandbox, pod);
    let containers: Vec<Value> = others
        .into_iter()
        .map(|(name, resources)| json!({"name": name, "resources": resources}))
        .collect();
    (!containers.is_empty()).then(|| {
        json!({
            "metadata": {"uid": pod.metadata.uid},
            "spec": {"containers": containers},
        })
    })
}
