//! Stories of owners and dependents, and the graph against random families.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::story::Story;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> String {
    format!("{MAPS}/{name}")
}

/// A reference to an object, as a dependent carries it.
fn owned_by(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    })
}

fn blocking(owner: &Value) -> Value {
    let mut reference = owned_by(owner);
    reference["blockOwnerDeletion"] = true.into();
    reference
}

impl Story {
    async fn map(&self, name: &str, owners: &[Value]) -> Value {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "ownerReferences": owners},
        });
        self.create(MAPS, object).await
    }

    /// A map that a finalizer of the test holds.
    async fn held_map(&self, name: &str, owners: &[Value]) -> Value {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "ownerReferences": owners, "finalizers": ["test/hold"]},
        });
        self.create(MAPS, object).await
    }

    async fn let_go(&self, name: &str) {
        self.patch(&map(name), json!({"metadata": {"finalizers": null}})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_background_the_owner_goes_first_and_its_family_follows() {
    let story = Story::begin().await;
    let owner = story.map("owner", &[]).await;
    let child = story.map("child", &[owned_by(&owner)]).await;
    story.map("grandchild", &[blocking(&child)]).await;
    story.map("stranger", &[]).await;

    story.delete(&map("owner"), "Background").await;
    assert!(!story.exists(&map("owner")).await, "the owner goes at once");
    story.until_gone(&map("grandchild")).await;
    assert!(!story.exists(&map("child")).await);
    assert!(story.exists(&map("stranger")).await);
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_forget_their_owner() {
    let story = Story::begin().await;
    let owner = story.map("owner", &[]).await;
    let other = story.map("other", &[]).await;
    story.map("child", &[blocking(&owner)]).await;
    story.map("shared", &[owned_by(&owner), owned_by(&other)]).await;

    story.delete(&map("owner"), "Orphan").await;
    story.until_gone(&map("owner")).await;
    story.settle().await;
    let child = story.get(&map("child")).await.unwrap();
    assert_eq!(child["metadata"]["ownerReferences"], Value::Null);
    let shared = story.get(&map("shared")).await.unwrap();
    assert_eq!(shared["metadata"]["ownerReferences"], json!([owned_by(&other)]));
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_waits_for_those_that_block_it() {
    let story = Story::begin().await;
    let owner = story.map("owner", &[]).await;
    story.held_map("blocker", &[blocking(&owner)]).await;
    story.held_map("bystander", &[owned_by(&owner)]).await;

    story.delete(&map("owner"), "Foreground").await;
    story.settle().await;
    let waiting = story.get(&map("owner")).await.expect("the owner waits");
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let blocker = story.get(&map("blocker")).await.unwrap();
    assert!(blocker["metadata"]["deletionTimestamp"].is_string(), "the dependent is asked to go");

    story.let_go("blocker").await;
    story.until_gone(&map("owner")).await;
    assert!(story.exists(&map("bystander")).await, "nobody waits for who does not block");
    story.let_go("bystander").await;
    assert!(!story.exists(&map("bystander")).await);
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_generations_go_from_the_youngest_up() {
    let story = Story::begin().await;
    let owner = story.map("owner", &[]).await;
    let child = story.map("child", &[blocking(&owner)]).await;
    story.held_map("grandchild", &[blocking(&child)]).await;

    story.delete(&map("owner"), "Foreground").await;
    story.settle().await;
    let child = story.get(&map("child")).await.expect("the child waits for its own");
    assert_eq!(child["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    story.let_go("grandchild").await;
    story.until_gone(&map("owner")).await;
    assert!(!story.exists(&map("child")).await);
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_living_owner_is_enough() {
    let story = Story::begin().await;
    let staying = story.map("staying", &[]).await;
    for (owner, policy) in [("first", "Background"), ("second", "Foreground")] {
        let leaving = story.map(owner, &[]).await;
        story.map("child", &[blocking(&leaving), owned_by(&staying)]).await;
        story.delete(&map(owner), policy).await;
        story.until_gone(&map(owner)).await;
        story.settle().await;
        let child = story.get(&map("child")).await.expect("the child stays");
        assert_eq!(child["metadata"]["ownerReferences"], json!([owned_by(&staying)]), "{policy}");
        story.delete(&map("child"), "Background").await;
    }
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn circles_do_not_wait_for_themselves() {
    let story = Story::begin().await;
    let first = story.map("first", &[]).await;
    let second = story.map("second", &[blocking(&first)]).await;
    let third = story.map("third", &[blocking(&second)]).await;
    let circle = json!({"metadata": {"ownerReferences": [blocking(&third)]}});
    story.patch(&map("first"), circle).await;
    let own = story.map("narcissus", &[]).await;
    story
        .patch(&map("narcissus"), json!({"metadata": {"ownerReferences": [blocking(&own)]}}))
        .await;

    story.delete(&map("first"), "Foreground").await;
    story.delete(&map("narcissus"), "Foreground").await;
    for name in ["first", "second", "third", "narcissus"] {
        story.until_gone(&map(name)).await;
    }
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_a_uid_and_a_namesake_is_not_the_owner() {
    let story = Story::begin().await;
    let before = story.map("owner", &[]).await;
    story.delete(&map("owner"), "Background").await;
    let after = story.map("owner", &[]).await;
    story.map("of-the-old", &[owned_by(&before)]).await;
    story.map("of-the-new", &[owned_by(&after)]).await;
    let mut never = owned_by(&after);
    never["uid"] = "00000000-0000-4000-8000-000000000000".into();
    story.map("of-nobody", &[never.clone()]).await;
    never["uid"] = "not-a-uid".into();
    story.map("of-nonsense", &[never]).await;

    for gone in ["of-the-old", "of-nobody", "of-nonsense"] {
        story.until_gone(&map(gone)).await;
    }
    assert!(story.exists(&map("of-the-new")).await);
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn owners_live_in_the_same_namespace_or_beside_all() {
    let story = Story::begin().await;
    let namespace = story.get("/api/v1/namespaces/default").await.unwrap();
    story.map("of-a-namespace", &[owned_by(&namespace)]).await;
    let elsewhere = story
        .create("/api/v1/namespaces/kube-public/configmaps", json!({"metadata": {"name": "far"}}))
        .await;
    story.map("of-a-neighbour", &[owned_by(&elsewhere)]).await;
    // Who is in no namespace can't be owned by one who is; it can't be told what was meant, so nothing happens.
    let node = json!({"metadata": {"name": "node", "ownerReferences": [owned_by(&elsewhere)]}});
    story.create("/api/v1/nodes", node).await;

    story.until_gone(&map("of-a-neighbour")).await;
    story.settle().await;
    assert!(story.exists(&map("of-a-namespace")).await);
    assert!(story.exists("/api/v1/nodes/node").await);
    story.end().await;
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.demo.example.com"},
        "spec": {
            "group": "demo.example.com", "scope": "Namespaced",
            "names": {"plural": "boxes", "singular": "box", "kind": "Box"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        },
    })
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BOXES: &str = "/apis/demo.example.com/v1/namespaces/default/boxes";

impl Story {
    async fn define_boxes(&self) {
        self.create(DEFINITIONS, definition()).await;
        self.until("boxes are served", async || {
            self.ask(Method::GET, BOXES, Value::Null).await.0 == StatusCode::OK
        })
        .await;
    }

    async fn a_box(&self, name: &str) -> Value {
        let object =
            json!({"apiVersion": "demo.example.com/v1", "kind": "Box", "metadata": {"name": name}});
        self.create(BOXES, object).await
    }
}

#[tokio::test(start_paused = true)]
async fn custom_owners_are_owners() {
    let story = Story::begin().await;
    story.define_boxes().await;
    let kept = story.a_box("orphaning").await;
    let owner = story.a_box("owner").await;
    story.map("orphan", &[owned_by(&kept)]).await;
    story.map("child", &[owned_by(&owner)]).await;

    story.delete(&format!("{BOXES}/orphaning"), "Orphan").await;
    story.until_gone(&format!("{BOXES}/orphaning")).await;
    // With the definition go its objects, and with those what they own.
    story.delete(&format!("{DEFINITIONS}/boxes.demo.example.com"), "Background").await;
    story.until_gone(&map("child")).await;
    story.settle().await;
    assert!(story.exists(&map("orphan")).await);
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_of_a_kind_that_is_not_served_is_not_known_to_be_gone() {
    let story = Story::begin().await;
    let owner = json!({
        "apiVersion": "demo.example.com/v1", "kind": "Box", "name": "owner",
        "uid": "00000000-0000-4000-8000-000000000000",
    });
    story.map("child", &[owner]).await;
    story.settle().await;
    assert!(story.exists(&map("child")).await, "its owner may come with its definition");
    story.define_boxes().await;
    story.until_gone(&map("child")).await;
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_family_of_thousands_goes_as_surely() {
    const CHILDREN: usize = 1000;
    let story = Story::begin().await;
    for policy in ["Background", "Foreground", "Orphan"] {
        let owner = story.map("owner", &[]).await;
        for child in 0..CHILDREN {
            story.map(&format!("child-{child}"), &[blocking(&owner)]).await;
        }
        story.delete(&map("owner"), policy).await;
        story.until_gone(&map("owner")).await;
        story.settle().await;
        let children = story.get(MAPS).await.unwrap()["items"].as_array().unwrap().len();
        assert_eq!(children, if policy == "Orphan" { CHILDREN } else { 0 }, "{policy}");
    }
    story.end().await;
}

mod random_families {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::{
        disown,
        graph::{Action, Graph, Subject},
        release, unblock,
    };
    use crate::object::{Draft, Key, Object, ResourceId, Revision};

    #[derive(Clone, Debug)]
    enum Step {
        Create { owners: Vec<(usize, bool)>, held: bool },
        Delete { who: usize, policy: usize },
        LetGo { who: usize },
        Collect,
    }

    fn step() -> impl Strategy<Value = Step> {
        let owners = prop::collection::vec((0..12_usize, any::<bool>()), 0..3);
        prop_oneof![
            4 => (owners, prop::bool::weighted(0.2)).prop_map(|(owners, held)| Step::Create { owners, held }),
            2 => (0..12_usize, 0..3_usize).prop_map(|(who, policy)| Step::Delete { who, policy }),
            1 => (0..12_usize).prop_map(|who| Step::LetGo { who }),
            2 => Just(Step::Collect),
        ]
    }

    /// A store of one resource, as simple as can be. What the graph hears may lag behind.
    #[derive(Default)]
    struct World {
        objects: BTreeMap<usize, Object>,
        unheard: Vec<(usize, Object, bool)>,
        revision: u64,
        made: usize,
        graph: Graph,
    }

    fn uid(index: usize) -> String {
        format!("00000000-0000-4000-8000-{index:012}")
    }

    fn key(index: usize) -> Key {
        Key::new(ResourceId::new("", "things"), "n", format!("thing-{index}"))
    }

    impl World {
        fn write(&mut self, index: usize, value: &Value) {
            self.revision += 1;
            let object = Draft::new(value).unwrap().seal(Revision(self.revision));
            let holds = value["metadata"]["deletionTimestamp"].is_null()
                || value["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
            if holds {
                self.objects.insert(index, object.clone());
            } else {
                self.objects.remove(&index);
            }
            self.unheard.push((index, object, holds));
        }

        fn hear(&mut self) {
            for (index, object, stays) in std::mem::take(&mut self.unheard) {
                if stays {
                    self.graph.written(&key(index), &object);
                } else {
                    self.graph.removed(&object);
                }
                self.graph.check().unwrap();
            }
        }

        fn create(&mut self, owners: &[(usize, bool)], held: bool) {
            let index = self.made;
            self.made += 1;
            // Ahead of what exists there are owners that never were; behind it, some that are gone.
            let owners: Vec<Value> = owners
                .iter()
                .map(|(owner, blocks)| {
                    json!({
                        "apiVersion": "v1", "kind": "Thing", "name": "x",
                        "uid": uid(*owner), "blockOwnerDeletion": blocks,
                    })
                })
                .collect();
            let finalizers = if held { json!(["test/hold"]) } else { json!([]) };
            let value = json!({
                "apiVersion": "v1", "kind": "Thing",
                "metadata": {
                    "name": format!("thing-{index}"), "namespace": "n", "uid": uid(index),
                    "ownerReferences": owners, "finalizers": finalizers,
                },
            });
            self.write(index, &value);
        }

        fn delete(&mut self, index: usize, finalizer: Option<&str>) {
            let Some(object) = self.objects.get(&index) else { return };
            let mut value = object.value();
            if let Some(finalizer) = finalizer {
                release(&mut value, finalizer);
                let mut all =
                    value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                all.push(finalizer.into());
                value["metadata"]["finalizers"] = all.into();
            }
            value["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z".into();
            self.write(index, &value);
        }

        fn act(&mut self, subject: &Subject, action: &Action) {
            let found = self.objects.iter().find(|(index, _)| key(**index) == subject.key);
            let Some((index, object)) = found.map(|(index, object)| (*index, object.clone()))
            else {
                return;
            };
            if object.revision() != subject.revision {
                return;
            }
            let mut value = object.value();
            match action {
                Action::Delete { foreground } => {
                    return self.delete(index, foreground.then_some("foregroundDeletion"));
                }
                Action::Disown(uids) => disown(&mut value, uids),
                Action::Unblock => unblock(&mut value),
                Action::Release(finalizer) => release(&mut value, finalizer),
            }
            self.write(index, &value);
        }

        /// Collects until nothing is left to do, and says how many rounds that took.
        fn collect(&mut self, limit: usize) -> usize {
            for round in 0..200 {
                self.hear();
                let actions = self.graph.plan(limit, &|_, _| true);
                if actions.is_empty() {
                    return round;
                }
                for (subject, action) in &actions {
                    self.act(subject, action);
                }
            }
            panic!("the collector does not come to rest");
        }

        /// What must be true once the collector has nothing left to do.
        fn check(&self) {
            for (index, object) in &self.objects {
                let meta = object.meta();
                let is_held = meta.finalizers.iter().any(|finalizer| finalizer == "test/hold");
                let lives = |uid: &str| self.objects.values().any(|other| other.meta().uid == uid);
                let is_blocked = self.objects.iter().any(|(other, dependent)| {
                    other != index
                        && dependent.meta().owner_references.iter().any(|reference| {
                            reference.uid == meta.uid
                                && reference.block_owner_deletion == Some(true)
                        })
                });
                if meta.is_deleting() {
                    assert!(is_held || is_blocked, "{index} waits for nothing");
                } else {
                    for reference in &meta.owner_references {
                        assert!(lives(&reference.uid), "{index} was left to a dead owner");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn come_to_rest_with_no_orphan_nobody_wanted(
            steps in prop::collection::vec(step(), 1..40),
            limit in 1..5_usize,
        ) {
            let mut world = World::default();
            for step in &steps {
                match step {
                    Step::Create { owners, held } => world.create(owners, *held),
                    Step::Delete { who, policy } => {
                        let finalizer = [None, Some("foregroundDeletion"), Some("orphan")][*policy];
                        world.delete(*who, finalizer);
                    }
                    Step::LetGo { who } => {
                        if let Some(mut value) = world.objects.get(who).map(Object::value) {
                            release(&mut value, "test/hold");
                            world.write(*who, &value);
                        }
                    }
                    Step::Collect => {
                        world.collect(limit);
                        world.check();
                    }
                }
            }
            world.collect(limit);
            world.check();
            // When everybody lets go, everything that was to go is gone.
            for index in world.objects.keys().copied().collect::<Vec<_>>() {
                let Some(mut value) = world.objects.get(&index).map(Object::value) else { continue };
                release(&mut value, "test/hold");
                world.write(index, &value);
                world.collect(limit);
            }
            world.check();
            prop_assert!(world.objects.values().all(|object| !object.meta().is_deleting()));
        }
    }
}
