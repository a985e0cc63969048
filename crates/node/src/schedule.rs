//! Whether a pod fits: requests of the pods that are here against what the node offers.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::{
    agent::Capacity,
    quantity::{milli, whole},
    runtime::Limits,
};

/// What a pod asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
}

impl Request {
    pub(crate) fn of_container(container: &Container) -> Self {
        let limits = limits(container);
        Self {
            cpu_millis: limits.cpu_request_millis.unwrap_or(0),
            memory_bytes: requested(container, "memory", whole)
                .or(limits.memory_bytes)
                .unwrap_or(0),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }

    pub(crate) fn most(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.max(other.cpu_millis),
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
        }
    }

    /// Containers run together; init containers one after the other, beside the sidecars started before them.
    pub(crate) fn of_pod(spec: &PodSpec) -> Self {
        let mut sidecars = Self::default();
        let mut peak = Self::default();
        for init in spec.init_containers.iter().flatten() {
            let own = Self::of_container(init);
            if init.restart_policy.as_deref() == Some("Always") {
                sidecars = sidecars.plus(own);
                peak = peak.most(sidecars);
            } else {
                peak = peak.most(sidecars.plus(own));
            }
        }
        let main = spec.containers.iter().map(Self::of_container).fold(Self::default(), Self::plus);
        peak.most(sidecars.plus(main))
    }
}

/// The limits of a container; a limit without a request is also the request.
pub(crate) fn limits(container: &Container) -> Limits {
    let limit = |name, read: fn(&str) -> Option<u64>| {
        quantity(container.resources.as_ref().and_then(|r| r.limits.as_ref()), name, read)
    };
    let cpu_millis = limit("cpu", milli);
    Limits {
        cpu_millis,
        cpu_request_millis: requested(container, "cpu", milli).or(cpu_millis),
        memory_bytes: limit("memory", whole),
        pids: None,
    }
}

fn requested(container: &Container, name: &str, read: fn(&str) -> Option<u64>) -> Option<u64> {
    quantity(container.resources.as_ref().and_then(|r| r.requests.as_ref()), name, read)
}

fn quantity(
    list: Option<&BTreeMap<String, Quantity>>,
    name: &str,
    read: fn(&str) -> Option<u64>,
) -> Option<u64> {
    list.and_then(|list| list.get(name)).and_then(|q| read(&q.0))
}

/// What is taken, and by how many pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) request: Request,
    pub(crate) pods: u32,
}

impl Taken {
    /// Adds one pod.
    pub(crate) fn add(&mut self, request: Request) {
        self.request = self.request.plus(request);
        self.pods = self.pods.saturating_add(1);
    }
}

/// Why a pod can't be placed, in the words that users search for.
pub(crate) fn unfit(
    pod: &Pod,
    request: Request,
    taken: Taken,
    capacity: Capacity,
    labels: &BTreeMap<String, String>,
) -> Option<String> {
    let mut reasons = Vec::new();
    let selector = pod.spec.as_ref().and_then(|s| s.node_selector.as_ref());
    if selector.into_iter().flatten().any(|(key, value)| labels.get(key) != Some(value)) {
        reasons.push("1 node(s) didn't match Pod's node affinity/selector");
    }
    if taken.pods >= capacity.pods {
        reasons.push("1 Too many pods");
    }
    let sum = taken.request.plus(request);
    if request.cpu_millis > 0 && sum.cpu_millis > capacity.cpu_millis {
        reasons.push("1 Insufficient cpu");
    }
    if request.memory_bytes > 0 && sum.memory_bytes > capacity.memory_bytes {
        reasons.push("1 Insufficient memory");
    }
    (!reasons.is_empty()).then(|| format!("0/1 nodes are available: {}.", reasons.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(serde_json::json!({ "metadata": {}, "spec": value })).unwrap()
    }

    fn request(value: serde_json::Value) -> Request {
        Request::of_pod(&pod(value).spec.unwrap())
    }

    fn container(name: &str, cpu: &str, memory: &str) -> serde_json::Value {
        serde_json::json!({
            "name": name, "resources": { "requests": { "cpu": cpu, "memory": memory } }
        })
    }

    #[test]
    fn containers_add_up_and_init_containers_count_by_their_peak() {
        let sum = request(serde_json::json!({
            "initContainers": [container("i", "2", "1Mi")],
            "containers": [container("a", "500m", "64Mi"), container("b", "1", "64Mi")],
        }));
        assert_eq!(sum, Request { cpu_millis: 2000, memory_bytes: 128 << 20 });
    }

    #[test]
    fn a_limit_is_the_request_unless_one_is_given() {
        let sum = request(serde_json::json!({ "containers": [{
            "name": "a",
            "resources": { "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "0.1" } }
        }]}));
        assert_eq!(sum, Request { cpu_millis: 100, memory_bytes: 1 << 30 });
    }

    #[test]
    fn a_pod_that_does_not_fit_hears_which_resource_is_short() {
        let capacity = Capacity { cpu_millis: 2000, memory_bytes: 1 << 30, pods: 2 };
        let big = pod(serde_json::json!({ "containers": [container("a", "1", "2Gi")] }));
        let ask = Request::of_pod(big.spec.as_ref().unwrap());
        let labels = BTreeMap::new();
        assert_eq!(
            unfit(&big, ask, Taken::default(), capacity, &labels).unwrap(),
            "0/1 nodes are available: 1 Insufficient memory."
        );
        let full = Taken { request: Request::default(), pods: 2 };
        let none = pod(serde_json::json!({ "containers": [{ "name": "a" }] }));
        assert_eq!(
            unfit(&none, Request::default(), full, capacity, &labels).unwrap(),
            "0/1 nodes are available: 1 Too many pods."
        );
        assert_eq!(unfit(&none, Request::default(), Taken::default(), capacity, &labels), None);
    }
}
