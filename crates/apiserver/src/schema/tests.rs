//! Stories of objects and their schemas, in the words a client reads.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Schema, builtin};

fn parse(spec: Value) -> Schema {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    Schema::parse(&schema, "").unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn complaints(schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<String> {
    schema.validate(object, old).iter().map(ToString::to_string).collect()
}

/// What is wrong with a spec, without its path's beginning.
fn wrong(spec_schema: Value, spec: Value) -> Vec<String> {
    complaints(&parse(spec_schema), &json!({ "spec": spec }), None)
}

#[test]
fn a_schema_that_is_not_structural_is_refused_with_the_place_and_the_reason() {
    let at = "spec.validation.openAPIV3Schema";
    for (schema, expected) in [
        (json!({}), "type: Required value: must not be empty at the root"),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            r#"type: Invalid value: "array": must be object at the root"#,
        ),
        (
            json!({"type": "object", "properties": {"a": {}}}),
            "properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array"}}}),
            "properties[a].items: Required value: must be specified",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "#/x"}}}),
            "properties[a].$ref: Forbidden: $ref is not supported",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "text"}}}),
            r#"properties[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string""#,
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}),
            r#"properties[a].pattern: Invalid value: "(": must be a valid regular expression"#,
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "anyOf": [{"type": "string"}]}}}),
            "properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "string"}}},
               "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"]}}}),
            "properties[a].items.properties[n].default: Required value: this property is in x-kubernetes-list-map-keys",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
            r#"properties[a].default: Invalid value: "string""#,
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "default": {"b": 1}}}}),
            r#"properties[a].default: Invalid value: {"b":1}: must be pruned"#,
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >"}]}}}),
            r#"properties[a].x-kubernetes-validations[0].rule: Invalid value: "self >": compilation failed"#,
        ),
    ] {
        let errors = Schema::parse(&schema, at).expect_err(&schema.to_string());
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let expected = format!("{at}.{expected}");
        assert!(texts.iter().any(|text| text.starts_with(&expected)), "{schema}\n{texts:#?}");
    }
}

#[test]
fn validation_speaks_as_the_real_server() {
    for (schema, spec, expected) in [
        (json!({"type": "object", "required": ["image"]}), json!({}), "spec.image: Required value"),
        (
            json!({"type": "object", "properties": {"replicas": {"type": "integer"}}}),
            json!({"replicas": "3"}),
            r#"spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "object", "properties": {"n": {"type": "string"}}}),
            json!({"n": null}),
            r#"spec.n: Invalid value: "null": spec.n in body must be of type string: "null""#,
        ),
        (
            json!({"type": "integer", "maximum": 3}),
            json!(4),
            "spec: Invalid value: 4: spec in body should be less than or equal to 3",
        ),
        (
            json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true}),
            json!(0),
            "spec: Invalid value: 0: spec in body should be greater than 0",
        ),
        (
            json!({"type": "number", "multipleOf": 0.5}),
            json!(0.7),
            "spec: Invalid value: 0.7: spec in body should be a multiple of 0.5",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            r#"spec: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            json!("A"),
            r#"spec: Invalid value: "A": spec in body should match '^[a-z]+$'"#,
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!("abc"),
            "spec: Too long: may not be more than 2 bytes",
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            r#"spec: Invalid value: "a": spec in body should be at least 2 chars long"#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            "spec: Invalid value: 0: spec in body should have at least 1 items",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("x"),
            r#"spec: Invalid value: "x": spec in body must be of type date-time: "x""#,
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000u64),
            r#"spec: Invalid value: 3000000000: spec in body must be of type int32: "3000000000""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#,
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
            json!(["a", "b", "a"]),
            r#"spec[2]: Duplicate value: "a""#,
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "integer"}}}}),
            json!([{"name": "a", "v": 1}, {"name": "a", "v": 2}]),
            r#"spec[1]: Duplicate value: {"name":"a"}"#,
        ),
        (
            json!({"type": "string", "not": {"enum": ["x"]}}),
            json!("x"),
            r#"spec: Invalid value: "": "spec" must not validate the schema (not)"#,
        ),
    ] {
        assert_eq!(wrong(schema.clone(), spec.clone()), [expected], "{schema} {spec}");
    }
}

#[test]
fn choices_name_the_choice_and_the_nearest_objection() {
    let either = |keyword: &str| {
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
               keyword: [{"required": ["a"]}, {"required": ["b"]}]})
    };
    assert_eq!(
        wrong(either("oneOf"), json!({})),
        [
            r#"spec: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.a: Required value"
        ]
    );
    assert_eq!(
        wrong(either("oneOf"), json!({"a": "", "b": ""})),
        [
            r#"spec: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]
    );
    assert_eq!(
        wrong(either("anyOf"), json!({})),
        [
            r#"spec: Invalid value: "": "spec" must validate at least one schema (anyOf)"#,
            "spec.a: Required value"
        ]
    );
    assert_eq!(wrong(either("allOf"), json!({"a": "x"})), ["spec.b: Required value"]);
    assert!(wrong(either("oneOf"), json!({"b": "x"})).is_empty());
}

#[test]
fn what_fits_is_left_alone() {
    let quantity = json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+m?$",
                          "x-kubernetes-int-or-string": true});
    for (schema, spec) in [
        (quantity.clone(), json!("500m")),
        (quantity, json!(5)),
        (json!({"type": "string", "nullable": true}), Value::Null),
        (json!({"type": "integer"}), json!(1.0)),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            json!({"a": [1, {"b": null}]}),
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            json!({"a": 1, "b": 2}),
        ),
    ] {
        assert_eq!(wrong(schema, spec), Vec::<String>::new());
    }
}

#[test]
fn pruning_drops_the_unknown_and_names_it() {
    let schema = parse(json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                 "properties": {"known": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
        "object": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
    }}));
    let mut object = json!({
        "apiVersion": "g/v1", "kind": "K",
        "metadata": {"name": "n", "creationTimestamp": null, "labels": {"a": "b"}, "nonsense": 1},
        "spec": {
            "unk": 1,
            "list": [{"a": 1, "b": 2}],
            "map": {"x": {"a": 1, "c": 2}},
            "free": {"any": {"thing": 1}, "known": {"a": 1, "d": 2}},
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "oops": 1}, "spec": {"x": 1}},
        },
        "status": {}
    });
    let unknown = schema.prune(&mut object);
    assert_eq!(
        unknown,
        [
            "metadata.nonsense",
            "spec.free.known.d",
            "spec.list[0].b",
            "spec.map.x.c",
            "spec.object.metadata.oops",
            "spec.object.spec.x",
            "spec.unk",
            "status"
        ]
    );
    assert_eq!(
        object,
        json!({
            "apiVersion": "g/v1", "kind": "K",
            "metadata": {"name": "n", "labels": {"a": "b"}},
            "spec": {
                "list": [{"a": 1}], "map": {"x": {"a": 1}}, "free": {"any": {"thing": 1}, "known": {"a": 1}},
                "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}},
            },
        })
    );
}

#[test]
fn defaults_fill_what_is_absent_at_every_depth() {
    let schema = parse(json!({"type": "object", "default": {}, "properties": {
        "replicas": {"type": "integer", "default": 1},
        "nullable": {"type": "integer", "default": 1, "nullable": true},
        "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "string", "default": "x"}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "integer", "default": 7}},
    }}));
    let mut object = json!({"spec": {"replicas": null, "nullable": null, "list": [{}, {"p": "UDP"}], "map": {"a": null}}});
    schema.default(&mut object);
    assert_eq!(
        object["spec"],
        json!({"replicas": 1, "nullable": null, "nested": {"deep": "x"}, "list": [{"p": "TCP"}, {"p": "UDP"}], "map": {"a": 7}})
    );
    let mut empty = json!({});
    schema.default(&mut empty);
    assert_eq!(empty, json!({"spec": {"replicas": 1, "nullable": 1, "nested": {"deep": "x"}}}));
}

#[test]
fn a_null_that_may_not_stand_is_as_if_it_were_not_there() {
    let schema = parse(json!({"type": "object", "properties": {
        "plain": {"type": "string"},
        "nullable": {"type": "string", "nullable": true},
        "list": {"type": "array", "items": {"type": "object", "properties": {"deep": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
    }}));
    let mut object = json!({"spec": {
        "plain": null, "nullable": null, "list": [{"deep": null}], "map": {"gone": null, "stays": "x"},
    }});
    schema.default(&mut object);
    assert_eq!(object["spec"], json!({"nullable": null, "list": [{}], "map": {"stays": "x"}}));
}

#[test]
fn rules_see_self_and_the_old_self() {
    let schema = parse(json!({"type": "object",
    "x-kubernetes-validations": [
        {"rule": "self.replicas <= self.maxReplicas", "message": "replicas must not exceed maxReplicas"},
        {"rule": "!has(self.name) || self.name == oldSelf.name", "message": "name is immutable", "fieldPath": ".name",
         "reason": "FieldValueForbidden"},
    ],
    "properties": {
        "replicas": {"type": "integer"}, "maxReplicas": {"type": "integer"}, "name": {"type": "string"},
        "namespace": {"type": "string", "x-kubernetes-validations": [
            {"rule": "self.startsWith('x')", "messageExpression": "'not ' + self"}]},
        "at": {"type": "string", "format": "date-time", "x-kubernetes-validations": [
            {"rule": "self.getFullYear() > 2000"}]},
        "ratio": {"type": "number", "x-kubernetes-validations": [{"rule": "self < 1.5"}]},
    }}));
    let good = json!({"spec": {"replicas": 1, "maxReplicas": 2, "name": "a", "namespace": "xy",
                               "at": "2026-11-21T00:00:00Z", "ratio": 1}});
    assert_eq!(complaints(&schema, &good, None), Vec::<String>::new());
    assert_eq!(complaints(&schema, &good, Some(&good)), Vec::<String>::new());
    let bad = json!({"spec": {"replicas": 3, "maxReplicas": 2, "name": "b", "namespace": "y",
                              "at": "1999-11-21T00:00:00Z", "ratio": 1.5}});
    assert_eq!(
        complaints(&schema, &bad, Some(&good)),
        [
            "spec: Invalid value: replicas must not exceed maxReplicas",
            "spec.name: Forbidden: name is immutable",
            "spec.at: Invalid value: failed rule: self.getFullYear() > 2000",
            "spec.namespace: Invalid value: not y",
            "spec.ratio: Invalid value: failed rule: self < 1.5",
        ]
    );
    let missing = json!({"spec": {"replicas": 3}});
    let found = complaints(&schema, &missing, None);
    assert_eq!(
        found,
        [
            "spec: Invalid value: No such key: maxReplicas evaluating rule: replicas must not exceed maxReplicas"
        ]
    );
}

#[test]
fn old_items_are_found_by_key_and_not_in_atomic_lists() {
    let item = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "integer",
        "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "must not shrink"}]}}});
    let keyed = parse(
        json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    );
    let atomic = parse(json!({"type": "array", "items": item}));
    let old = json!({"spec": [{"name": "a", "v": 5}, {"name": "b", "v": 1}]});
    let new =
        json!({"spec": [{"name": "b", "v": 2}, {"name": "a", "v": 4}, {"name": "c", "v": 0}]});
    assert_eq!(complaints(&keyed, &new, Some(&old)), ["spec[1].v: Invalid value: must not shrink"]);
    assert_eq!(complaints(&atomic, &new, Some(&old)), Vec::<String>::new());
}

#[test]
fn optional_old_self_runs_on_create_too() {
    let schema = parse(json!({"type": "integer", "x-kubernetes-validations": [
        {"rule": "oldSelf.hasValue() ? self >= oldSelf.value() : self == 1", "message": "start at one, never shrink", "optionalOldSelf": true}]}));
    assert!(complaints(&schema, &json!({"spec": 1}), None).is_empty());
    assert_eq!(
        complaints(&schema, &json!({"spec": 2}), None),
        ["spec: Invalid value: start at one, never shrink"]
    );
    assert!(complaints(&schema, &json!({"spec": 2}), Some(&json!({"spec": 1}))).is_empty());
}

#[test]
fn rules_wait_until_the_object_is_sound() {
    let schema = parse(json!({"type": "object", "required": ["image"],
        "x-kubernetes-validations": [{"rule": "self.image != ''"}], "properties": {"image": {"type": "string"}}}));
    assert_eq!(
        complaints(&schema, &json!({"spec": {}}), None),
        [
            "spec.image: Required value",
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; \
          correct the existing errors to complete validation"
        ]
    );
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "creationTimestamp": null},
           "spec": {"containers": [{"name": "c", "image": "busybox", "ports": [{"containerPort": 80}],
                                    "resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}},
                                    "env": null}]}})
}

#[test]
fn a_pod_is_read_as_the_real_server_reads_it() {
    let schema = builtin::schema("", "v1", "Pod").unwrap();
    let mut pod = pod();
    pod["spec"]["containers"][0]["nonsense"] = json!(1);
    assert_eq!(schema.prune(&mut pod), ["spec.containers[0].nonsense"]);
    assert_eq!(schema.check_types(&pod), Ok(()));
    schema.default(&mut pod);
    assert_eq!(schema.validate(&pod, None), []);
    assert_eq!(pod["metadata"], json!({"name": "p"}));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(container["ports"][0]["protocol"], "TCP");
    assert_eq!(container["terminationMessagePolicy"], "File");
    assert_eq!(container.get("env"), None);
    assert_eq!(pod["spec"]["restartPolicy"], "Always");
}

#[test]
fn what_go_could_not_read_is_named_as_go_names_it() {
    let schema = builtin::schema("", "v1", "Pod").unwrap();
    for (pointer, value, expected) in [
        (
            "/spec/containers/0/ports/0/containerPort",
            json!("80"),
            "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            "/spec/containers",
            json!({}),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "/metadata/name",
            json!(1),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            "/spec/containers/0/resources/requests/cpu",
            json!("lots"),
            "spec.containers.resources.requests.cpu: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ] {
        let mut pod = pod();
        *pod.pointer_mut(pointer).unwrap() = value;
        assert_eq!(schema.check_types(&pod).unwrap_err().to_string(), expected);
    }
    let lease = builtin::schema("coordination.k8s.io", "v1", "Lease").unwrap();
    let renew = |time: &str| json!({"spec": {"renewTime": time}});
    assert_eq!(lease.check_types(&renew("2026-11-21T23:39:30.000000Z")), Ok(()));
    assert!(lease.check_types(&renew("2026-11-21T23:39:30Z")).is_err());
    let secret = builtin::schema("", "v1", "Secret").unwrap();
    assert!(secret.check_types(&json!({"data": {"a": "?"}})).is_err());
}

#[test]
fn a_bad_pod_is_refused_field_by_field() {
    let schema = builtin::schema("", "v1", "Pod").unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"restartPolicy": "Sometimes", "containers": [
        {"name": "a", "image": "x"}, {"name": "a", "image": ""}, {"image": "x", "name": "c", "ports": [{"protocol": "TCP"}]}]}});
    assert_eq!(
        complaints(&schema, &pod, None),
        [
            "spec.containers[1].image: Required value",
            "spec.containers[2].ports[0].containerPort: Required value",
            r#"spec.containers[1].name: Duplicate value: "a""#,
            r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure""#,
        ]
    );
    let none = json!({"spec": {"containers": []}});
    assert_eq!(complaints(&schema, &none, None), ["spec.containers: Required value"]);
}

#[test]
fn the_pod_spec_that_crds_embed_is_structural() {
    let data: Value =
        serde_json::from_str(include_str!("../../../dialects/data/pod-spec.json")).unwrap();
    for (name, part) in data.as_object().unwrap() {
        let schema = json!({"type": "object", "properties": {"spec": part}});
        Schema::parse(&schema, "").unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
    }
    let schema = parse(data["PodSpec"].clone());
    let mut object = json!({"spec": pod()["spec"]});
    assert_eq!(schema.prune(&mut object), Vec::<String>::new());
}

/// Some JSON, with the field names that the schemas of the properties below know, and others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("a|b|c|list|map|spec|x", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn property_schema() -> Schema {
    let leaf = json!({"type": "object", "properties": {"a": {"type": "integer", "default": 1}, "b": {"type": "string"}}});
    parse(json!({"type": "object", "default": {"a": 2}, "properties": {
        "a": {"type": "integer"},
        "b": {"type": "string", "nullable": true, "default": "b"},
        "c": leaf,
        "list": {"type": "array", "items": leaf},
        "map": {"type": "object", "additionalProperties": leaf},
        "x": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }}))
}

proptest! {
    #[test]
    fn pruning_and_defaulting_settle_at_once(object in any_json()) {
        let schema = property_schema();
        let mut once = json!({ "spec": object });
        schema.prune(&mut once);
        let mut twice = once.clone();
        prop_assert!(schema.prune(&mut twice).is_empty());
        prop_assert_eq!(&once, &twice);
        schema.default(&mut once);
        let mut twice = once.clone();
        schema.default(&mut twice);
        prop_assert_eq!(&once, &twice);
        // Defaults are known fields: they are never pruned.
        prop_assert!(schema.prune(&mut twice).is_empty());
    }

    #[test]
    fn no_input_makes_validation_panic(object in any_json()) {
        property_schema().validate(&json!({ "spec": object }), None);
        let pod = builtin::schema("", "v1", "Pod").unwrap();
        let mut object = json!({"spec": object});
        pod.prune(&mut object);
        let _ = pod.check_types(&object);
        pod.default(&mut object);
        pod.validate(&object, None);
    }
}
