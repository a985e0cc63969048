//! What a claim changes about its sandboxes, and whether it can.

use super::keys;
use super::resources::{Quantity, Service};
use super::types::{InplaceUpdate, PodTemplate, SandboxClaim};
use engine::batch::Content;
use serde_json::Value;

/// The amounts that a running container can be given more or less of.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

impl SandboxClaim {
    /// The change of the first container, if one is asked for.
    pub fn change(&self) -> Option<&InplaceUpdate> {
        self.spec.inplace_update.as_ref().filter(|change| **change != InplaceUpdate::default())
    }

    /// The judgement on what the claim says about its sandboxes. `template` is what the set's sandboxes run, where it is known; `refers` whether they only refer to it.
    pub fn content(&self, template: Option<&PodTemplate>, refers: Option<&str>) -> Content {
        for (pairs, what) in
            [(&self.spec.labels, "labels"), (&self.spec.annotations, "annotations")]
        {
            if pairs.contains_key(keys::SANDBOX_ID) {
                return Content::Refused(format!("{what} may not set {}", keys::SANDBOX_ID));
            }
        }
        let (Some(change), Some(template)) = (self.change(), template) else {
            return Content::Plain;
        };
        if let Some(name) = refers {
            return Content::Refused(format!(
                "inplaceUpdate: sandboxes of this set refer to SandboxTemplate {name:?}, so none of them can be changed alone"
            ));
        }
        match changed(&template.spec, change) {
            Ok(_) => Content::Plain,
            Err(message) => Content::Refused(format!("inplaceUpdate: {message}")),
        }
    }
}

/// The pod spec with the change made.
///
/// # Errors
/// If a running pod can't be changed so: what is wrong, in a sentence.
pub fn changed(pod_spec: &Value, change: &InplaceUpdate) -> Result<Value, String> {
    let mut spec = pod_spec.clone();
    let Some(container) = spec["containers"].get_mut(0) else {
        return Err("the set's template has no container".to_owned());
    };
    let name = container["name"].as_str().unwrap_or_default().to_owned();
    if !change.image.is_empty() {
        container["image"] = Value::String(change.image.clone());
    }
    for (kind, amounts) in
        [("requests", &change.resources.requests), ("limits", &change.resources.limits)]
    {
        for (key, amount) in amounts {
            if !RESIZABLE.contains(&key.as_str()) {
                return Err(format!(
                    "{kind}.{key} can't be changed in a running pod; cpu and memory can"
                ));
            }
            if Quantity::parse(amount).is_none() {
                return Err(format!("{kind}.{key}: {amount} is not an amount"));
            }
            let Some(has) = container["resources"][kind].get_mut(key) else {
                return Err(format!("container {name} has no {kind}.{key} that could be changed"));
            };
            *has = amount.clone();
        }
    }
    for key in RESIZABLE {
        let amount = |kind: &str| Quantity::parse(&container["resources"][kind][key]);
        if let (Some(request), Some(limit)) = (amount("requests"), amount("limits"))
            && request > limit
        {
            return Err(format!("container {name} would ask for more {key} than its limit"));
        }
    }
    let (before, after) = (Service::of(pod_spec), Service::of(&spec));
    if before != after {
        return Err(format!(
            "the pod's class of service would change from {} to {}, which a running pod can't",
            before.as_str(),
            after.as_str()
        ));
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_a_running_pod_can_take_is_accepted() {
        let template = json!({"containers": [
            {"name": "m", "image": "a:1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1"}}},
            {"name": "n", "image": "b:1"},
        ]});
        let table = [
            (json!({"image": "a:2"}), None),
            (json!({"resources": {"requests": {"cpu": "200m"}}}), None),
            (json!({"resources": {"requests": {"cpu": "200m"}, "limits": {"cpu": 2}}}), None),
            (json!({"resources": {"requests": {"memory": "128Mi"}}}), None),
            (json!({"resources": {"limits": {"memory": "128Mi"}}}), Some("has no limits.memory")),
            (
                json!({"resources": {"requests": {"gpu": "1"}}}),
                Some("requests.gpu can't be changed"),
            ),
            (json!({"resources": {"requests": {"cpu": "lots"}}}), Some("is not an amount")),
            (json!({"resources": {"requests": {"cpu": "3"}}}), Some("more cpu than its limit")),
        ];
        for (change, wrong) in table {
            let change: InplaceUpdate = serde_json::from_value(change).unwrap();
            match (changed(&template, &change), wrong) {
                (Ok(spec), None) => {
                    assert_eq!(spec["containers"][1], template["containers"][1]);
                    assert_ne!(spec, template);
                }
                (Err(message), Some(part)) => assert!(message.contains(part), "{message}"),
                (other, expected) => panic!("{change:?}: {other:?} instead of {expected:?}"),
            }
        }
    }

    #[test]
    fn the_class_of_service_stays() {
        let exact = json!({"cpu": "1", "memory": "1Gi"});
        let template = json!({"containers": [{"name": "m", "resources": {"requests": exact, "limits": exact}}]});
        let change = |value: Value| serde_json::from_value::<InplaceUpdate>(value).unwrap();
        let both = change(json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}));
        assert!(changed(&template, &both).is_ok());
        let half = change(json!({"resources": {"requests": {"cpu": "500m"}}}));
        let message = changed(&template, &half).unwrap_err();
        assert!(message.contains("from Guaranteed to Burstable"), "{message}");
    }
}
