//! Sets of agents.kruise.io: objects in, views, members and statuses out.

// A test may say "this is so" in one word.
#![allow(clippy::unwrap_used)]

use engine::backoff::Backoff;
use engine::pool::{Counts, Pending, PoolStatus, Removal, Settings, Target, TemplateState};
use engine::{
    Amount, Budget, Code, Condition, ConditionKind, Key, Reason, Revision, Rounding, Strategy,
    Verdict,
};
use jiff::Timestamp;
use sandbank_dialects::condition::find;
use sandbank_dialects::kruise::build::{member, template};
use sandbank_dialects::kruise::revision::{Meaning, SetRevision, of_sandbox};
use sandbank_dialects::kruise::{Sandbox, SandboxSet, SandboxTemplate, keys};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn demo() -> Value {
    json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxSet",
        "metadata": {"name": "demo", "namespace": "default", "uid": "uid-demo", "generation": 3},
        "spec": {
            "replicas": 10,
            "persistentContents": ["ip"],
            "template": {
                "metadata": {"labels": {"app": "x", keys::OWNER: "me"}, "annotations": {"foo": "bar", keys::CLEANUP_ENABLED: "true"}},
                "spec": {"containers": [{"name": "nginx", "image": "nginx:alpine"}], "unknown": {"to": "us"}},
            },
        },
    })
}

fn by_reference() -> Value {
    let mut set = demo();
    set["spec"].as_object_mut().unwrap().remove("template");
    set["spec"]["templateRef"] = json!({"name": "base", "kind": "SandboxTemplate", "apiVersion": "agents.kruise.io/v1alpha1"});
    set
}

fn base(image: &str) -> SandboxTemplate {
    read(json!({"metadata": {"name": "base", "namespace": "default"}, "spec": {
        "template": {"metadata": {"labels": {"app": "y"}}, "spec": {"containers": [{"name": "main", "image": image}]}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
    }}))
}

fn revision(set: &SandboxSet, referenced: Option<&SandboxTemplate>) -> SetRevision {
    SetRevision::of_set(set, &Meaning::of_block(&set.spec.block, referenced).unwrap(), [])
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

#[test]
fn a_member_carries_all_that_it_will_ever_need() {
    let set: SandboxSet = read(demo());
    let revision = revision(&set, None);
    let made = member::member(&set, None, &revision, "demo-abcde");
    assert_eq!(made["apiVersion"], "agents.kruise.io/v1alpha1");
    assert_eq!(made["metadata"]["name"], "demo-abcde");
    assert_eq!(
        made["metadata"]["labels"],
        json!({"app": "x", keys::POOL: "demo", keys::TEMPLATE: "demo", keys::CLAIMED: "false", keys::TEMPLATE_HASH: revision.shown})
    );
    let annotations = &made["metadata"]["annotations"];
    assert_eq!(annotations["foo"], "bar");
    assert_eq!(annotations[keys::CLEANUP_ENABLED], "true");
    assert_eq!(annotations[keys::HASH_IMMUTABLE_PART].as_str().unwrap().len(), 9);
    assert_eq!(
        made["metadata"]["ownerReferences"],
        json!([{"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxSet", "name": "demo", "uid": "uid-demo",
                "controller": true, "blockOwnerDeletion": true}])
    );
    let pod = &made["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"], json!({"app": "x"}), "no key of the controllers");
    assert_eq!(pod["spec"]["unknown"], json!({"to": "us"}));
    assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    assert_eq!(made["spec"]["persistentContents"], json!(["ip"]));
    assert!(made["spec"]["templateRef"].is_null());

    let sandbox: Sandbox = read(made);
    assert_eq!(of_sandbox(&sandbox.metadata, &sandbox.spec.block), revision.meaning, "it is fresh");
}

#[test]
fn a_member_made_from_a_reference_remembers_what_that_meant() {
    let set: SandboxSet = read(by_reference());
    let referenced = base("main:1");
    let then = revision(&set, Some(&referenced));
    let made = member::member(&set, Some(&referenced), &then, "demo-abcde");
    assert_eq!(made["spec"]["templateRef"]["name"], "base");
    assert!(made["spec"]["template"].is_null());
    assert!(made["spec"]["volumeClaimTemplates"].is_null(), "they are the template's");
    assert_eq!(made["metadata"]["labels"][keys::TEMPLATE], "base");
    assert_eq!(made["metadata"]["labels"]["app"], "y");
    let sandbox: Sandbox = read(made);
    let with = of_sandbox(&sandbox.metadata, &sandbox.spec.block);
    assert_eq!(with, then.meaning);
    assert_ne!(with, revision(&set, Some(&base("main:2"))).meaning);
    assert_eq!(Meaning::of_block(&set.spec.block, None), None, "a missing template means nothing");

    // One that another program made has only a string.
    let mut theirs = sandbox;
    theirs.metadata.annotations.clear();
    let with = of_sandbox(&theirs.metadata, &theirs.spec.block);
    assert_ne!(with, then.meaning);
    assert_eq!(then.of_member(&with), then.meaning, "it is our string");
    let later = SetRevision { shown: "other".to_owned(), ..then };
    assert_ne!(later.of_member(&with), later.meaning);
}

/// Which string a revision goes by: the one that stands for it already, whoever chose it.
#[test]
fn strings_live_as_long_as_what_they_stand_for() {
    let set = |status: Value| -> SandboxSet {
        let mut set = demo();
        set["status"] = status;
        read(set)
    };
    let reference = |status: Value| -> SandboxSet {
        let mut set = by_reference();
        set["status"] = status;
        read(set)
    };
    let meaning = Meaning::of_block(&set(json!({})).spec.block, None).unwrap();
    let other = Revision::new("other");
    let shown = |set: SandboxSet, known: &[(&Revision, &str)]| {
        SetRevision::of_set(&set, &meaning, known.iter().copied()).shown
    };
    let short = meaning.short.as_str();
    let theirs = json!({"updateRevision": "78dd8599cf"});
    let ours = json!({"updateRevision": "78dd8599cf", "templateDigest": meaning.revision});
    let past = json!({"updateRevision": "78dd8599cf", "templateDigest": "another"});
    assert_eq!(shown(set(json!({})), &[]), short);
    assert_eq!(shown(set(json!({})), &[(&other, "x"), (&meaning.revision, "y")]), "y");
    assert_eq!(shown(set(ours), &[(&meaning.revision, "y")]), "78dd8599cf");
    assert_eq!(shown(set(past.clone()), &[]), short, "the template was edited");
    // Nothing proves what another program's string stands for, except a member that carries it, or a set that can't be compared.
    assert_eq!(shown(set(theirs.clone()), &[]), short);
    assert_eq!(shown(set(theirs.clone()), &[(&meaning.revision, "78dd8599cf")]), "78dd8599cf");
    assert_eq!(shown(reference(theirs), &[]), "78dd8599cf");
    assert_eq!(shown(reference(past), &[]), short);
}

#[test]
fn what_a_set_asks_of_the_engine() {
    let budget = |max_unavailable, max_surge| {
        Strategy::RollingUpdate(Budget { max_unavailable, max_surge, rounding: Rounding::Up })
    };
    let table = [
        (json!({}), budget(Amount::Percent(20), Amount::Count(0)), None),
        (json!({"updateStrategy": {}}), budget(Amount::Percent(20), Amount::Count(0)), None),
        (
            json!({"updateStrategy": {"maxUnavailable": 0, "maxSurge": "50%"}, "scaleStrategy": {"maxUnavailable": "10%"}}),
            budget(Amount::Count(0), Amount::Percent(50)),
            Some(Amount::Percent(10)),
        ),
        (
            json!({"updateStrategy": {"maxUnavailable": "many"}, "scaleStrategy": {}}),
            budget(Amount::Count(0), Amount::Count(0)),
            None,
        ),
    ];
    for (change, strategy, startup) in table {
        let mut set = demo();
        for (field, value) in change.as_object().unwrap() {
            set["spec"][field] = value.clone();
        }
        let set: SandboxSet = read(set);
        let state = set.template_state(None, Some(&revision(&set, None)));
        let view = set.view(
            state,
            Vec::new(),
            0,
            Pending::default(),
            Backoff::default(),
            Settings::default(),
        );
        assert_eq!((view.strategy, view.startup), (strategy, startup), "{change}");
        assert_eq!((view.target, view.removal), (Target::Count(10), Removal::StaleThenOldest));
        assert!(matches!(view.template, TemplateState::Found { .. }));
    }
}

/// What is wrong with a template that a schema let through.
#[test]
fn problems_are_named() {
    let volume = |name: &str| json!({"metadata": {"name": name}, "spec": {}});
    let mount = json!([{"name": "data", "mountPath": "/data"}]);
    let table = [
        (json!({"containers": []}), json!([]), "no containers"),
        (
            json!({"containers": [{"name": "a"}]}),
            json!([volume("data")]),
            "\"data\" is not mounted",
        ),
        (
            json!({"containers": [{"name": "a", "volumeMounts": mount}]}),
            json!([volume("data"), volume("data")]),
            "exists twice",
        ),
        (
            json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i", "volumeMounts": mount}]}),
            json!([volume("data")]),
            "",
        ),
    ];
    for (spec, volumes, expected) in table {
        let mut set = demo();
        set["spec"]["template"]["spec"] = spec;
        set["spec"]["volumeClaimTemplates"] = volumes;
        let set: SandboxSet = read(set);
        let state = set.template_state(None, Some(&revision(&set, None)));
        match (state, expected) {
            (TemplateState::Found { .. }, "") => {}
            (TemplateState::Invalid { message, .. }, expected) if !expected.is_empty() => {
                assert!(message.contains(expected), "{message} should contain {expected}");
            }
            (state, expected) => panic!("{state:?} for {expected:?}"),
        }
    }
    let set: SandboxSet = read(by_reference());
    assert_eq!(
        set.template_state(None, None),
        TemplateState::Missing { name: Key::new("default", "base") }
    );
}

#[test]
fn the_status_of_a_set() {
    let mut demo = demo();
    demo["spec"]["runtimes"] = json!([{"name": "csi"}]);
    demo["spec"]["pauseStrategy"] = json!({"type": "Hibernate"});
    let set: SandboxSet = read(demo);
    let revision = revision(&set, None);
    let decided = PoolStatus {
        counts: Counts {
            warm: 9,
            available: 7,
            locked: 1,
            updated: 5,
            updated_available: 4,
            ..Counts::default()
        },
        desired: 10,
        revision: Some(revision.meaning.clone()),
        conditions: vec![Condition {
            kind: ConditionKind::ScalingLimited,
            verdict: Verdict::True,
            reason: Reason::new(Code::StartupLimit, "1 sandbox waits"),
        }],
    };
    let next = set.next_status(&decided, Some(&revision), now());
    let told = serde_json::to_value(&next).unwrap();
    for (field, expected) in [
        ("replicas", json!(9)),
        ("availableReplicas", json!(7)),
        ("updatedReplicas", json!(5)),
        ("updatedAvailableReplicas", json!(4)),
        ("observedGeneration", json!(3)),
        ("updateRevision", json!(revision.shown)),
        ("currentRevision", json!(format!("demo-{}", revision.shown))),
        (
            "selector",
            json!("agents.kruise.io/sandbox-claimed=false,agents.kruise.io/sandbox-pool=demo"),
        ),
    ] {
        assert_eq!(told[field], expected, "{field}");
    }
    assert_eq!(find(&next.conditions, "ScalingLimited").unwrap().reason, "StartupLimit");
    let served = find(&next.conditions, "FieldsServed").unwrap();
    assert_eq!(served.status, "False");
    assert!(
        served.message.contains("csi") && served.message.contains("Hibernate"),
        "{}",
        served.message
    );

    // While the template is missing, what the sandboxes have goes on being told.
    let before = SandboxSet { status: next.clone(), ..set };
    let later = before.next_status(&decided, None, now());
    assert_eq!(later.update_revision, next.update_revision);
    assert_eq!(later.template_digest, next.template_digest);
}

#[test]
fn a_set_writes_down_what_its_sandboxes_are() {
    let set: SandboxSet = read(demo());
    let revision = revision(&set, None);
    let made = template::template(&set, &revision);
    assert_eq!(made["metadata"]["name"], format!("demo-{}", revision.shown));
    let owner = &made["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["controller"], &owner["blockOwnerDeletion"]), (&json!(true), &json!(false)));
    assert!(made["spec"]["replicas"].is_null());
    assert_eq!(made["spec"]["template"]["spec"]["unknown"], json!({"to": "us"}));
    let made: SandboxTemplate = read(made);
    assert!(made.is_of(&set));
    assert_eq!(made.meaning().unwrap().revision, revision.meaning);
}
