//! From a pod object and a request's parameters to the container that is meant.

use serde_json::Value;

use super::{ContainerRef, Params};
use crate::{object::Object, status::ApiError};

/// A pod as far as streams care: which containers it has and where it was bound.
pub(super) struct Target {
    name: String,
    namespace: String,
    uid: String,
    node: String,
    containers: Vec<String>,
    others: Vec<String>,
}

impl Target {
    pub(super) fn of(pod: &Object) -> Self {
        let value = pod.value();
        let spec = &value["spec"];
        let mut others = names(&spec["initContainers"]);
        others.extend(names(&spec["ephemeralContainers"]));
        Self {
            name: pod.meta().name.clone(),
            namespace: pod.meta().namespace.clone(),
            uid: pod.meta().uid.clone(),
            node: spec["nodeName"].as_str().unwrap_or_default().to_owned(),
            containers: names(&spec["containers"]),
            others,
        }
    }

    /// Whether the pod was given to a node.
    pub(super) fn is_bound(&self) -> bool {
        !self.node.is_empty()
    }

    /// The container that the parameters name, or the only one.
    pub(super) fn container(&self, params: &Params) -> Result<String, ApiError> {
        match (params.text("container"), self.containers.as_slice()) {
            (Some(named), _) => {
                let known = self.containers.iter().chain(&self.others).any(|known| known == named);
                let message = format!("container {named} is not valid for pod {}", self.name);
                if known { Ok(named.to_owned()) } else { Err(ApiError::bad_request(message)) }
            }
            (None, [only]) => Ok(only.clone()),
            (None, containers) => {
                let mut message = format!(
                    "a container name must be specified for pod {}, choose one of: [{}]",
                    self.name,
                    containers.join(" ")
                );
                if !self.others.is_empty() {
                    message.push_str(&format!(
                        " or one of the init containers: [{}]",
                        self.others.join(" ")
                    ));
                }
                Err(ApiError::bad_request(message))
            }
        }
    }

    /// Where the named container runs.
    pub(super) fn locate(self, container: String) -> Result<ContainerRef, ApiError> {
        if !self.is_bound() {
            let message = format!("pod {} does not have a host assigned", self.name);
            return Err(ApiError::bad_request(message));
        }
        Ok(ContainerRef {
            namespace: self.namespace,
            pod: self.name,
            uid: self.uid,
            node: self.node,
            container,
        })
    }
}

fn names(containers: &Value) -> Vec<String> {
    containers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .map(str::to_owned)
        .collect()
}
