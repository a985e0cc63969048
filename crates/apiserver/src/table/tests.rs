//! Tables as `kubectl get` receives them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{IncludeObject, Printer, builtin};
use crate::kinds::Column;

fn now() -> Timestamp {
    "2026-11-22T00:10:00Z".parse().unwrap()
}

fn cells(group: &str, plural: &str, mut object: Value) -> Vec<Value> {
    object["metadata"]["creationTimestamp"] = json!("2026-11-22T00:00:00Z");
    let columns = builtin::columns(group, plural);
    let cells = (columns.cells)(&object, now());
    assert_eq!(cells.len(), columns.headings.len(), "{plural}: one cell for each heading");
    cells
}

#[test]
fn rows_of_the_built_in_kinds() {
    for (group, plural, object, expected) in [
        (
            "",
            "namespaces",
            json!({"metadata": {"name": "n"}, "status": {"phase": "Active"}}),
            json!(["n", "Active", "10m"]),
        ),
        (
            "",
            "configmaps",
            json!({"metadata": {"name": "c"}, "data": {"a": "1"}, "binaryData": {"b": ""}}),
            json!(["c", 2, "10m"]),
        ),
        (
            "",
            "secrets",
            json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": ""}}),
            json!(["s", "Opaque", 1, "10m"]),
        ),
        ("", "serviceaccounts", json!({"metadata": {"name": "s"}}), json!(["s", 0, "10m"])),
        (
            "coordination.k8s.io",
            "leases",
            json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "h"}}),
            json!(["l", "h", "10m"]),
        ),
        (
            "node.k8s.io",
            "runtimeclasses",
            json!({"metadata": {"name": "r"}, "handler": "runsc"}),
            json!(["r", "runsc", "10m"]),
        ),
        (
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            json!({"metadata": {"name": "a.b"}}),
            json!(["a.b", "2026-11-22T00:00:00Z"]),
        ),
        (
            "networking.k8s.io",
            "networkpolicies",
            json!({"metadata": {"name": "p"}, "spec": {"podSelector": {}}}),
            json!(["p", "<none>", "10m"]),
        ),
        (
            "storage.k8s.io",
            "storageclasses",
            json!({"metadata": {"name": "s", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p",
                "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
            json!(["s (default)", "p", "Delete", "Immediate", false, "10m"]),
        ),
        (
            "",
            "services",
            json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"a": "b"},
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
            json!(["s", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", "10m", "a=b"]),
        ),
        (
            "",
            "persistentvolumeclaims",
            json!({"metadata": {"name": "c"}, "spec": {"volumeName": "v", "volumeMode": "Filesystem"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}}),
            json!(["c", "Bound", "v", "1Gi", "RWO,ROX", "", "<unset>", "10m", "Filesystem"]),
        ),
        (
            "",
            "persistentvolumes",
            json!({"metadata": {"name": "v"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "n", "name": "c"}}, "status": {"phase": "Bound"}}),
            json!([
                "v", "1Gi", "RWX", "Retain", "Bound", "n/c", "", "<unset>", "", "10m", "<unset>"
            ]),
        ),
        (
            "",
            "nodes",
            json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}}, "spec": {"unschedulable": true},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
                           "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian"}}}),
            json!([
                "n",
                "Ready,SchedulingDisabled",
                "worker",
                "10m",
                "v1",
                "10.0.0.2",
                "<none>",
                "Debian",
                "<unknown>",
                "<unknown>"
            ]),
        ),
        (
            "",
            "events",
            json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"}, "type": "Normal",
                "reason": "Started", "message": " done ", "source": {"component": "node", "host": "h"},
                "firstTimestamp": "2026-11-22T00:05:00Z", "lastTimestamp": "2026-11-22T00:09:00Z", "count": 3}),
            json!(["60s", "Normal", "Started", "pod/p", "spec", "node, h", "done", "5m", 3, "e"]),
        ),
        (
            "events.k8s.io",
            "events",
            json!({"metadata": {"name": "e"}, "regarding": {"kind": "Sandbox", "name": "s"}, "type": "Warning", "reason": "R", "note": "n",
                "reportingController": "c", "eventTime": "2026-11-22T00:09:30.000000Z"}),
            json!(["30s", "Warning", "R", "sandbox/s", "", "c", "n", "30s", 1, "e"]),
        ),
        ("anything", "else", json!({"metadata": {"name": "x"}}), json!(["x", "10m"])),
    ] {
        assert_eq!(json!(cells(group, plural, object)), expected, "{group} {plural}");
    }
}

#[test]
fn sparse_objects_break_no_table() {
    for plural in [
        "pods",
        "namespaces",
        "nodes",
        "events",
        "services",
        "configmaps",
        "secrets",
        "serviceaccounts",
        "persistentvolumeclaims",
        "persistentvolumes",
    ] {
        cells("", plural, json!({"metadata": {"name": "x"}}));
    }
}

fn column(name: &str, ty: &str, path: &str) -> Column {
    Column {
        name: name.into(),
        column_type: ty.into(),
        format: String::new(),
        description: String::new(),
        priority: 0,
        json_path: path.into(),
    }
}

fn custom(columns: Vec<Column>) -> Printer {
    Printer { columns: super::Columns::Custom(super::custom(&columns)) }
}

#[test]
fn columns_of_a_custom_kind() {
    let printer = custom(vec![
        column("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        column("Replicas", "integer", ".spec.replicas"),
        column("On", "boolean", ".spec.on"),
        column("Missing", "string", ".spec.missing"),
        column("Wrong", "integer", ".spec.name"),
        column("All", "string", ".spec.list[*]"),
        column("Since", "date", ".spec.since"),
        column("Broken", "string", ".spec[["),
    ]);
    let object = json!({
        "apiVersion": "g/v1", "kind": "K", "metadata": {"name": "x"},
        "spec": {"replicas": 3, "on": true, "name": "n", "list": ["a", 1], "since": "2026-11-22T00:09:00Z"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}
    });
    let row = printer.row(&object, IncludeObject::Metadata, now());
    assert_eq!(row["cells"], json!(["x", "True", 3, true, null, null, "a 1", "60s", null]));
    assert_eq!(
        row["object"],
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "x"}})
    );
    assert_eq!(printer.row(&object, IncludeObject::Object, now())["object"], object);
    assert_eq!(printer.row(&object, IncludeObject::None, now()).get("object"), None);
    let definitions = printer.definitions();
    assert_eq!(definitions[0]["format"], "name");
    assert_eq!(definitions[1]["name"], "Ready");
}

#[test]
fn without_columns_there_are_name_and_age() {
    let printer = custom(Vec::new());
    let names: Vec<Value> = printer
        .definitions()
        .as_array()
        .unwrap()
        .iter()
        .map(|definition| definition["name"].clone())
        .collect();
    assert_eq!(names, ["Name", "Age"]);
    let row = printer.row(
        &json!({"metadata": {"name": "x", "creationTimestamp": "2026-11-21T00:10:00Z"}}),
        IncludeObject::None,
        now(),
    );
    assert_eq!(row["cells"], json!(["x", "24h"]));
}

#[test]
fn the_parameter_names_what_to_include() {
    assert_eq!(IncludeObject::parse(""), Some(IncludeObject::Metadata));
    assert_eq!(IncludeObject::parse("None"), Some(IncludeObject::None));
    assert_eq!(IncludeObject::parse("Object"), Some(IncludeObject::Object));
    assert_eq!(IncludeObject::parse("All"), None);
}
