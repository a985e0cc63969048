//! The objects we make, as clients of the family know them.

mod given;

use engine::Holder;
use engine::sandbox::{Drift, Ownership};
use given::{alice, patched, pool, read, stored, template, warm};
use sandbank_dialects::pod::Pod;
use sandbank_dialects::x_k8s::build::{bind, cold, member, pod, policy, service, volume};
use sandbank_dialects::x_k8s::options::{Dns, Options};
use sandbank_dialects::x_k8s::{Sandbox, SandboxTemplate, keys, revision};
use serde_json::{Value, json};

#[test]
fn a_member_carries_what_readers_look_for() {
    let made = member::member(&pool(), &template(), "p-abcde", &Options::default());
    assert_eq!(made["apiVersion"], "agents.x-k8s.io/v1beta1");
    assert_eq!(made["metadata"]["labels"][keys::POOL], keys::hash("p"));
    assert_eq!(made["metadata"]["labels"][keys::TEMPLATE_REF_HASH], keys::hash("t"));
    assert_eq!(made["metadata"]["labels"][keys::LAUNCH_TYPE], "warm");
    assert_eq!(
        made["metadata"]["annotations"],
        json!({keys::POD_NAME: "p-abcde", keys::TEMPLATE_REF: "t"})
    );
    let owner = json!([{"apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxWarmPool", "name": "p",
                        "uid": "uid-p", "controller": true, "blockOwnerDeletion": true}]);
    assert_eq!(made["metadata"]["ownerReferences"], owner);
    let spec = &made["spec"]["podTemplate"]["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["dnsPolicy"], "None");
    assert_eq!(spec["dnsConfig"]["nameservers"], json!(["8.8.8.8", "1.1.1.1"]));
    assert_eq!(made["spec"]["podTemplate"]["metadata"]["annotations"][keys::SAFE_TO_EVICT], "true");
}

/// What a template says explicitly wins, and an installation may use the cluster's name servers.
#[test]
fn secure_defaults_give_way() {
    let dns = |change: Value, options: &Options| {
        let template: SandboxTemplate =
            read(patched(serde_json::to_value(template()).unwrap(), &json!({"spec": change})));
        let made = member::member(&pool(), &template, "x", options);
        made["spec"]["podTemplate"]["spec"]["dnsPolicy"].clone()
    };
    let standard = Options::default();
    assert_eq!(dns(json!({}), &standard), "None");
    assert_eq!(
        dns(json!({"podTemplate": {"spec": {"dnsPolicy": "Default"}}}), &standard),
        "Default"
    );
    assert_eq!(dns(json!({"networkPolicy": {}}), &standard), Value::Null);
    assert_eq!(dns(json!({"networkPolicyManagement": "Unmanaged"}), &standard), Value::Null);
    assert_eq!(dns(json!({}), &Options { dns: Dns::Cluster, ..standard }), Value::Null);
}

/// A member is fresh right after it was made, and stays so through everything but a change of meaning.
#[test]
fn only_meaning_makes_a_member_stale() {
    let options = Options::default();
    let made = revision::of_sandbox(&warm());
    assert_eq!(made, template().revision(&options));
    let changed = |change: Value| {
        let template: SandboxTemplate =
            read(patched(serde_json::to_value(template()).unwrap(), &change));
        template.revision(&options) != made
    };
    let image = json!([{"name": "main", "image": "other"}]);
    let table = [
        (json!({"metadata": {"labels": {"a": "b"}}}), false),
        (
            json!({"spec": {"podTemplate": {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}}}}),
            false,
        ),
        (json!({"spec": {"envVarsInjectionPolicy": "Allowed"}}), false),
        (
            json!({"spec": {"podTemplate": {"spec": {"automountServiceAccountToken": false}}}}),
            false,
        ),
        (json!({"spec": {"podTemplate": {"spec": {"automountServiceAccountToken": true}}}}), true),
        (json!({"spec": {"podTemplate": {"spec": {"containers": image}}}}), true),
        (json!({"spec": {"service": false}}), true),
        (json!({"spec": {"volumeClaimTemplates": null}}), true),
        (json!({"spec": {"networkPolicyManagement": "Unmanaged"}}), true), // other name servers
        (json!({"metadata": {"name": "t2"}}), true),
    ];
    for (change, stale) in table {
        assert_eq!(changed(change.clone()), stale, "{change}");
    }
    // Hash labels of other programs are not believed, in neither direction.
    let mut foreign = serde_json::to_value(warm()).unwrap();
    foreign["metadata"]["labels"][keys::TEMPLATE_HASH] = json!("deadbeef");
    foreign["metadata"]["labels"].as_object_mut().unwrap().remove(keys::POD_TEMPLATE_HASH);
    assert_eq!(revision::of_sandbox(&read(foreign)), made);
}

#[test]
fn a_pod_gets_no_reserved_key_from_its_template() {
    let made = pod::pod(&warm());
    let labels = &made["metadata"]["labels"];
    assert_eq!(
        *labels,
        json!({
            "app": "x",
            keys::NAME_HASH: keys::hash("p-abcde"),
            keys::POOL: keys::hash("p"),
            keys::TEMPLATE_REF_HASH: keys::hash("t"),
            keys::CREATED_BY: "controller",
        })
    );
    let annotations = &made["metadata"]["annotations"];
    assert_eq!(annotations[keys::PROPAGATED_LABELS], "app");
    assert_eq!(annotations[keys::PROPAGATED_ANNOTATIONS], format!("{},note", keys::SAFE_TO_EVICT));
    assert_eq!(made["metadata"]["ownerReferences"][0]["apiVersion"], "agents.x-k8s.io/v1beta1");
    assert_eq!(
        made["spec"]["volumes"],
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-p-abcde"}}])
    );
    let volumes = warm().volumes().to_vec();
    assert_eq!(volume::volume_claim(&warm(), &volumes[0])["metadata"]["name"], "data-p-abcde");
}

/// From warm to bound: one patch on the sandbox, one on the pod, and then nothing differs any more.
#[test]
fn binding_a_warm_sandbox() {
    let sandbox = warm();
    let live_pod = stored(pod::pod(&sandbox), 6);
    let claim = alice();
    let precondition = sandbox.metadata.precondition();
    let patch = bind::bind(&sandbox, &precondition, &claim, &template()).unwrap();
    assert_eq!(patch["metadata"]["uid"], "uid-p-abcde");
    assert_eq!(patch["metadata"]["resourceVersion"], "5");

    let bound: Sandbox = read(patched(serde_json::to_value(&sandbox).unwrap(), &patch));
    assert_eq!(bound.holder(), Holder::Claim(engine::Uid::new("uid-alice")));
    let labels = &bound.metadata.labels;
    assert_eq!(labels.get(keys::CLAIM_UID).map(String::as_str), Some("uid-alice"));
    assert_eq!(labels.get(keys::CREATED_BY).map(String::as_str), Some("python-client"));
    assert!(!labels.contains_key(keys::POOL) && !labels.contains_key(keys::TEMPLATE_HASH));
    assert_eq!(
        revision::of_sandbox(&bound),
        revision::of_sandbox(&sandbox),
        "what runs does not change"
    );
    assert_eq!(bind::refresh(&bound, &claim, &template()).unwrap(), None);

    let before: Pod = read(live_pod.clone());
    let sync = pod::sync(&bound, &before.metadata).unwrap();
    let after: Pod = read(patched(live_pod, &sync));
    assert_eq!(pod::sync(&bound, &after.metadata), None, "one patch is enough");
    assert!(!after.metadata.labels.contains_key(keys::POOL));
    assert!(!after.metadata.annotations.contains_key(keys::SAFE_TO_EVICT));
    assert_eq!(after.metadata.labels.get("sandbox.users.io/team").map(String::as_str), Some("red"));
    assert_eq!(after.metadata.labels.get("app").map(String::as_str), Some("x"));
    assert_eq!(after.metadata.labels.get(keys::CLAIM_UID).map(String::as_str), Some("uid-alice"));
}

#[test]
fn a_claim_that_contradicts_its_template_is_refused_for_good() {
    let mut claim = alice();
    claim
        .spec
        .additional_pod_metadata
        .as_mut()
        .unwrap()
        .labels
        .insert("app".to_owned(), "y".to_owned());
    let error =
        bind::bind(&warm(), &warm().metadata.precondition(), &claim, &template()).unwrap_err();
    assert_eq!(error.word(), "InvalidMetadata");
    assert_eq!(cold::cold(&claim, &template(), &Options::default()).unwrap_err(), error);
}

#[test]
fn a_cold_sandbox_has_the_claims_name() {
    let made = cold::cold(&alice(), &template(), &Options::default()).unwrap();
    assert_eq!(made["metadata"]["name"], "alice");
    assert_eq!(made["metadata"]["labels"][keys::LAUNCH_TYPE], "cold");
    assert_eq!(made["metadata"]["labels"][keys::CREATED_BY], "python-client");
    assert_eq!(made["metadata"]["ownerReferences"][0]["kind"], "SandboxClaim");
    assert_eq!(revision::of_sandbox(&read(made)), template().revision(&Options::default()));
}

/// What others put on a pod stays; a forged list of ours does not make us remove their keys of our prefix.
#[test]
fn strangers_labels_stay() {
    let sandbox = warm();
    let mut live = stored(pod::pod(&sandbox), 6);
    live["metadata"]["labels"]["injected"] = json!("by-a-mesh");
    live["metadata"]["labels"]["old"] = json!("from-an-older-template");
    live["metadata"]["annotations"][keys::PROPAGATED_LABELS] =
        json!("app,old,agents.x-k8s.io/sandbox-name-hash");
    let live: Pod = read(live);
    assert_eq!(sandbox.pod_view(&live).metadata, Drift::Differs);
    let patch = pod::sync(&sandbox, &live.metadata).unwrap();
    assert_eq!(patch["metadata"]["labels"], json!({"old": null}));
    assert_eq!(patch["metadata"]["annotations"], json!({keys::PROPAGATED_LABELS: "app"}));
}

#[test]
fn service_ports_are_those_of_the_containers() {
    let table = [
        (json!([]), Value::Null),
        (json!([{"containerPort": 80}]), json!([["p-80-tcp", 80, "TCP"]])),
        (
            json!([{"containerPort": 443, "name": "web"}, {"containerPort": 53, "protocol": "UDP"}, {"containerPort": 443, "name": "later"}]),
            json!([["p-53-udp", 53, "UDP"], ["web", 443, "TCP"]]),
        ),
        (
            json!([{"containerPort": 1, "name": "p-2-tcp"}, {"containerPort": 2}]),
            json!([["p-2-tcp", 1, "TCP"], ["p-2-tcp-2", 2, "TCP"]]),
        ),
    ];
    for (ports, expected) in table {
        let mut object = serde_json::to_value(warm()).unwrap();
        object["spec"]["podTemplate"]["spec"]["containers"][0]["ports"] = ports;
        let sandbox: Sandbox = read(object);
        let made = service::service(&sandbox);
        assert_eq!(made["spec"]["clusterIP"], "None");
        let ports: Option<Vec<Value>> = made["spec"]["ports"].as_array().map(|ports| {
            ports.iter().map(|port| json!([port["name"], port["port"], port["protocol"]])).collect()
        });
        assert_eq!(json!(ports), expected);
        let made = stored(made, 3);
        let meta = read(made["metadata"].clone());
        assert_eq!(
            service::repair(&sandbox, &meta, &made["spec"]),
            None,
            "what was just made is as it should be"
        );
    }
}

#[test]
fn the_default_policy_lets_in_the_router_and_out_to_public_addresses() {
    let made = stored(policy::policy(&template(), &Options::default()), 3);
    assert_eq!(made["metadata"]["name"], "t-network-policy");
    assert_eq!(
        made["spec"]["podSelector"]["matchLabels"][keys::TEMPLATE_REF_HASH],
        keys::hash("t")
    );
    let meta = read(made["metadata"].clone());
    assert_eq!(policy::repair(&template(), &meta, &made["spec"], &Options::default()), None);
    let mut drifted = made["spec"].clone();
    drifted["podSelector"]["matchLabels"]["extra"] = json!("x");
    drifted["ingress"] = Value::Null;
    let repair = policy::repair(&template(), &meta, &drifted, &Options::default()).unwrap();
    assert_eq!(
        patched(json!({"spec": drifted}), &json!({"spec": repair["spec"]}))["spec"],
        made["spec"]
    );

    let mut closed = template();
    closed.spec.network_policy = Some(Default::default());
    let made = policy::policy(&closed, &Options::default());
    assert_eq!(
        (&made["spec"]["ingress"], &made["spec"]["egress"]),
        (&Value::Null, &Value::Null),
        "nothing may"
    );
}

#[test]
fn children_of_others_are_not_taken() {
    let sandbox = warm();
    let child =
        |change: Value| read(patched(json!({"name": "p-abcde", "namespace": "ns"}), &change));
    let owner = |uid: &str| json!([{"apiVersion": "agents.x-k8s.io/v1alpha1", "kind": "Sandbox", "name": "x", "uid": uid, "controller": true}]);
    let table = [
        (json!({}), Ownership::Unowned),
        (json!({"labels": {keys::ADOPTABLE: "true"}}), Ownership::Adoptable),
        (json!({"labels": {keys::ADOPTABLE: "yes"}}), Ownership::Unowned),
        (json!({"labels": {keys::NAME_HASH: keys::hash("p-abcde")}}), Ownership::Adoptable),
        (json!({"ownerReferences": owner("uid-p-abcde")}), Ownership::Ours),
        (
            json!({"ownerReferences": owner("another"), "labels": {keys::ADOPTABLE: "true"}}),
            Ownership::Foreign,
        ),
    ];
    for (change, expected) in table {
        assert_eq!(pod::ownership(&sandbox, &child(change.clone())), expected, "{change}");
    }
}
