#!/usr/bin/env python3
"""Write the schema data of the built-in kinds.

Reads the published JSON schemas of Kubernetes 1.36 and writes two files:

    crates/apiserver/data/kubernetes.json   definitions of the kinds the API server serves
    crates/dialects/data/pod-spec.json      PodSpec and friends as structural CRD schemas

Only facts are kept (names, types, formats, required, list types, merge keys); descriptions are dropped.
Two kinds of facts are not in the published schemas and stand in tables below: the values the server fills
in by itself, and the values an enumerated field may have.

    hack/kubernetes-schema.py [FILE]   FILE: a wheel of kubernetes-validate 1.37.0, or its _definitions.json
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "kubernetes-validate==1.37.0"
INSIDE = "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json"
ROOT = pathlib.Path(__file__).resolve().parent.parent

CORE = "io.k8s.api.core.v1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"

# The kinds whose definitions (and all they refer to) are kept.
SERVED = [CORE + k for k in (
    "Binding ConfigMap Event Namespace Node PersistentVolume PersistentVolumeClaim Pod Secret Service ServiceAccount"
).split()] + [META + k for k in "DeleteOptions Status".split()] + [
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.authentication.v1.TokenReview",
    "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    "io.k8s.api.authorization.v1.SubjectAccessReview",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.events.v1.Event",
    "io.k8s.api.networking.v1.NetworkPolicy",
    "io.k8s.api.node.v1.RuntimeClass",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.storage.v1.StorageClass",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
]

# What the real server fills in whatever the rest of the object says. Defaults that depend on other fields are code.
DEFAULTS = {
    CORE + "PodSpec": {
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": True, "restartPolicy": "Always",
        "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
    },
    CORE + "Container": {
        "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    },
    CORE + "EphemeralContainer": {
        "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    },
    CORE + "ContainerPort": {"protocol": "TCP"},
    CORE + "Probe": {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1},
    CORE + "HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    CORE + "GRPCAction": {"service": ""},
    CORE + "ObjectFieldSelector": {"apiVersion": "v1"},
    CORE + "FileKeySelector": {"optional": False},
    CORE + "SecretVolumeSource": {"defaultMode": 420},
    CORE + "ConfigMapVolumeSource": {"defaultMode": 420},
    CORE + "DownwardAPIVolumeSource": {"defaultMode": 420},
    CORE + "ProjectedVolumeSource": {"defaultMode": 420},
    CORE + "ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    CORE + "HostPathVolumeSource": {"type": ""},
    CORE + "ISCSIVolumeSource": {"iscsiInterface": "default"},
    CORE + "ISCSIPersistentVolumeSource": {"iscsiInterface": "default"},
    CORE + "RBDVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    CORE + "RBDPersistentVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    CORE + "ScaleIOVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    CORE + "ScaleIOPersistentVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    CORE + "AzureDiskVolumeSource": {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared", "readOnly": False},
    CORE + "PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    CORE + "PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    CORE + "ServiceSpec": {"internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "type": "ClusterIP"},
    CORE + "ServicePort": {"protocol": "TCP"},
    CORE + "Secret": {"type": "Opaque"},
    "io.k8s.api.authentication.v1.TokenRequestSpec": {"expirationSeconds": 3600},
    "io.k8s.api.networking.v1.NetworkPolicyPort": {"protocol": "TCP"},
    "io.k8s.api.storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec":
        {"conversion": {"strategy": "None"}},
}

# The published `required` lists every field that the server always writes; it accepts most of them absent and writes
# the zero value. Here that zero becomes the default, so that a reader always finds the field.
ZERO_FILLED = [CORE + k for k in (
    "AttachedVolume ContainerImage ContainerStateTerminated ContainerStatus DaemonEndpoint Event EventSource "
    "NodeSystemInfo PortStatus ResourceHealth ResourceStatus VolumeMountStatus"
).split()] + [
    "io.k8s.api.authorization.v1.SubjectAccessReviewStatus",
    "io.k8s.api.authorization.v1.SubjectRulesReviewStatus",
    "io.k8s.api.autoscaling.v1.ScaleStatus",
]

# The same for single fields: here an empty text says something.
ZERO_FIELDS = {
    CORE + "HTTPHeader": ["value"], CORE + "NodeAddress": ["address"], CORE + "Sysctl": ["value"],
    META + "Condition": ["message"],
}

# Required by the server's validation though the published schema does not say so.
REQUIRED = {CORE + "Container": ["image"], CORE + "EphemeralContainer": ["image"]}

PROTOCOL = ["SCTP", "TCP", "UDP"]
PULL = ["Always", "IfNotPresent", "Never"]
MESSAGE_POLICY = ["FallbackToLogsOnError", "File"]
ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
VOLUME_MODE = ["Block", "Filesystem"]
TAINT_EFFECT = ["NoExecute", "NoSchedule", "PreferNoSchedule"]
SELECTOR_OPERATOR = ["DoesNotExist", "Exists", "In", "NotIn"]
ENUMS = {
    CORE + "PodSpec": {
        "dnsPolicy": ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        "preemptionPolicy": ["Never", "PreemptLowerPriority"],
        "restartPolicy": ["Always", "Never", "OnFailure"],
    },
    CORE + "Container": {"imagePullPolicy": PULL, "terminationMessagePolicy": MESSAGE_POLICY},
    CORE + "EphemeralContainer": {"imagePullPolicy": PULL, "terminationMessagePolicy": MESSAGE_POLICY},
    CORE + "ContainerPort": {"protocol": PROTOCOL},
    CORE + "HTTPGetAction": {"scheme": ["HTTP", "HTTPS"]},
    CORE + "HostPathVolumeSource": {"type": [
        "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"]},
    CORE + "NodeSelectorRequirement": {"operator": ["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"]},
    CORE + "PersistentVolumeClaimSpec": {"volumeMode": VOLUME_MODE},
    CORE + "PersistentVolumeSpec": {
        "persistentVolumeReclaimPolicy": ["Delete", "Recycle", "Retain"], "volumeMode": VOLUME_MODE},
    CORE + "SeccompProfile": {"type": ["Localhost", "RuntimeDefault", "Unconfined"]},
    CORE + "ServicePort": {"protocol": PROTOCOL},
    CORE + "ServiceSpec": {
        "externalTrafficPolicy": ["Cluster", "Local"], "internalTrafficPolicy": ["Cluster", "Local"],
        "sessionAffinity": ["ClientIP", "None"],
        "type": ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
    },
    CORE + "Taint": {"effect": TAINT_EFFECT},
    CORE + "Toleration": {"effect": [""] + TAINT_EFFECT, "operator": ["", "Equal", "Exists", "Gt", "Lt"]},
    CORE + "TopologySpreadConstraint": {"whenUnsatisfiable": ["DoNotSchedule", "ScheduleAnyway"]},
    META + "LabelSelectorRequirement": {"operator": SELECTOR_OPERATOR},
    "io.k8s.api.networking.v1.NetworkPolicyPort": {"protocol": PROTOCOL},
    "io.k8s.api.storage.v1.StorageClass": {
        "reclaimPolicy": ["Delete", "Recycle", "Retain"], "volumeBindingMode": ["Immediate", "WaitForFirstConsumer"]},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec":
        {"scope": ["Cluster", "Namespaced"]},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceConversion":
        {"strategy": ["None", "Webhook"]},
}
ITEM_ENUMS = {
    CORE + "PersistentVolumeClaimSpec": {"accessModes": ACCESS_MODES},
    CORE + "PersistentVolumeSpec": {"accessModes": ACCESS_MODES},
    "io.k8s.api.networking.v1.NetworkPolicySpec": {"policyTypes": ["Egress", "Ingress"]},
}

# Lists whose items the server's validation wants to differ in a field, as the keyword x-unique-by.
UNIQUE_BY = {
    CORE + "PodSpec": {"containers": "name", "initContainers": "name", "volumes": "name"},
    CORE + "ServiceSpec": {"ports": "name"},
}

# Defaults and shapes that the Go marker comments of core/v1 put into every CRD that embeds a pod template.
CRD_DEFAULTS = {
    CORE + "AzureDiskVolumeSource": {"fsType": "ext4", "readOnly": False},
    CORE + "ContainerPort": {"protocol": "TCP"},
    CORE + "FileKeySelector": {"optional": False},
    CORE + "GRPCAction": {"service": ""},
    CORE + "ISCSIVolumeSource": {"iscsiInterface": "default"},
    CORE + "RBDVolumeSource": {"keyring": "/etc/ceph/keyring", "pool": "rbd", "user": "admin"},
    CORE + "ScaleIOVolumeSource": {"fsType": "xfs", "storageMode": "ThinProvisioned"},
    **{CORE + k: {"name": ""} for k in (
        "ConfigMapEnvSource ConfigMapKeySelector ConfigMapProjection ConfigMapVolumeSource LocalObjectReference "
        "SecretEnvSource SecretKeySelector SecretProjection").split()},
}
QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
EMBEDDED = {
    "NetworkPolicyEgressRule": "io.k8s.api.networking.v1.NetworkPolicyEgressRule",
    "NetworkPolicyIngressRule": "io.k8s.api.networking.v1.NetworkPolicyIngressRule",
    "PersistentVolumeClaimSpec": CORE + "PersistentVolumeClaimSpec",
    "PodSpec": CORE + "PodSpec",
}
# Kept in a CRD: what the structural schema rules allow.
CRD_KEYWORDS = ("type", "format", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
KEYWORDS = CRD_KEYWORDS + ("x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy")


def load(source):
    """The published definitions, by name."""
    if source is None:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", folder, PACKAGE]
            subprocess.run(command, check=True)
            return load(next(pathlib.Path(folder).glob("*.whl")))
    source = pathlib.Path(source)
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            return json.loads(wheel.read(INSIDE))["$defs"]
    return json.loads(source.read_text())["$defs"]


def target(node):
    """The name of the definition that a node refers to, if any."""
    reference = node.get("$ref")
    return reference.rsplit("/", 1)[-1] if isinstance(reference, str) else None


def facts(node, name=None):
    """A definition without descriptions, with `null` taken out of the types (a null is an absent field)."""
    kept = {}
    for key, value in node.items():
        if key == "$ref":
            kept["$ref"] = "#/components/schemas/" + value.rsplit("/", 1)[-1]
        elif key == "type" and isinstance(value, list):
            kept["type"] = next(t for t in value if t != "null")
        elif key in KEYWORDS:
            kept[key] = value
        elif key == "properties":
            kept[key] = {field: facts(schema) for field, schema in sorted(value.items())}
        elif key in ("items", "additionalProperties"):
            kept[key] = facts(value)
        elif key == "oneOf":
            kept[key] = [facts(branch) for branch in value]
        elif key == "x-kubernetes-group-version-kind" and len(value) == 1:
            kept[key] = value
    if name is None:
        return kept
    if name in REQUIRED:
        kept["required"] = kept.get("required", []) + REQUIRED[name]
    for field in kept.get("required", []) if name in ZERO_FILLED else ZERO_FIELDS.get(name, []):
        schema = kept["properties"][field]
        zero = {"string": "", "integer": 0, "boolean": False, "array": []}.get(schema.get("type"))
        if zero is not None:
            schema["default"] = zero
    for field, value in DEFAULTS.get(name, {}).items():
        kept["properties"][field]["default"] = value
    for field, values in ENUMS.get(name, {}).items():
        kept["properties"][field]["enum"] = values
    for field, values in ITEM_ENUMS.get(name, {}).items():
        kept["properties"][field]["items"]["enum"] = values
    for field, key in UNIQUE_BY.get(name, {}).items():
        kept["properties"][field]["x-unique-by"] = key
    return kept


def reachable(definitions, roots):
    """The names of all definitions that the roots refer to, directly or not."""
    found, todo = set(), list(roots)

    def references(node):
        if isinstance(node, dict):
            if name := target(node):
                yield name
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(references(definitions[name]))
    return sorted(found)


def structural(definitions, node, name=None):
    """A definition as a CRD schema: references written out, special types as controller generators write them."""
    if reference := target(node):
        schema = structural(definitions, definitions[reference], reference)
        schema.update({k: node[k] for k in ("x-kubernetes-map-type",) if k in node})
        return schema
    if name == INT_OR_STRING:
        return {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
    if name == QUANTITY:
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "x-kubernetes-int-or-string": True,
        }
    if name == META + "ObjectMeta":
        return {"type": "object"}
    schema = {}
    for key, value in node.items():
        if key == "type" and isinstance(value, list):
            schema["type"] = next(t for t in value if t != "null")
        elif key in CRD_KEYWORDS:
            schema[key] = value
        elif key == "properties":
            schema[key] = {field: structural(definitions, child) for field, child in sorted(value.items())}
        elif key in ("items", "additionalProperties"):
            schema[key] = structural(definitions, value)
    for field, value in CRD_DEFAULTS.get(name, {}).items():
        schema["properties"][field]["default"] = value
    return schema


def write(path, parts):
    """One entry a line: small diffs when Kubernetes moves on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'), sort_keys=True)}" for k, v in sorted(parts.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.relative_to(ROOT)}: {len(parts)} definitions, {path.stat().st_size // 1024} KiB")


def main():
    definitions = load(sys.argv[1] if len(sys.argv) > 1 else None)
    names = reachable(definitions, SERVED)
    write(ROOT / "crates/apiserver/data/kubernetes.json", {n: facts(definitions[n], n) for n in names})
    write(
        ROOT / "crates/dialects/data/pod-spec.json",
        {short: structural(definitions, definitions[name], name) for short, name in EMBEDDED.items()},
    )


if __name__ == "__main__":
    main()
