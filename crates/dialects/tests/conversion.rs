//! Between the versions: nothing that a user said is lost, and what is computed is computed from the live object.

use proptest::prelude::*;
use sandbank_dialects::x_k8s::claim::Choice;
use sandbank_dialects::x_k8s::convert::{ConvertError, convert};
use sandbank_dialects::x_k8s::types::SandboxClaim;
use serde_json::{Value, json};

const STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandboxclaim-state";

fn object(kind: &str, version: &str, spec: Value) -> Value {
    let group = if kind == "Sandbox" { "agents.x-k8s.io" } else { "extensions.agents.x-k8s.io" };
    json!({"apiVersion": format!("{group}/{version}"), "kind": kind, "metadata": {"name": "x", "namespace": "ns"}, "spec": spec})
}

fn pod_template() -> Value {
    json!({"spec": {"containers": [{"name": "main", "image": "host"}]}})
}

fn choice(stored: &Value) -> Choice {
    serde_json::from_value::<SandboxClaim>(stored.clone()).expect("a claim").choice()
}

/// A v1alpha1 claim says how it wants to be served; stored and read back it says the same, and our controllers understand it.
#[test]
fn claims_keep_their_wish() {
    let key = |name: &str| engine::Key::new("ns", name);
    let table = [
        (
            json!({"sandboxTemplateRef": {"name": "t"}}),
            "shadow-pool-t",
            "default",
            Choice::AnyOfTemplate(key("t")),
        ),
        (
            json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "default"}),
            "shadow-pool-t",
            "default",
            Choice::AnyOfTemplate(key("t")),
        ),
        (
            json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "none"}),
            "shadow-pool-t",
            "none",
            Choice::Cold(key("t")),
        ),
        (
            json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "fast"}),
            "fast",
            "fast",
            Choice::PoolOfTemplate { pool: key("fast"), template: key("t") },
        ),
    ];
    for (spec, pool, word, expected) in table {
        let stored = convert(object("SandboxClaim", "v1alpha1", spec), "v1beta1").unwrap();
        assert_eq!(stored["apiVersion"], "extensions.agents.x-k8s.io/v1beta1");
        assert_eq!(stored["spec"], json!({"warmPoolRef": {"name": pool}}));
        assert_eq!(choice(&stored), expected);
        let shown = convert(stored, "v1alpha1").unwrap();
        assert_eq!(shown["spec"], json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": word}));
        assert_eq!(
            shown["metadata"],
            json!({"name": "x", "namespace": "ns"}),
            "the annotation is not shown"
        );
    }
}

/// Other implementations keep the whole old object in the annotation; it is understood as well. Once the pool reference was edited, it is not believed any more.
#[test]
fn a_foreign_state_is_read_and_an_outdated_one_is_not() {
    let state = json!({
        "apiVersion": "extensions.agents.x-k8s.io/v1alpha1",
        "kind": "SandboxClaim",
        "metadata": {"name": "x"},
        "spec": {"sandboxTemplateRef": {"name": "t"}, "warmpool": "none", "env": [{"name": "A", "value": "1"}]},
        "status": {},
    });
    let stored = |pool: &str| {
        let mut stored = object("SandboxClaim", "v1beta1", json!({"warmPoolRef": {"name": pool}}));
        stored["metadata"]["annotations"] = json!({STATE: state.to_string()});
        stored
    };
    assert_eq!(choice(&stored("shadow-pool-t")), Choice::Cold(engine::Key::new("ns", "t")));
    assert_eq!(choice(&stored("edited")), Choice::Pool(engine::Key::new("ns", "edited")));
    let shown = convert(stored("edited"), "v1alpha1").unwrap();
    assert_eq!(shown["spec"]["warmpool"], "edited");
    let garbage = {
        let mut garbage = stored("p");
        garbage["metadata"]["annotations"][STATE] = json!("{not json");
        garbage
    };
    assert_eq!(choice(&garbage), Choice::Pool(engine::Key::new("ns", "p")));
}

/// A v1beta1 claim shown as v1alpha1: the template is known once the claim is bound.
#[test]
fn a_new_claim_shown_to_an_old_client() {
    let volumes = json!([{"metadata": {"name": "data"}, "spec": {}}]);
    let mut stored = object(
        "SandboxClaim",
        "v1beta1",
        json!({"warmPoolRef": {"name": "fast"}, "volumeClaimTemplates": volumes}),
    );
    let before = convert(stored.clone(), "v1alpha1").unwrap();
    assert_eq!(before["spec"], json!({"sandboxTemplateRef": {"name": "fast"}, "warmpool": "fast"}));
    stored["metadata"]["annotations"] = json!({"agents.x-k8s.io/sandbox-template-ref": "t"});
    let after = convert(stored, "v1alpha1").unwrap();
    assert_eq!(after["spec"], json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "fast"}));
    let back = convert(after, "v1beta1").unwrap();
    assert_eq!(
        back["spec"]["volumeClaimTemplates"], volumes,
        "what the old version can't say comes back"
    );
    let shadow =
        object("SandboxClaim", "v1beta1", json!({"warmPoolRef": {"name": "shadow-pool-t"}}));
    let shown = convert(shadow, "v1alpha1").unwrap();
    assert_eq!(shown["spec"], json!({"sandboxTemplateRef": {"name": "t"}, "warmpool": "default"}));
}

#[test]
fn sandboxes_run_or_have_replicas() {
    let table = [
        (json!({"replicas": 1}), "Running", 1),
        (json!({"replicas": 0}), "Suspended", 0),
        (json!({}), "Running", 1),
    ];
    for (spec, mode, replicas) in table {
        let mut old = object("Sandbox", "v1alpha1", spec);
        old["spec"]["podTemplate"] = pod_template();
        let stored = convert(old, "v1beta1").unwrap();
        assert_eq!(stored["spec"], json!({"operatingMode": mode, "podTemplate": pod_template()}));
        let shown = convert(stored, "v1alpha1").unwrap();
        assert_eq!(shown["spec"], json!({"replicas": replicas, "podTemplate": pod_template()}));
    }
}

/// `status.replicas` says whether there is a pod now, not what was once saved.
#[test]
fn replicas_are_counted_live() {
    let mut stored = object(
        "Sandbox",
        "v1beta1",
        json!({"operatingMode": "Suspended", "podTemplate": pod_template()}),
    );
    stored["metadata"]["annotations"] = json!({"api.agents.x-k8s.io/v1alpha1-sandbox-state": "{\"status\":{\"replicas\":0}}", "mine": "stays"});
    stored["status"] =
        json!({"nodeName": "n", "conditions": [{"type": "PodScheduled", "status": "True"}]});
    let terminating = convert(stored.clone(), "v1alpha1").unwrap();
    assert_eq!(terminating["status"]["replicas"], 1, "suspended, and its pod is still there");
    assert_eq!(terminating["status"]["nodeName"], Value::Null);
    assert_eq!(terminating["metadata"]["annotations"], json!({"mine": "stays"}));
    stored["status"] = json!({"conditions": [{"type": "Ready", "status": "False"}]});
    assert_eq!(convert(stored, "v1alpha1").unwrap()["status"]["replicas"], 0);
}

#[test]
fn pools_and_templates() {
    let pool = object("SandboxWarmPool", "v1beta1", json!({"sandboxTemplateRef": {"name": "t"}}));
    let shown = convert(pool, "v1alpha1").unwrap();
    assert_eq!(shown["spec"]["replicas"], 1, "required there, defaulted here");

    for policy in ["Allowed", "Overrides"] {
        let spec = json!({"podTemplate": pod_template(), "volumeClaimTemplatesPolicy": policy});
        let template = object("SandboxTemplate", "v1beta1", spec);
        let shown = convert(template.clone(), "v1alpha1").unwrap();
        assert_eq!(shown["spec"]["volumeClaimTemplatesPolicy"], Value::Null);
        assert_eq!(convert(shown, "v1beta1").unwrap(), template);
    }
}

#[test]
fn what_is_not_ours_is_refused() {
    let table = [
        (json!({"kind": "Sandbox"}), "v1beta1", ConvertError::Untyped),
        (
            json!({"apiVersion": "agents.x-k8s.io/v1beta1", "kind": "SandboxClaim"}),
            "v1beta1",
            ConvertError::UnknownKind(
                "SandboxClaim".to_owned(),
                "agents.x-k8s.io/v1beta1".to_owned(),
            ),
        ),
        (
            json!({"apiVersion": "agents.x-k8s.io/v1", "kind": "Sandbox"}),
            "v1beta1",
            ConvertError::UnknownVersion("v1".to_owned()),
        ),
        (object("Sandbox", "v1beta1", json!("text")), "v1alpha1", ConvertError::Malformed),
    ];
    for (object, to, expected) in table {
        assert_eq!(convert(object, to), Err(expected));
    }
}

/// JSON as a user could write it under a kind: some of the fields right, some not.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3i64).prop_map(Value::from),
        prop_oneof![Just("t"), Just("none"), Just("Suspended"), Just("Allowed"), Just("{")]
            .prop_map(Value::from),
    ];
    let field = prop_oneof![
        Just("replicas"),
        Just("operatingMode"),
        Just("warmpool"),
        Just("warmPoolRef"),
        Just("sandboxTemplateRef"),
        Just("volumeClaimTemplates"),
        Just("volumeClaimTemplatesPolicy"),
        Just("conditions"),
        Just("annotations"),
        Just("name"),
        Just(STATE),
    ];
    leaf.prop_recursive(3, 20, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(field.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is stored, both versions can be shown, and one trip there and back changes nothing that a second one would change again.
    #[test]
    fn there_and_back_is_stable(
        kind in prop_oneof![Just("Sandbox"), Just("SandboxTemplate"), Just("SandboxWarmPool"), Just("SandboxClaim")],
        metadata in anything(),
        spec in anything(),
        status in anything(),
    ) {
        let mut stored = object(kind, "v1beta1", spec);
        stored["metadata"] = metadata;
        stored["status"] = status;
        let Ok(shown) = convert(stored, "v1alpha1") else { return Ok(()) };
        let trip = |shown: Value| convert(convert(shown, "v1beta1").unwrap(), "v1alpha1").unwrap();
        // The first trip may tidy: a server would not have stored a null where a map belongs.
        let once = trip(shown);
        prop_assert_eq!(trip(once.clone()), once);
    }
}
