//! The definitions as they are installed.

use sandbank_dialects::crds;
use serde_json::Value;
use std::path::Path;

/// `deploy/crds.yaml` is what `make crds` writes; whoever changes the definitions has to write it again.
#[test]
fn the_deployed_definitions_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds.yaml");
    if std::env::var_os("SANDBANK_WRITE_CRDS").is_some() {
        std::fs::write(&path, serde_saphyr::to_string_multiple(&crds::crds()).unwrap()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let deployed: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    assert!(deployed == crds::crds(), "deploy/crds.yaml is not current: run `make crds`");
}

/// What every structural schema has to obey, or a server refuses it.
#[test]
fn schemas_are_structural() {
    for crd in crds::crds() {
        let versions = crd["spec"]["versions"].as_array().unwrap();
        assert_eq!(versions.iter().filter(|version| version["storage"] == true).count(), 1);
        for version in versions {
            let name = format!("{} {}", crd["metadata"]["name"], version["name"]);
            structural(&version["schema"]["openAPIV3Schema"], &name);
        }
    }
}

fn structural(schema: &Value, path: &str) {
    let int_or_string = schema["x-kubernetes-int-or-string"] == true;
    assert!(schema["type"].is_string() || int_or_string, "{path} has no type");
    if schema["type"] == "array" {
        assert!(schema["items"].is_object(), "{path} has no items");
        structural(&schema["items"], &format!("{path}[]"));
        for key in schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
            let key = key.as_str().expect("keys are names");
            let items = &schema["items"];
            let required = items["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|name| name == key));
            let default = !items["properties"][key]["default"].is_null();
            assert!(required || default, "{path}: key {key} is neither required nor has a default");
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // The server itself knows what metadata is.
        if !(name == "metadata" && property["properties"].is_null()) {
            structural(property, &format!("{path}.{name}"));
        }
    }
    if schema["additionalProperties"].is_object() {
        structural(&schema["additionalProperties"], &format!("{path}{{}}"));
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(
            !schema["properties"][name.as_str().expect("required names are texts")].is_null(),
            "{path} requires {name}, which it does not have"
        );
    }
}

/// Every field that is ours says what it is for, so that `kubectl explain` helps.
#[test]
fn own_fields_are_explained() {
    for crd in crds::crds() {
        for version in crd["spec"]["versions"].as_array().unwrap() {
            for part in ["spec", "status"] {
                let schema = &version["schema"]["openAPIV3Schema"]["properties"][part];
                explained(schema, &format!("{}.{part}", crd["spec"]["names"]["kind"]), 3);
            }
        }
    }
}

fn explained(schema: &Value, path: &str, depth: usize) {
    let embedded = path.contains("podTemplate.spec")
        || path.contains("[].spec")
        || path.contains("networkPolicy.");
    if depth == 0 || embedded {
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        assert!(property["description"].is_string(), "{path} is not explained");
        explained(property, &path, depth - 1);
        explained(&property["items"], &format!("{path}[]"), depth - 1);
    }
}
