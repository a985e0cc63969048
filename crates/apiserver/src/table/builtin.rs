//! The columns of the built-in kinds, written by hand: what `kubectl get` shows of each.

use jiff::Timestamp;
use serde_json::Value;

use super::{age, pods};

/// A heading and how its column is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heading {
    pub(super) name: &'static str,
    /// `string`, `integer` or `date`.
    pub(super) ty: &'static str,
    /// Shows only with `-o wide`.
    pub(super) wide: bool,
}

/// Makes the cells of an object, with ages counted up to a moment.
type Cells = fn(&Value, Timestamp) -> Vec<Value>;

/// How the objects of a kind become rows.
pub(super) struct Columns {
    pub(super) headings: &'static [Heading],
    pub(super) cells: Cells,
}

const fn shown(name: &'static str) -> Heading {
    Heading { name, ty: "string", wide: false }
}

const fn count(name: &'static str) -> Heading {
    Heading { name, ty: "integer", wide: false }
}

const fn wide(name: &'static str) -> Heading {
    Heading { name, ty: "string", wide: true }
}

/// The columns of a resource; name and age for those without any of their own.
pub(super) fn columns(group: &str, plural: &str) -> Columns {
    let (headings, cells): (&'static [Heading], Cells) = match (group, plural) {
        ("", "pods") => (
            const {
                &[
                    shown("Name"),
                    shown("Ready"),
                    shown("Status"),
                    shown("Restarts"),
                    shown("Age"),
                    wide("IP"),
                    wide("Node"),
                    wide("Nominated Node"),
                    wide("Readiness Gates"),
                ]
            },
            pods::cells,
        ),
        ("", "namespaces") => {
            (const { &[shown("Name"), shown("Status"), shown("Age")] }, namespace)
        }
        ("", "nodes") => (
            const {
                &[
                    shown("Name"),
                    shown("Status"),
                    shown("Roles"),
                    shown("Age"),
                    shown("Version"),
                    wide("Internal-IP"),
                    wide("External-IP"),
                    wide("OS-Image"),
                    wide("Kernel-Version"),
                    wide("Container-Runtime"),
                ]
            },
            node,
        ),
        ("" | "events.k8s.io", "events") => (
            const {
                &[
                    shown("Last Seen"),
                    shown("Type"),
                    shown("Reason"),
                    shown("Object"),
                    wide("Subobject"),
                    wide("Source"),
                    shown("Message"),
                    wide("First Seen"),
                    Heading { name: "Count", ty: "integer", wide: true },
                    wide("Name"),
                ]
            },
            event,
        ),
        ("", "services") => (
            const {
                &[
                    shown("Name"),
                    shown("Type"),
                    shown("Cluster-IP"),
                    shown("External-IP"),
                    shown("Port(s)"),
                    shown("Age"),
                    wide("Selector"),
                ]
            },
            service,
        ),
        ("", "configmaps") => (const { &[shown("Name"), count("Data"), shown("Age")] }, config_map),
        ("", "secrets") => {
            (const { &[shown("Name"), shown("Type"), count("Data"), shown("Age")] }, secret)
        }
        ("", "serviceaccounts") => {
            (const { &[shown("Name"), count("Secrets"), shown("Age")] }, service_account)
        }
        ("", "persistentvolumeclaims") => (
            const {
                &[
                    shown("Name"),
                    shown("Status"),
                    shown("Volume"),
                    shown("Capacity"),
                    shown("Access Modes"),
                    shown("StorageClass"),
                    shown("VolumeAttributesClass"),
                    shown("Age"),
                    wide("VolumeMode"),
                ]
            },
            volume_claim,
        ),
        ("", "persistentvolumes") => (
            const {
                &[
                    shown("Name"),
                    shown("Capacity"),
                    shown("Access Modes"),
                    shown("Reclaim Policy"),
                    shown("Status"),
                    shown("Claim"),
                    shown("StorageClass"),
                    shown("VolumeAttributesClass"),
                    shown("Reason"),
                    shown("Age"),
                    wide("VolumeMode"),
                ]
            },
            volume,
        ),
        ("coordination.k8s.io", "leases") => {
            (const { &[shown("Name"), shown("Holder"), shown("Age")] }, lease)
        }
        ("networking.k8s.io", "networkpolicies") => {
            (const { &[shown("Name"), shown("Pod-Selector"), shown("Age")] }, network_policy)
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => (
            const { &[shown("Name"), Heading { name: "Created At", ty: "date", wide: false }] },
            definition,
        ),
        ("storage.k8s.io", "storageclasses") => (
            const {
                &[
                    shown("Name"),
                    shown("Provisioner"),
                    shown("ReclaimPolicy"),
                    shown("VolumeBindingMode"),
                    Heading { name: "AllowVolumeExpansion", ty: "boolean", wide: false },
                    shown("Age"),
                ]
            },
            storage_class,
        ),
        ("node.k8s.io", "runtimeclasses") => {
            (const { &[shown("Name"), shown("Handler"), shown("Age")] }, runtime_class)
        }
        _ => (const { &[shown("Name"), shown("Age")] }, plain),
    };
    Columns { headings, cells }
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn or_none(text: &str) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn age_of(object: &Value, now: Timestamp) -> Value {
    age::since(&object["metadata"]["creationTimestamp"], now).into()
}

fn size(value: &Value) -> usize {
    value.as_object().map_or(0, serde_json::Map::len)
}

/// `a=b,c=d`, or that there are none.
fn labels(map: &Value) -> Value {
    let pairs =
        map.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    or_none(&pairs.collect::<Vec<_>>().join(","))
}

/// Access modes in their short forms.
fn access_modes(modes: &Value) -> Value {
    let short = |mode: &Value| match text(mode) {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    list(modes).iter().map(short).collect::<Vec<_>>().join(",").into()
}

/// A quantity as it is written, or nothing.
fn amount(value: &Value) -> Value {
    if value.is_null() { "".into() } else { value.clone() }
}

fn or_unset(value: &Value) -> Value {
    if text(value).is_empty() { "<unset>".into() } else { value.clone() }
}

fn plain(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age_of(object, now)]
}

fn namespace(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["status"]["phase"]).into(), age_of(object, now)]
}

fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let status = &object["status"];
    let ready = list(&status["conditions"]).iter().find(|condition| condition["type"] == "Ready");
    let mut word = match ready {
        None => "Unknown",
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        word.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) if !role.is_empty() => roles.push(role),
            _ if key == "kubernetes.io/role" && !text(value).is_empty() => roles.push(text(value)),
            _ => {}
        }
    }
    roles.sort_unstable();
    roles.dedup();
    let address = |ty: &str| {
        let found = list(&status["addresses"]).iter().find(|address| address["type"] == ty);
        or_none(found.map_or("", |address| text(&address["address"])))
    };
    let info = |field: &str| {
        let value = text(&status["nodeInfo"][field]);
        Value::from(if value.is_empty() { "<unknown>" } else { value })
    };
    vec![
        name(object),
        word.into(),
        or_none(&roles.join(",")),
        age_of(object, now),
        text(&status["nodeInfo"]["kubeletVersion"]).into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

/// Both groups' events: the newer one has other names for the same things.
fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let either =
        |old: &str, new: &str| if object[old].is_null() { &object[new] } else { &object[old] };
    let involved = either("involvedObject", "regarding");
    let source = either("source", "deprecatedSource");
    let first = match either("firstTimestamp", "deprecatedFirstTimestamp") {
        Value::Null => &object["eventTime"],
        time => time,
    };
    let last = match (&object["series"], either("lastTimestamp", "deprecatedLastTimestamp")) {
        (Value::Object(series), _) => series.get("lastObservedTime").unwrap_or(&Value::Null),
        (_, Value::Null) => first,
        (_, time) => time,
    };
    let counted = match &object["series"]["count"] {
        Value::Null => either("count", "deprecatedCount"),
        count => count,
    };
    let kind = text(&involved["kind"]).to_lowercase();
    let target = match text(&involved["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = match text(&source["component"]) {
        "" => text(either("reportingComponent", "reportingController")),
        component => component,
    };
    let source = match text(&source["host"]) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    };
    vec![
        age::since(last, now).into(),
        text(&object["type"]).into(),
        text(&object["reason"]).into(),
        target.into(),
        text(&involved["fieldPath"]).into(),
        source.into(),
        text(either("message", "note")).trim().into(),
        age::since(first, now).into(),
        counted.as_i64().unwrap_or(1).max(1).into(),
        name(object),
    ]
}

fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let joined = |values: &Value| list(values).iter().map(text).collect::<Vec<_>>().join(",");
    let external = match text(&spec["type"]) {
        "ExternalName" => or_none(text(&spec["externalName"])),
        "LoadBalancer" => {
            let ingress = list(&object["status"]["loadBalancer"]["ingress"]).iter();
            let mut addresses: Vec<&str> = ingress
                .map(|i| if i["ip"].is_null() { text(&i["hostname"]) } else { text(&i["ip"]) })
                .collect();
            addresses.extend(list(&spec["externalIPs"]).iter().map(text));
            if addresses.is_empty() { "<pending>".into() } else { addresses.join(",").into() }
        }
        _ => or_none(&joined(&spec["externalIPs"])),
    };
    let port = |port: &Value| {
        let protocol = text(&port["protocol"]);
        let number = port["port"].as_i64().unwrap_or(0);
        match port["nodePort"].as_i64().unwrap_or(0) {
            0 => format!("{number}/{protocol}"),
            node => format!("{number}:{node}/{protocol}"),
        }
    };
    let ports = list(&spec["ports"]).iter().map(port).collect::<Vec<_>>().join(",");
    vec![
        name(object),
        text(&spec["type"]).into(),
        or_none(text(&spec["clusterIP"])),
        external,
        or_none(&ports),
        age_of(object, now),
        labels(&spec["selector"]),
    ]
}

fn config_map(object: &Value, now: Timestamp) -> Vec<Value> {
    let entries = size(&object["data"]) + size(&object["binaryData"]);
    vec![name(object), entries.into(), age_of(object, now)]
}

fn secret(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(&object["type"]).into(),
        size(&object["data"]).into(),
        age_of(object, now),
    ]
}

fn service_account(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), list(&object["secrets"]).len().into(), age_of(object, now)]
}

fn volume_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let phase = if object["metadata"]["deletionTimestamp"].is_null() {
        text(&status["phase"])
    } else {
        "Terminating"
    };
    let bound = !text(&spec["volumeName"]).is_empty();
    let (capacity, modes) = match bound {
        true => (amount(&status["capacity"]["storage"]), access_modes(&status["accessModes"])),
        false => ("".into(), "".into()),
    };
    vec![
        name(object),
        phase.into(),
        text(&spec["volumeName"]).into(),
        capacity,
        modes,
        text(&spec["storageClassName"]).into(),
        or_unset(&spec["volumeAttributesClassName"]),
        age_of(object, now),
        or_unset(&spec["volumeMode"]),
    ]
}

fn volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let phase = if object["metadata"]["deletionTimestamp"].is_null() {
        text(&status["phase"])
    } else {
        "Terminating"
    };
    let claim = match &spec["claimRef"] {
        Value::Object(_) => {
            format!("{}/{}", text(&spec["claimRef"]["namespace"]), text(&spec["claimRef"]["name"]))
        }
        _ => String::new(),
    };
    vec![
        name(object),
        amount(&spec["capacity"]["storage"]),
        access_modes(&spec["accessModes"]),
        text(&spec["persistentVolumeReclaimPolicy"]).into(),
        phase.into(),
        claim.into(),
        text(&spec["storageClassName"]).into(),
        or_unset(&spec["volumeAttributesClassName"]),
        text(&status["reason"]).into(),
        age_of(object, now),
        or_unset(&spec["volumeMode"]),
    ]
}

fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["spec"]["holderIdentity"]).into(), age_of(object, now)]
}

fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    let selector = crate::select::LabelSelector::from_spec(&object["spec"]["podSelector"]);
    let selector = selector.map(|selector| selector.to_string()).unwrap_or_default();
    vec![name(object), or_none(&selector), age_of(object, now)]
}

fn definition(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![name(object), object["metadata"]["creationTimestamp"].clone()]
}

fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let default =
        object["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
    let shown = match default {
        true => format!("{} (default)", text(&object["metadata"]["name"])).into(),
        false => name(object),
    };
    vec![
        shown,
        text(&object["provisioner"]).into(),
        text(&object["reclaimPolicy"]).into(),
        text(&object["volumeBindingMode"]).into(),
        (object["allowVolumeExpansion"] == true).into(),
        age_of(object, now),
    ]
}

fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(&object["handler"]).into(), age_of(object, now)]
}
