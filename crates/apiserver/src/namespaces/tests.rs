//! Namespaces from first to last.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::story::Story;

const NAMESPACES: &str = "/api/v1/namespaces";

fn inside(namespace: &str, plural: &str, name: &str) -> String {
    format!("{NAMESPACES}/{namespace}/{plural}/{name}")
}

impl Story {
    async fn namespace(&self, name: &str) -> Value {
        self.create(NAMESPACES, json!({"metadata": {"name": name}})).await
    }

    async fn inside(&self, plural: &str, object: Value) {
        self.create(&format!("{NAMESPACES}/attic/{plural}"), object).await;
    }

    /// The status of a condition of the namespace, and its message.
    async fn condition(&self, kind: &str) -> (String, String) {
        let namespace = self.get(&format!("{NAMESPACES}/attic")).await.unwrap();
        let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        let text = |name: &str| {
            found.and_then(|found| found[name].as_str()).unwrap_or_default().to_owned()
        };
        (text("status"), text("message"))
    }
}

fn pod(name: &str, node: &str) -> Value {
    let mut pod = json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
    });
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

#[tokio::test(start_paused = true)]
async fn some_namespaces_are_always_there_and_have_what_every_one_has() {
    let story = Story::begin().await;
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let namespace = story.get(&format!("{NAMESPACES}/{name}")).await.unwrap();
        assert_eq!(namespace["status"]["phase"], "Active");
        assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
        assert_eq!(namespace["metadata"]["labels"]["kubernetes.io/metadata.name"], name);
        assert!(story.exists(&inside(name, "serviceaccounts", "default")).await);
    }
    story.delete(&format!("{NAMESPACES}/kube-node-lease"), "Background").await;
    story
        .until("the namespace is made again", async || {
            let path = format!("{NAMESPACES}/kube-node-lease");
            story.get(&path).await.is_some_and(|namespace| namespace["status"]["phase"] == "Active")
        })
        .await;
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_namespace_is_furnished_and_its_furniture_is_replaced() {
    let story = Story::begin().await;
    story.namespace("attic").await;
    let account = inside("attic", "serviceaccounts", "default");
    story.until("the account is there", async || story.exists(&account).await).await;
    story.delete(&account, "Background").await;
    story.until("the account is there again", async || story.exists(&account).await).await;
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_root_certificate_is_given_to_each_namespace_if_there_is_one() {
    let builder = crate::ApiServer::builder().root_certificate("PEM".to_owned());
    let story = Story { server: crate::testing::TestServer::open(builder).await };
    let map = inside("default", "configmaps", "kube-root-ca.crt");
    assert_eq!(story.get(&map).await.unwrap()["data"]["ca.crt"], "PEM");
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_along_what_is_in_it() {
    let story = Story::begin().await;
    story.namespace("attic").await;
    story.inside("configmaps", json!({"metadata": {"name": "map"}})).await;
    story.inside("secrets", json!({"metadata": {"name": "secret"}})).await;
    story.inside("pods", pod("unbound", "")).await;

    story.delete(&format!("{NAMESPACES}/attic"), "Background").await;
    story.until_gone(&format!("{NAMESPACES}/attic")).await;
    for (plural, name) in [("configmaps", "map"), ("secrets", "secret"), ("pods", "unbound")] {
        assert!(!story.exists(&inside("attic", plural, name)).await, "{plural}");
    }
    // The name is free again, and nothing of its former life is left.
    story.namespace("attic").await;
    let maps = story.get(&format!("{NAMESPACES}/attic/configmaps")).await.unwrap();
    assert_eq!(maps["items"], json!([]));
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn pods_go_before_what_they_may_still_need() {
    let story = Story::begin().await;
    story.namespace("attic").await;
    story.inside("configmaps", json!({"metadata": {"name": "map"}})).await;
    story.inside("pods", pod("running", "node")).await;

    story.delete(&format!("{NAMESPACES}/attic"), "Background").await;
    story.settle().await;
    let running = story.get(&inside("attic", "pods", "running")).await.expect("it has its grace");
    assert!(running["metadata"]["deletionTimestamp"].is_string());
    let map = story.get(&inside("attic", "configmaps", "map")).await.expect("the map waits");
    assert_eq!(map["metadata"]["deletionTimestamp"], Value::Null);

    let now = json!({"gracePeriodSeconds": 0});
    story.ask(Method::DELETE, &inside("attic", "pods", "running"), now).await;
    story.until_gone(&format!("{NAMESPACES}/attic")).await;
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_can_not_go_says_what_it_waits_for() {
    let story = Story::begin().await;
    story.namespace("attic").await;
    let stuck = json!({"metadata": {"name": "stuck", "finalizers": ["test/hold"]}});
    story.inside("configmaps", stuck).await;

    story.delete(&format!("{NAMESPACES}/attic"), "Background").await;
    story.settle().await;
    let namespace = story.get(&format!("{NAMESPACES}/attic")).await.unwrap();
    assert_eq!(namespace["status"]["phase"], "Terminating");
    let yes = |message: &str| ("True".to_owned(), message.to_owned());
    assert_eq!(
        story.condition("NamespaceContentRemaining").await,
        yes("Some resources are remaining: configmaps. has 1 resource instances")
    );
    assert_eq!(
        story.condition("NamespaceFinalizersRemaining").await,
        yes(
            "Some content in the namespace has finalizers remaining: test/hold in 1 resource instances"
        )
    );
    assert_eq!(story.condition("NamespaceDeletionContentFailure").await.0, "False");
    let (code, refusal) = story
        .ask(
            Method::POST,
            &format!("{NAMESPACES}/attic/secrets"),
            json!({"metadata": {"name": "s"}}),
        )
        .await;
    assert_eq!(code, StatusCode::FORBIDDEN, "nothing new comes in");
    assert_eq!(refusal["details"]["causes"][0]["reason"], "NamespaceTerminating");

    // It says so once, and then nothing is written until something happens.
    let quiet = story.server.store().revision();
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(story.server.store().revision(), quiet);

    let free = json!({"metadata": {"finalizers": null}});
    story.patch(&inside("attic", "configmaps", "stuck"), free).await;
    story.until_gone(&format!("{NAMESPACES}/attic")).await;
    story.end().await;
}

#[tokio::test(start_paused = true)]
async fn finalizers_of_others_hold_an_empty_namespace() {
    let story = Story::begin().await;
    let mine = json!({"metadata": {"name": "attic", "finalizers": ["test/hold"]}});
    story.create(NAMESPACES, mine).await;
    story.delete(&format!("{NAMESPACES}/attic"), "Background").await;
    story.settle().await;
    let namespace = story.get(&format!("{NAMESPACES}/attic")).await.expect("it is held");
    assert_eq!(namespace["spec"]["finalizers"].as_array().map_or(0, Vec::len), 0);
    let free = json!({"metadata": {"finalizers": null}});
    story.patch(&format!("{NAMESPACES}/attic"), free).await;
    assert!(!story.exists(&format!("{NAMESPACES}/attic")).await);
    story.end().await;
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || {
        let path = dir.path().join("store");
        let builder = crate::ApiServer::builder().store(crate::StoreOptions::Durable { path });
        Story { server: crate::testing::TestServer::open(builder).await }
    };
    let story = open().await;
    story.namespace("attic").await;
    let stuck = json!({"metadata": {"name": "stuck", "finalizers": ["test/hold"]}});
    story.inside("configmaps", stuck).await;
    story.delete(&format!("{NAMESPACES}/attic"), "Background").await;
    story.end().await;

    let story = open().await;
    let free = json!({"metadata": {"finalizers": null}});
    story.patch(&inside("attic", "configmaps", "stuck"), free).await;
    story.until_gone(&format!("{NAMESPACES}/attic")).await;
    story.end().await;
}
