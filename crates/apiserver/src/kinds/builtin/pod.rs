//! Pods: what is filled in, what is refused, and what can't change.

mod resize;
mod update;

use serde_json::{Value, json};

use super::{Hooks, default_to, probe};
use crate::rest::label_problem;
use crate::schema::FieldError;
use crate::schema::quantity::Quantity;

pub(crate) use resize::{errors as resize_errors, limit as limit_to_resize};

pub(super) const HOOKS: Hooks = Hooks {
    on_create,
    default,
    validate,
    fields: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ],
    ..Hooks::NONE
};

/// How long a pod stays on a node that is not ready or not reachable before it is evicted, unless it says otherwise.
const UNREADY_SECONDS: i64 = 300;

/// What is decided once, at creation: by default service account and tolerations.
fn on_create(pod: &mut Value) {
    pod["status"] = json!({"phase": "Pending"});
    let spec = &mut pod["spec"];
    if !spec.is_object() {
        return;
    }
    default_to(spec, "serviceAccountName", "default");
    default_to(spec, "priority", 0);
    default_to(spec, "preemptionPolicy", "PreemptLowerPriority");
    let account = spec["serviceAccountName"].clone();
    default_to(spec, "serviceAccount", account);
    default_to(spec, "tolerations", json!([]));
    let Some(tolerations) = spec["tolerations"].as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covered = tolerations.iter().any(|toleration| {
            let its = toleration["key"].as_str().unwrap_or_default();
            let effect = toleration["effect"].as_str().unwrap_or_default();
            (its == key || its.is_empty()) && matches!(effect, "" | "NoExecute")
        });
        if !covered {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": UNREADY_SECONDS,
            }));
        }
    }
}

fn default(pod: &mut Value) {
    let spec = &mut pod["spec"];
    if !spec.is_object() {
        return;
    }
    default_to(spec, "restartPolicy", "Always");
    default_to(spec, "terminationGracePeriodSeconds", 30);
    default_to(spec, "dnsPolicy", "ClusterFirst");
    default_to(spec, "schedulerName", "default-scheduler");
    default_to(spec, "securityContext", json!({}));
    default_to(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for container in containers {
            default_container(container);
        }
    }
    if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
        for volume in volumes {
            default_volume(volume);
        }
    }
    let class = quality_of_service(spec);
    if pod["status"]["qosClass"].is_null() {
        pod["status"]["qosClass"] = class.into();
    }
}

fn default_container(container: &mut Value) {
    default_to(container, "terminationMessagePath", "/dev/termination-log");
    default_to(container, "terminationMessagePolicy", "File");
    default_to(container, "resources", json!({}));
    let policy = match container["image"].as_str().unwrap_or_default() {
        image if is_latest(image) => "Always",
        _ => "IfNotPresent",
    };
    default_to(container, "imagePullPolicy", policy);
    if let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) {
        for port in ports {
            default_to(port, "protocol", "TCP");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) {
            default_probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        let get = container.pointer_mut(&format!("/lifecycle/{hook}/httpGet"));
        if let Some(get) = get.filter(|get| get.is_object()) {
            default_get(get);
        }
    }
    if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
        for reference in env.iter_mut().filter_map(|entry| entry.pointer_mut("/valueFrom/fieldRef"))
        {
            default_to(reference, "apiVersion", "v1");
        }
    }
    // A limit without a request asks for all of it.
    let Some(resources) = container.get_mut("resources") else { return };
    let limits = resources["limits"].as_object().cloned().unwrap_or_default();
    for (name, limit) in limits {
        if !resources["requests"].is_object() {
            resources["requests"] = json!({});
        }
        default_to(&mut resources["requests"], &name, limit);
    }
}

fn default_probe(probe: &mut Value) {
    default_to(probe, "timeoutSeconds", 1);
    default_to(probe, "periodSeconds", 10);
    default_to(probe, "successThreshold", 1);
    default_to(probe, "failureThreshold", 3);
    if let Some(get) = probe.get_mut("httpGet").filter(|get| get.is_object()) {
        default_get(get);
    }
}

fn default_get(get: &mut Value) {
    default_to(get, "path", "/");
    default_to(get, "scheme", "HTTP");
}

fn default_volume(volume: &mut Value) {
    let sources = volume.as_object().map_or(0, |members| members.len());
    if sources == 1 {
        // A name and nothing else is an empty directory.
        volume["emptyDir"] = json!({});
    }
    for (source, mode) in
        [("secret", 0o644), ("configMap", 0o644), ("projected", 0o644), ("downwardAPI", 0o644)]
    {
        if let Some(source) = volume.get_mut(source).filter(|source| source.is_object()) {
            default_to(source, "defaultMode", mode);
        }
    }
    if let Some(path) = volume.get_mut("hostPath").filter(|path| path.is_object()) {
        default_to(path, "type", "");
    }
}

fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    match image.rsplit('/').next().unwrap_or_default().rsplit_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

/// Guaranteed if every container limits cpu and memory and asks for as much; BestEffort if none asks for anything.
fn quality_of_service(spec: &Value) -> &'static str {
    let lists = ["initContainers", "containers"];
    let containers = lists.iter().flat_map(|list| spec[*list].as_array().into_iter().flatten());
    let (mut any, mut all) = (false, true);
    for container in containers {
        let resources = &container["resources"];
        for name in ["cpu", "memory"] {
            let (limit, request) = (&resources["limits"][name], &resources["requests"][name]);
            any |= !limit.is_null() || !request.is_null();
            all &= !limit.is_null() && amount(limit) == amount(request);
        }
    }
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn amount(quantity: &Value) -> Option<i128> {
    let text = match quantity {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    text.parse::<Quantity>().ok().map(Quantity::milli)
}

fn validate(pod: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &pod["spec"];
    let mut errors = Vec::new();
    if let Some(old) = old {
        update::check(pod, old, &mut errors);
        return errors;
    }
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.push(FieldError::required("spec.containers", ""));
    }
    let volumes: Vec<&str> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["name"].as_str())
        .collect();
    for (index, name) in volumes.iter().enumerate() {
        if volumes[..index].contains(name) {
            errors
                .push(FieldError::duplicate(format!("spec.volumes[{index}].name"), (*name).into()));
        }
    }
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let sources = volume.as_object().into_iter().flatten().filter(|(name, _)| *name != "name");
        for (source, _) in sources.skip(1) {
            let path = format!("spec.volumes[{index}].{source}");
            errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type"));
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            let path = format!("spec.{list}[{index}]");
            check_container(container, &path, &volumes, &mut errors);
            let name = container["name"].as_str().unwrap_or_default();
            if !name.is_empty() && names.contains(&name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), name.into()));
            }
            names.push(name);
        }
    }
    one_of(spec, "restartPolicy", "spec", &["Always", "Never", "OnFailure"], &mut errors);
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    one_of(spec, "dnsPolicy", "spec", &policies, &mut errors);
    let negative = |seconds: &i64| *seconds < 0;
    if let Some(seconds) = spec["terminationGracePeriodSeconds"].as_i64().filter(negative) {
        let detail = "must be greater than or equal to 0";
        let path = "spec.terminationGracePeriodSeconds";
        errors.push(FieldError::invalid(path, seconds.into(), detail));
    }
    let deadlines = 1..=update::MAX_DEADLINE;
    let deadline = spec["activeDeadlineSeconds"].as_i64();
    if let Some(seconds) = deadline.filter(|seconds| !deadlines.contains(seconds)) {
        let detail = format!("must be between 1 and {}, inclusive", update::MAX_DEADLINE);
        errors.push(FieldError::invalid("spec.activeDeadlineSeconds", seconds.into(), detail));
    }
    errors
}

fn check_container(container: &Value, path: &str, volumes: &[&str], errors: &mut Vec<FieldError>) {
    let name = container["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else if let Some(problem) = label_problem(name) {
        errors.push(FieldError::invalid(format!("{path}.name"), name.into(), problem));
    }
    let image = container["image"].as_str().unwrap_or_default();
    if image.is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(format!("{path}.image"), image.into(), detail));
    }
    one_of(container, "imagePullPolicy", path, &["Always", "IfNotPresent", "Never"], errors);
    for (index, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let number = port["containerPort"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            let path = format!("{path}.ports[{index}].containerPort");
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(path, number.into(), detail));
        }
    }
    for (index, entry) in container["env"].as_array().into_iter().flatten().enumerate() {
        let name = entry["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}.env[{index}].name"), ""));
        } else if !name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=') {
            let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
            errors.push(FieldError::invalid(
                format!("{path}.env[{index}].name"),
                name.into(),
                detail,
            ));
        }
        if !entry["value"].as_str().unwrap_or_default().is_empty() && entry["valueFrom"].is_object()
        {
            let path = format!("{path}.env[{index}].valueFrom");
            let detail = "may not be specified when `value` is not empty";
            errors.push(FieldError::invalid(path, "".into(), detail));
        }
    }
    let mounts = container["volumeMounts"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, mount) in mounts.iter().enumerate() {
        let name = mount["name"].as_str().unwrap_or_default();
        if !volumes.contains(&name) {
            let path = format!("{path}.volumeMounts[{index}].name");
            let detail = "no volume of the pod has this name";
            errors.push(FieldError::invalid(path, name.into(), detail));
        }
        let place = mount["mountPath"].as_str().unwrap_or_default();
        if place.is_empty() {
            errors
                .push(FieldError::required(format!("{path}.volumeMounts[{index}].mountPath"), ""));
        } else if mounts[..index].iter().any(|other| other["mountPath"] == place) {
            let path = format!("{path}.volumeMounts[{index}].mountPath");
            errors.push(FieldError::invalid(path, place.into(), "must be unique"));
        }
    }
    probe::check(container, path, errors);
    check_resources(&container["resources"], path, errors);
}

fn check_resources(resources: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for list in ["limits", "requests"] {
        for (name, quantity) in resources[list].as_object().into_iter().flatten() {
            if amount(quantity).is_some_and(|amount| amount < 0) {
                let path = format!("{path}.resources.{list}[{name}]");
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(path, quantity.clone(), detail));
            }
        }
    }
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][name];
        if let (Some(request_amount), Some(limit_amount)) = (amount(request), amount(limit))
            && request_amount > limit_amount
        {
            let shown = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
            errors.push(FieldError::invalid(
                format!("{path}.resources.requests"),
                request.clone(),
                format!("must be less than or equal to {name} limit of {shown}"),
            ));
        }
    }
}

fn one_of(
    value: &Value,
    member: &str,
    path: &str,
    allowed: &[&'static str],
    errors: &mut Vec<FieldError>,
) {
    let found = &value[member];
    if !found.is_null() && !allowed.iter().any(|allowed| found == allowed) {
        let allowed = allowed.iter().copied();
        errors.push(FieldError::not_supported(format!("{path}.{member}"), found.clone(), allowed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(spec: Value) -> Value {
        let mut pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
        on_create(&mut pod);
        default(&mut pod);
        pod
    }

    #[test]
    fn quality_follows_from_requests_and_limits() {
        for (resources, class) in [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), "Guaranteed"),
            (json!({"limits": {"cpu": "1"}}), "Burstable"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}),
                "Guaranteed",
            ),
        ] {
            let pod = created(
                json!({"containers": [{"name": "a", "image": "i:1", "resources": resources}]}),
            );
            assert_eq!(pod["status"]["qosClass"], class, "{resources}");
        }
    }

    #[test]
    fn images_without_a_tag_are_pulled_always() {
        for (image, latest) in [
            ("a", true),
            ("a:latest", true),
            ("r:5000/a", true),
            ("r:5000/a:1", false),
            ("a@sha256:0", false),
        ] {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }

    #[test]
    fn requests_above_limits_name_the_resource_and_the_limit() {
        let pod = created(json!({"containers": [{"name": "a", "image": "i", "resources":
            {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}));
        let errors = validate(&pod, None);
        assert_eq!(
            errors[0].to_string(),
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"
        );
    }
}
