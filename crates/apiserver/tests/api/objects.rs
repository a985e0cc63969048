//! One object from its creation on.

use serde_json::json;

use crate::client::*;
use sandbank_apiserver::testing::TestServer;

#[tokio::test]
async fn an_object_is_created_read_replaced_and_patched() {
    let server = TestServer::start().await;
    let created = post(&server, MAPS, &config_map("a", json!({"k": "1"}))).await.expect(201);
    assert_eq!(created["metadata"]["namespace"], "default");
    assert_eq!(created["metadata"]["uid"].as_str().unwrap().len(), 36);
    assert!(created["metadata"]["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    let uri = format!("{MAPS}/a");
    assert_eq!(get(&server, &uri).await.expect(200), created);

    let mut changed = created.clone();
    changed["data"]["k"] = "2".into();
    changed["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z".into();
    let replaced = put(&server, &uri, &changed).await.expect(200);
    assert_eq!(replaced["data"]["k"], "2");
    let kept = &created["metadata"]["creationTimestamp"];
    assert_eq!(replaced["metadata"]["creationTimestamp"], *kept, "clients can't change it");
    put(&server, &uri, &changed).await.refused(
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
         the latest version and try again",
    );

    let merged = merge(&server, &uri, &json!({"data": {"k": null, "l": "3"}})).await.expect(200);
    assert_eq!(merged["data"], json!({"l": "3"}));
    let operations = json!([{"op": "test", "path": "/data/l", "value": "3"}, {"op": "add", "path": "/data/m", "value": "4"}]);
    let media = "application/json-patch+json";
    let patched = patch(&server, &uri, media, &operations.to_string()).await.expect(200);
    assert_eq!(patched["data"], json!({"l": "3", "m": "4"}));
    let failing = json!([{"op": "test", "path": "/data/l", "value": "9"}]);
    patch(&server, &uri, media, &failing.to_string()).await.refused(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    let stale = json!({"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}});
    assert_eq!(merge(&server, &uri, &stale).await.code, 409);
}

/// Trap 5: controllers that apply in a loop must settle.
#[tokio::test]
async fn a_write_that_changes_nothing_writes_nothing() {
    let server = TestServer::start().await;
    let created = post(&server, MAPS, &config_map("a", json!({"k": "1"}))).await.expect(201);
    let uri = format!("{MAPS}/a");
    let mut events = Events::open(
        &server,
        &format!(
            "{MAPS}?watch=true&resourceVersion={}",
            created["metadata"]["resourceVersion"].as_str().unwrap()
        ),
    )
    .await;
    assert_eq!(put(&server, &uri, &created).await.expect(200), created);
    assert_eq!(merge(&server, &uri, &json!({"data": {"k": "1"}})).await.expect(200), created);
    post(&server, MAPS, &config_map("b", json!({}))).await.expect(201);
    assert_eq!(events.brief().await, "ADDED b", "the first event is the next real change");
}

/// Trap 2: the Python client posts without a Content-Type.
#[tokio::test]
async fn a_body_without_a_type_is_json() {
    let server = TestServer::start().await;
    let request = http::Request::post(MAPS)
        .body(axum::body::Body::from(config_map("a", json!({})).to_string()))
        .unwrap();
    send(&server, request).await.expect(201);
    let request = http::Request::post(MAPS)
        .header("content-type", "application/yaml")
        .body(axum::body::Body::from("kind: ConfigMap\nmetadata: {name: why}\ndata: {a: b}\n"))
        .unwrap();
    let created = send(&server, request).await.expect(201);
    assert_eq!(created["apiVersion"], "v1", "built-in kinds may leave their type to the URL");
}

#[tokio::test]
async fn generated_names_are_short_and_unique() {
    let server = TestServer::seeded(7).await;
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"generateName": format!("{}-", "x".repeat(70))}});
    let first = post(&server, MAPS, &map).await.expect(201);
    let second = post(&server, MAPS, &map).await.expect(201);
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
    assert_eq!(first["metadata"]["name"].as_str().unwrap().len(), 63);
    let again = TestServer::seeded(7).await;
    let replayed = post(&again, MAPS, &map).await.expect(201);
    assert_eq!(replayed, first, "a seed decides names, uids and times");
}

#[tokio::test]
async fn dry_run_does_everything_but_store() {
    let server = TestServer::start().await;
    let map = config_map("a", json!({"k": "1"}));
    post(&server, &format!("{MAPS}?dryRun=All"), &map).await.expect(201);
    get(&server, &format!("{MAPS}/a")).await.expect(404);
    post(&server, MAPS, &map).await.expect(201);
    assert_eq!(post(&server, &format!("{MAPS}?dryRun=All"), &map).await.code, 409);
    let uri = format!("{MAPS}/a?dryRun=All");
    let patched = merge(&server, &uri, &json!({"data": {"k": "2"}})).await.expect(200);
    assert_eq!(patched["data"]["k"], "2");
    delete(&server, &uri, &json!({})).await.expect(200);
    delete(&server, &format!("{MAPS}/a"), &json!({"dryRun": ["All"]})).await.expect(200);
    assert_eq!(get(&server, &format!("{MAPS}/a")).await.expect(200)["data"]["k"], "1");
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_about_or_ignored() {
    let server = TestServer::start().await;
    let body = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"x":"1","x":"2"},"unk":1}"#;
    let send_with = |validation: &str| {
        let request =
            http::Request::post(format!("{MAPS}?dryRun=All&fieldValidation={validation}"))
                .body(axum::body::Body::from(body))
                .unwrap();
        send(&server, request)
    };
    send_with("Strict").await.refused(
        400,
        "BadRequest",
        "strict decoding error: unknown field \"unk\", duplicate field \"data.x\"",
    );
    let warned = send_with("Warn").await;
    let warnings: Vec<_> = warned.headers.get_all("warning").iter().collect();
    assert_eq!(
        warnings,
        [r#"299 - "unknown field \"unk\"""#, r#"299 - "duplicate field \"data.x\"""#]
    );
    assert_eq!(warned.expect(201)["unk"], json!(null));
    let ignored = send_with("Ignore").await;
    assert!(!ignored.headers.contains_key("warning"));
    assert_eq!(ignored.code, 201);
    let message = "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Foo\": supported \
                   values: \"Ignore\", \"Warn\", \"Strict\"";
    send_with("Foo").await.refused(422, "Invalid", message);
}

#[tokio::test]
async fn a_lease_needs_its_revision_and_six_digits() {
    let server = TestServer::start().await;
    let uri = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2030-01-01T00:00:00.000001Z"},
    });
    // A PUT to a free name creates; then the revision decides.
    let named = format!("{uri}/l");
    let created = put(&server, &named, &lease).await.expect(201);
    put(&server, &named, &lease).await.refused(
        422,
        "Invalid",
        "Lease.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for \
         an update",
    );
    let mut renewed = created.clone();
    renewed["spec"]["renewTime"] = "2030-01-01T00:00:02.000001Z".into();
    put(&server, &named, &renewed).await.expect(200);
    assert_eq!(put(&server, &named, &renewed).await.code, 409);
    let mut wrong = lease.clone();
    wrong["metadata"]["name"] = "w".into();
    wrong["spec"]["renewTime"] = "2030-01-01T00:00:00Z".into();
    assert_eq!(post(&server, uri, &wrong).await.code, 400);
    wrong["spec"]["renewTime"] = json!(null);
    wrong["spec"]["leaseDurationSeconds"] = 0.into();
    assert_eq!(post(&server, uri, &wrong).await.code, 422);
}

#[tokio::test]
async fn secrets_fold_plain_text_and_keep_their_type() {
    let server = TestServer::start().await;
    let uri = "/api/v1/namespaces/default/secrets";
    let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "stringData": {"a": "b"}});
    let created = post(&server, uri, &secret).await.expect(201);
    assert_eq!(created["data"], json!({"a": "Yg=="}));
    assert_eq!(created["type"], "Opaque");
    assert_eq!(created["stringData"], json!(null));
    let named = format!("{uri}/s");
    assert_eq!(merge(&server, &named, &json!({"type": "other"})).await.code, 422);
    merge(&server, &named, &json!({"immutable": true})).await.expect(200);
    assert_eq!(merge(&server, &named, &json!({"data": {"a": "Yw=="}})).await.code, 422);
    assert_eq!(merge(&server, &named, &json!({"immutable": false})).await.code, 422);
}

#[tokio::test]
async fn both_event_groups_show_one_store() {
    let server = TestServer::start().await;
    let new = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
        "eventTime": "2030-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
        "action": "Ran", "reason": "Started", "type": "Normal", "note": "it started",
        "regarding": {"kind": "Pod", "name": "p", "namespace": "default"},
    });
    let uri = "/apis/events.k8s.io/v1/namespaces/default/events";
    let created = post(&server, uri, &new).await.expect(201);
    assert_eq!(created["note"], "it started");
    let core = "/api/v1/namespaces/default/events";
    let list =
        get(&server, &format!("{core}?fieldSelector=involvedObject.name%3Dp")).await.expect(200);
    assert_eq!(list["items"][0]["message"], "it started");
    assert_eq!(list["items"][0]["involvedObject"]["name"], "p");
    let list = get(&server, uri).await.expect(200);
    assert_eq!(list["items"][0]["regarding"]["name"], "p");
    let mut wrong = new.clone();
    wrong["metadata"]["name"] = "f".into();
    wrong["action"] = json!(null);
    assert_eq!(post(&server, uri, &wrong).await.code, 422);
}
