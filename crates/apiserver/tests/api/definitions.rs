//! Custom kinds.

use serde_json::json;

use crate::client::*;
use sandbank_apiserver::testing::TestServer;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[tokio::test]
async fn a_definition_becomes_a_kind() {
    let server = TestServer::start().await;
    assert_eq!(get(&server, WIDGETS).await.text, "404 page not found\n");
    define(&server, &widgets()).await;
    let created = post(&server, WIDGETS, &widget("a")).await.expect(201);
    assert_eq!(created["spec"]["color"], "red", "defaults of the schema");
    assert_eq!(created["metadata"]["generation"], 1);
    let mut wrong = widget("b");
    wrong["spec"] = json!({"replicas": 99, "color": "blue"});
    let status = post(&server, WIDGETS, &wrong).await.expect(422);
    let fields: Vec<&str> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["field"].as_str().unwrap())
        .collect();
    assert!(fields.contains(&"spec.image") && fields.contains(&"spec.replicas"), "{fields:?}");
    let mut untyped = widget("b");
    untyped["apiVersion"] = json!(null);
    post(&server, WIDGETS, &untyped).await.refused(
        400,
        "BadRequest",
        "the API version in the data () does not match the expected API version (demo.example.com/v1)",
    );
    let list = get(&server, WIDGETS).await.expect(200);
    assert_eq!(list["items"][0]["kind"], "Widget", "items of custom lists have their type");
    let red = get(&server, &format!("{WIDGETS}?fieldSelector=spec.color%3Dred")).await.expect(200);
    assert_eq!(red["items"].as_array().unwrap().len(), 1);
    let blue =
        get(&server, &format!("{WIDGETS}?fieldSelector=spec.color%3Dblue")).await.expect(200);
    assert_eq!(blue["items"], json!([]));
    let strategic =
        patch(&server, &format!("{WIDGETS}/a"), "application/strategic-merge-patch+json", "{}")
            .await;
    assert_eq!(strategic.code, 415);
    let apply = patch(&server, &format!("{WIDGETS}/a"), "application/apply-patch+yaml", "{}").await;
    assert!(apply.text.contains("not served by sandbank yet"));
    assert_eq!(apply.code, 415);
    assert_eq!(
        put(&server, &format!("{WIDGETS}/a"), &widget("a")).await.code,
        422,
        "a revision is needed"
    );
}

/// Trap 9: /status of custom resources takes the status and nothing else.
#[tokio::test]
async fn generation_counts_the_spec_and_status_is_apart() {
    let server = TestServer::start().await;
    define(&server, &widgets()).await;
    let mut with_status = widget("a");
    with_status["status"] = json!({"phase": "Made up"});
    let created = post(&server, WIDGETS, &with_status).await.expect(201);
    assert_eq!(created["status"], json!(null));
    let uri = format!("{WIDGETS}/a");
    let generation = |value: &serde_json::Value| value["metadata"]["generation"].as_u64().unwrap();
    let labelled =
        merge(&server, &uri, &json!({"metadata": {"labels": {"a": "b"}}})).await.expect(200);
    assert_eq!(generation(&labelled), 1);
    let changed =
        merge(&server, &uri, &json!({"spec": {"color": "blue"}, "status": {"phase": "x"}}))
            .await
            .expect(200);
    assert_eq!((generation(&changed), &changed["status"]), (2, &json!(null)));
    let body = json!({"status": {"phase": "Real"}, "spec": {"color": "green"}, "metadata": {"labels": {"c": "d"}}});
    let status = merge(&server, &format!("{uri}/status"), &body).await.expect(200);
    assert_eq!(status["status"]["phase"], "Real");
    assert_eq!(status["spec"]["color"], "blue");
    assert_eq!(status["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(generation(&status), 2);
    let mut held = status.clone();
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    put(&server, &uri, &held).await.expect(200);
    let marked = delete(&server, &uri, &json!(null)).await.expect(200);
    assert_eq!(generation(&marked), 3, "a deletion mark counts");
}

#[tokio::test]
async fn scale_is_a_view_of_the_object() {
    let server = TestServer::start().await;
    define(&server, &widgets()).await;
    post(&server, WIDGETS, &widget("a")).await.expect(201);
    let uri = format!("{WIDGETS}/a/scale");
    let scale = get(&server, &uri).await.expect(200);
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!(scale["spec"]["replicas"], 0);
    let scaled = merge(&server, &uri, &json!({"spec": {"replicas": 3}})).await.expect(200);
    assert_eq!(scaled["spec"]["replicas"], 3);
    let object = get(&server, &format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!(
        (&object["spec"]["replicas"], &object["metadata"]["generation"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(merge(&server, &uri, &json!({"spec": {"replicas": -1}})).await.code, 422);
    assert_eq!(
        merge(&server, &uri, &json!({"spec": {"replicas": 11}})).await.code,
        422,
        "the object's own rules hold"
    );
    let mut put_scale = scaled.clone();
    put_scale["spec"]["replicas"] = 4.into();
    put(&server, &uri, &put_scale).await.expect(200);
    assert_eq!(put(&server, &uri, &put_scale).await.code, 409, "the revision is the object's");
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_along() {
    let server = TestServer::start().await;
    define(&server, &widgets()).await;
    let mut held = widget("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&server, WIDGETS, &held).await.expect(201);
    post(&server, WIDGETS, &widget("free")).await.expect(201);
    let mut events = Events::open(
        &server,
        &format!("{DEFINITIONS}?watch=true&resourceVersion={}", server.store().revision()),
    )
    .await;
    let mut objects = Events::open(
        &server,
        &format!("{WIDGETS}?watch=true&resourceVersion={}", server.store().revision()),
    )
    .await;
    let name = "widgets.demo.example.com";
    let marked = delete(&server, &format!("{DEFINITIONS}/{name}"), &json!(null)).await.expect(200);
    let finalizer = "customresourcecleanup.apiextensions.k8s.io";
    assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
    assert_eq!(objects.brief().await, "DELETED free");
    assert_eq!(objects.brief().await, "MODIFIED held");
    merge(&server, &format!("{WIDGETS}/held"), &json!({"metadata": {"finalizers": null}}))
        .await
        .expect(200);
    assert_eq!(objects.brief().await, "DELETED held");
    loop {
        let event = events.next().await.unwrap();
        if event["type"] == "DELETED" {
            break;
        }
    }
    // The kind is taken away by the same loop, a moment after its definition.
    while get(&server, WIDGETS).await.code != 404 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn wrong_definitions_are_refused_by_field() {
    let server = TestServer::start().await;
    let mut wrong = widgets();
    wrong["metadata"]["name"] = "other.demo.example.com".into();
    wrong["spec"]["versions"][0]["storage"] = false.into();
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"properties": {}});
    let status = post(&server, DEFINITIONS, &wrong).await.expect(422);
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("must be spec.names.plural+\".\"+spec.group"), "{message}");
    assert!(
        message.contains("must have exactly one version marked as storage version"),
        "{message}"
    );
    assert!(message.contains("must not be empty at the root"), "{message}");
    define(&server, &widgets()).await;
    let uri = format!("{DEFINITIONS}/widgets.demo.example.com");
    assert_eq!(merge(&server, &uri, &json!({"spec": {"scope": "Cluster"}})).await.code, 422);
}

/// Moves the text between `spec.text` (v1) and `spec.words` (v2).
struct Words;

impl sandbank_apiserver::Converter for Words {
    fn convert(
        &self,
        mut object: serde_json::Value,
        api_version: &str,
    ) -> Result<serde_json::Value, String> {
        let (from, to) =
            if api_version.ends_with("/v2") { ("text", "words") } else { ("words", "text") };
        let spec = object["spec"].as_object_mut().ok_or("no spec")?;
        if let Some(value) = spec.remove(from) {
            spec.insert(to.into(), value);
        }
        // A careless converter; the server must not let it change who the object is.
        object["metadata"]["uid"] = "forged".into();
        Ok(object)
    }
}

#[tokio::test]
async fn versions_are_converted_in_process_and_none_is_lost() {
    let builder = sandbank_apiserver::ApiServer::builder();
    let builder = builder.converter("demo.example.com", "Note", std::sync::Arc::new(Words));
    let server = TestServer::open(builder).await;
    let version = |name: &str, field: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object",
            "properties": {"spec": {"type": "object", "properties": {field: {"type": "string"}}}}}}})
    };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "notes.demo.example.com"},
        "spec": {
            "group": "demo.example.com", "scope": "Namespaced", "names": {"plural": "notes", "kind": "Note"},
            "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
                "clientConfig": {"service": {"namespace": "default", "name": "n"}}}},
            "versions": [version("v1", "text", true), version("v2", "words", false)],
        },
    });
    define(&server, &definition).await;
    let uri = |version: &str| format!("/apis/demo.example.com/{version}/namespaces/default/notes");
    let revision = server.store().revision();
    let mut old =
        Events::open(&server, &format!("{}?watch=true&resourceVersion={revision}", uri("v1")))
            .await;
    let mut new =
        Events::open(&server, &format!("{}?watch=true&resourceVersion={revision}", uri("v2")))
            .await;
    let note = json!({"apiVersion": "demo.example.com/v2", "kind": "Note", "metadata": {"name": "n"}, "spec": {"words": "hi"}});
    let created = post(&server, &uri("v2"), &note).await.expect(201);
    assert_eq!(
        (&created["apiVersion"], &created["spec"]),
        (&json!("demo.example.com/v2"), &json!({"words": "hi"}))
    );
    let seen = get(&server, &format!("{}/n", uri("v1"))).await.expect(200);
    assert_eq!(
        (&seen["apiVersion"], &seen["spec"]),
        (&json!("demo.example.com/v1"), &json!({"text": "hi"}))
    );
    for member in ["uid", "resourceVersion", "creationTimestamp"] {
        assert_eq!(seen["metadata"][member], created["metadata"][member], "{member}");
    }
    assert_eq!(old.next().await.unwrap()["object"]["spec"], json!({"text": "hi"}));
    assert_eq!(new.next().await.unwrap()["object"]["spec"], json!({"words": "hi"}));
    let changed = merge(&server, &format!("{}/n", uri("v2")), &json!({"spec": {"words": "ho"}}))
        .await
        .expect(200);
    assert_eq!(changed["metadata"]["uid"], created["metadata"]["uid"]);
    let list = get(&server, &uri("v1")).await.expect(200);
    assert_eq!(list["items"][0]["spec"], json!({"text": "ho"}));
    let same = merge(&server, &format!("{}/n", uri("v2")), &json!({"spec": {"words": "ho"}}))
        .await
        .expect(200);
    assert_eq!(same, changed, "no change in one version is none in the other");
}

#[tokio::test]
async fn a_changed_definition_shows_in_old_objects_and_ends_watches() {
    let server = TestServer::start().await;
    define(&server, &widgets()).await;
    post(&server, WIDGETS, &widget("a")).await.expect(201);
    let mut events = Events::open(&server, &format!("{WIDGETS}?watch=true")).await;
    assert_eq!(events.brief().await, "ADDED a");
    let uri = format!("{DEFINITIONS}/widgets.demo.example.com");
    let property = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size";
    let operations =
        json!([{"op": "add", "path": property, "value": {"type": "string", "default": "large"}}]);
    patch(&server, &uri, "application/json-patch+json", &operations.to_string()).await.expect(200);
    assert!(
        events.next().await.is_none(),
        "the client asks anew and gets objects of the new schema"
    );
    let object = get(&server, &format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!(object["spec"]["size"], "large", "defaults reach what was stored before them");
    assert_eq!(get(&server, WIDGETS).await.expect(200)["items"][0]["spec"]["size"], "large");
}

#[tokio::test]
async fn nothing_is_created_any_more_once_its_definition_is_being_deleted() {
    let server = TestServer::start().await;
    define(&server, &widgets()).await;
    let mut held = widget("held");
    held["metadata"]["finalizers"] = json!(["demo.example.com/hold"]);
    post(&server, WIDGETS, &held).await.expect(201);
    let uri = format!("{DEFINITIONS}/widgets.demo.example.com");
    delete(&server, &uri, &json!({})).await.expect(200);
    post(&server, WIDGETS, &widget("late")).await.refused(
        405,
        "MethodNotAllowed",
        "create not allowed while custom resource definition is terminating",
    );
    // What is there can still be changed, or it could never let go.
    let mut gone =
        Events::open(&server, &format!("{DEFINITIONS}?watch=true&resourceVersion=0")).await;
    merge(&server, &format!("{WIDGETS}/held"), &json!({"metadata": {"finalizers": null}}))
        .await
        .expect(200);
    while gone.brief().await != "DELETED widgets.demo.example.com" {}
    assert_eq!(get(&server, WIDGETS).await.code, 404);
}
