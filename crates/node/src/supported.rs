//! The one list of pod fields that this node does. What a pod asks for beyond it is refused by name, never ignored.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

/// Fields with all that is below them. `[]` stands for every element of a list. Containers and init containers share one list.
///
/// Placement preferences are here because one node satisfies them, or is asked for them when a pod is placed.
const SUPPORTED: &str = "
activeDeadlineSeconds
affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution
affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution
affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution
automountServiceAccountToken
containers[].args
containers[].command
containers[].env[].name
containers[].env[].value
containers[].env[].valueFrom.configMapKeyRef
containers[].env[].valueFrom.fieldRef
containers[].env[].valueFrom.resourceFieldRef
containers[].env[].valueFrom.secretKeyRef
containers[].envFrom
containers[].image
containers[].imagePullPolicy
containers[].lifecycle.postStart.exec
containers[].lifecycle.postStart.httpGet.host
containers[].lifecycle.postStart.httpGet.httpHeaders
containers[].lifecycle.postStart.httpGet.path
containers[].lifecycle.postStart.httpGet.port
containers[].lifecycle.postStart.sleep
containers[].lifecycle.preStop.exec
containers[].lifecycle.preStop.httpGet.host
containers[].lifecycle.preStop.httpGet.httpHeaders
containers[].lifecycle.preStop.httpGet.path
containers[].lifecycle.preStop.httpGet.port
containers[].lifecycle.preStop.sleep
containers[].livenessProbe.exec
containers[].livenessProbe.failureThreshold
containers[].livenessProbe.httpGet.host
containers[].livenessProbe.httpGet.httpHeaders
containers[].livenessProbe.httpGet.path
containers[].livenessProbe.httpGet.port
containers[].livenessProbe.initialDelaySeconds
containers[].livenessProbe.periodSeconds
containers[].livenessProbe.successThreshold
containers[].livenessProbe.tcpSocket
containers[].livenessProbe.timeoutSeconds
containers[].name
containers[].ports[].containerPort
containers[].ports[].name
containers[].ports[].protocol
containers[].resources.limits.cpu
containers[].resources.limits.memory
containers[].resources.requests.cpu
containers[].resources.requests.ephemeral-storage
containers[].resources.requests.memory
containers[].resizePolicy
containers[].restartPolicy
containers[].securityContext.allowPrivilegeEscalation
containers[].securityContext.capabilities
containers[].securityContext.privileged
containers[].securityContext.readOnlyRootFilesystem
containers[].securityContext.runAsGroup
containers[].securityContext.runAsNonRoot
containers[].securityContext.runAsUser
containers[].securityContext.seccompProfile.type
containers[].stdin
containers[].stdinOnce
containers[].terminationMessagePath
containers[].terminationMessagePolicy
containers[].tty
containers[].volumeMounts[].mountPath
containers[].volumeMounts[].mountPropagation
containers[].volumeMounts[].name
containers[].volumeMounts[].readOnly
containers[].volumeMounts[].subPath
containers[].volumeMounts[].subPathExpr
containers[].workingDir
dnsConfig
dnsPolicy
enableServiceLinks
hostAliases
hostNetwork
hostUsers
hostname
imagePullSecrets
nodeName
nodeSelector
os.name
preemptionPolicy
priority
priorityClassName
readinessGates
restartPolicy
runtimeClassName
schedulerName
securityContext.fsGroup
securityContext.fsGroupChangePolicy
securityContext.runAsGroup
securityContext.runAsNonRoot
securityContext.runAsUser
securityContext.seccompProfile.type
securityContext.supplementalGroups
securityContext.supplementalGroupsPolicy
serviceAccount
serviceAccountName
setHostnameAsFQDN
shareProcessNamespace
subdomain
terminationGracePeriodSeconds
tolerations
topologySpreadConstraints
volumes[].configMap
volumes[].downwardAPI
volumes[].emptyDir.medium
volumes[].emptyDir.sizeLimit
volumes[].hostPath
volumes[].name
volumes[].persistentVolumeClaim
volumes[].projected.defaultMode
volumes[].projected.sources[].configMap
volumes[].projected.sources[].downwardAPI
volumes[].projected.sources[].secret
volumes[].secret
";

/// Supported fields whose values are not all supported: path, and the values that are.
const VALUES: &[(&str, &[&str])] = &[
    ("containers[].lifecycle.postStart.httpGet.scheme", &["", "HTTP"]),
    ("containers[].lifecycle.preStop.httpGet.scheme", &["", "HTTP"]),
    ("containers[].livenessProbe.httpGet.scheme", &["", "HTTP"]),
    ("containers[].securityContext.seccompProfile.type", &["Unconfined", "RuntimeDefault"]),
    ("containers[].volumeMounts[].mountPropagation", &["None"]),
    ("hostUsers", &["true"]),
    ("os.name", &["linux"]),
    ("securityContext.seccompProfile.type", &["Unconfined", "RuntimeDefault"]),
    ("securityContext.supplementalGroupsPolicy", &["Merge"]),
    ("volumes[].emptyDir.medium", &["", "Memory"]),
];

/// The fields of a pod that this node does not do, as `spec.containers[0].livenessProbe.grpc`; empty if it does them all.
pub(crate) fn refused(spec: &PodSpec) -> Vec<String> {
    let supported: BTreeSet<&str> = SUPPORTED.split_whitespace().collect();
    let mut refused = Vec::new();
    // A typed spec always turns into JSON: its map keys are strings.
    if let Ok(value) = serde_json::to_value(spec) {
        visit(&value, "", "spec", &supported, &mut refused);
    }
    refused
}

/// What a pod asks for and gets without the guarantee: told by an event, because refusing it would refuse most pods there are.
pub(crate) fn not_enforced(spec: &PodSpec) -> Vec<String> {
    const DEFAULT: &str = "RuntimeDefault";
    let mut told = Vec::new();
    let pod = spec.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut profiles =
        containers.filter_map(|c| c.security_context.as_ref()?.seccomp_profile.as_ref()).chain(pod);
    if profiles.any(|profile| profile.type_ == DEFAULT) {
        told.push(
            "seccompProfile RuntimeDefault: system calls are not filtered on this node".into(),
        );
    }
    for volume in spec.volumes.iter().flatten() {
        let on_disk = volume.empty_dir.as_ref().filter(|e| e.medium.as_deref() != Some("Memory"));
        if on_disk.is_some_and(|e| e.size_limit.is_some()) {
            let name = &volume.name;
            told.push(format!("sizeLimit of the emptyDir {name:?}: only one in memory is limited"));
        }
    }
    told
}

fn visit(
    value: &Value,
    rule: &str,
    shown: &str,
    supported: &BTreeSet<&str>,
    refused: &mut Vec<String>,
) {
    if let Some((_, good)) = VALUES.iter().find(|(path, _)| *path == rule) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if !good.contains(&text.as_str()) {
            refused.push(format!("{shown}: {text}"));
        }
        return;
    }
    if supported.contains(rule) {
        return;
    }
    match value {
        // Asking for nothing is always granted.
        Value::Null | Value::Bool(false) => {}
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                visit(item, &format!("{rule}[]"), &format!("{shown}[{i}]"), supported, refused);
            }
        }
        Value::Object(fields) if fields.is_empty() || known_above(rule, supported) => {
            for (name, field) in fields {
                let same = if rule.is_empty() && name == "initContainers" {
                    "containers"
                } else if matches!(name.as_str(), "readinessProbe" | "startupProbe") {
                    "livenessProbe"
                } else {
                    name
                };
                let rule = if rule.is_empty() { same.to_owned() } else { format!("{rule}.{same}") };
                visit(field, &rule, &format!("{shown}.{name}"), supported, refused);
            }
        }
        _ => refused.push(shown.to_owned()),
    }
}

/// Whether some supported field lies below this path; otherwise the path itself is the one to name.
fn known_above(rule: &str, supported: &BTreeSet<&str>) -> bool {
    rule.is_empty()
        || supported
            .range(rule..)
            .take_while(|path| path.starts_with(rule))
            .any(|path| matches!(path.as_bytes().get(rule.len()), Some(b'.' | b'[')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_in(value: serde_json::Value) -> Vec<String> {
        refused(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn an_ordinary_pod_is_taken() {
        let spec = serde_json::json!({
            "containers": [{
                "name": "a", "image": "host", "resources": {}, "imagePullPolicy": "IfNotPresent",
                "readinessProbe": { "httpGet": { "path": "/", "port": 80, "scheme": "HTTP" } },
                "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
                "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
            }],
            "volumes": [{ "name": "v", "emptyDir": {} }],
            "hostPID": false, "securityContext": {}, "tolerations": [{ "operator": "Exists" }],
        });
        assert_eq!(refused_in(spec), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_enforced_is_told() {
        let spec = serde_json::json!({
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "a" }],
            "volumes": [
                { "name": "disk", "emptyDir": { "sizeLimit": "1Gi" } },
                { "name": "fast", "emptyDir": { "sizeLimit": "1Gi", "medium": "Memory" } },
            ],
        });
        let told = not_enforced(&serde_json::from_value(spec).unwrap());
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("seccompProfile") && told[1].contains("\"disk\""));
    }

    #[test]
    fn what_is_not_done_is_named() {
        let spec = serde_json::json!({
            "containers": [{
                "name": "a",
                "livenessProbe": { "grpc": { "port": 1 } },
                "lifecycle": { "postStart": { "tcpSocket": { "port": 1 } } },
                "volumeDevices": [{ "name": "v", "devicePath": "/dev/x" }],
            }],
            "initContainers": [{ "name": "b", "startupProbe": {
                "httpGet": { "port": 1, "scheme": "HTTPS" } } }],
            "hostPID": true, "hostUsers": false,
            "volumes": [{ "name": "v", "nfs": { "server": "s", "path": "/" } }],
        });
        assert_eq!(
            refused_in(spec),
            [
                "spec.containers[0].lifecycle.postStart.tcpSocket",
                "spec.containers[0].livenessProbe.grpc",
                "spec.containers[0].volumeDevices[0]",
                "spec.hostPID",
                "spec.hostUsers: false",
                "spec.initContainers[0].startupProbe.httpGet.scheme: HTTPS",
                "spec.volumes[0].nfs",
            ]
        );
    }
}
