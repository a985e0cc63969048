//! Lists: order, chunks, revisions, selectors, forms.

use serde_json::{Value, json};

use crate::client::*;
use sandbank_apiserver::testing::TestServer;

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

async fn with_maps(names: &[&str]) -> TestServer {
    let server = TestServer::start().await;
    for name in names {
        let mut map = config_map(name, json!({}));
        map["metadata"]["labels"] = json!({"name": name});
        post(&server, MAPS, &map).await.expect(201);
    }
    server
}

#[tokio::test]
async fn a_chunked_list_shows_one_revision_whatever_is_written_meanwhile() {
    let server = with_maps(&["a", "b", "c", "d", "e"]).await;
    let first = get(&server, &format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(
        first["items"][0]["kind"],
        json!(null),
        "items of built-in lists go without their type"
    );
    delete(&server, &format!("{MAPS}/c"), &json!(null)).await.expect(200);
    post(&server, MAPS, &config_map("bb", json!({}))).await.expect(201);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = get(&server, &format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = get(&server, &format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&third), ["e"]);
    assert_eq!(third["metadata"]["continue"], json!(null));

    let all = get(&server, &format!("{MAPS}?limit=2&resourceVersion=0")).await.expect(200);
    assert_eq!(names(&all), ["a", "b", "bb", "d", "e"], "zero means anything, and all of it");
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    let exact = format!("{MAPS}?resourceVersion={revision}&resourceVersionMatch=Exact");
    assert_eq!(names(&get(&server, &exact).await.expect(200)), ["a", "b", "c", "d", "e"]);
    let newer = format!("{MAPS}?resourceVersion={revision}");
    assert_eq!(names(&get(&server, &newer).await.expect(200)), ["a", "b", "bb", "d", "e"]);
}

#[tokio::test]
async fn an_expired_token_is_410_and_brings_one_that_goes_on_with_the_present() {
    let dir = tempfile::tempdir().unwrap();
    let options = sandbank_apiserver::StoreOptions::Durable { path: dir.path().join("store") };
    let builder = || sandbank_apiserver::ApiServer::builder().store(options.clone());
    let server = TestServer::open(builder()).await;
    for name in ["a", "b", "c"] {
        post(&server, MAPS, &config_map(name, json!({}))).await.expect(201);
    }
    let first = get(&server, &format!("{MAPS}?limit=1&labelSelector=!x")).await.expect(200);
    assert_eq!(names(&first), ["a"]);
    let token = first["metadata"]["continue"].as_str().unwrap();
    post(&server, MAPS, &config_map("d", json!({}))).await.expect(201);
    // A server that starts knows the present and nothing before it.
    server.close().await;
    let server = TestServer::open(builder()).await;
    let uri = format!("{MAPS}?limit=1&labelSelector=!x&continue=");
    let status = get(&server, &format!("{uri}{token}")).await.expect(410);
    assert_eq!(
        (&status["kind"], &status["reason"], &status["code"]),
        (&json!("Status"), &json!("Expired"), &json!(410))
    );
    let mut token = status["metadata"]["continue"].as_str().unwrap().to_owned();
    let mut rest = Vec::new();
    loop {
        let page = get(&server, &format!("{uri}{token}")).await.expect(200);
        rest.extend(names(&page).into_iter().map(str::to_owned));
        match page["metadata"]["continue"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(rest, ["b", "c", "d"], "without a gap, but not of one moment");
    server.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    tokio::time::pause();
    let server = TestServer::seeded(1).await;
    let never =
        axum::body::Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>());
    let request = http::Request::post(MAPS).body(never).unwrap();
    let status = send(&server, request).await.expect(400);
    assert_eq!(status["message"], "the request's body did not arrive within 60 seconds");
}

#[tokio::test]
async fn wrong_list_options_are_named() {
    let server = with_maps(&["a"]).await;
    for (query, code) in [
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("resourceVersion=x", 400),
        ("continue=nonsense", 400),
        ("sendInitialEvents=true", 422),
        ("labelSelector=a%20b", 400),
        ("fieldSelector=data.i%3D1", 400),
        ("watch=true&sendInitialEvents=true", 422),
        ("watch=true&resourceVersionMatch=NotOlderThan", 422),
        ("limit=x", 400),
    ] {
        let answer = get(&server, &format!("{MAPS}?{query}")).await;
        assert_eq!(answer.code, code, "{query}: {}", answer.text);
    }
    get(&server, &format!("{MAPS}?fieldSelector=data.i%3D1")).await.refused(
        400,
        "BadRequest",
        "\"data.i\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    );
    let first = get(&server, &format!("{MAPS}?limit=1")).await.expect(200);
    assert_eq!(first["metadata"]["continue"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn a_revision_from_the_future_is_waited_for_and_then_refused() {
    let server = TestServer::seeded(1).await;
    let now: u64 = server.store().revision().0;
    let answer = get(&server, &format!("{MAPS}?resourceVersion={}", now + 5)).await;
    let message = format!("Timeout: Too large resource version: {}, current: {now}", now + 5);
    let status = answer.refused(504, "Timeout", &message);
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    let reads = async { get(&server, &format!("{MAPS}?resourceVersion={}", now + 1)).await };
    let writes = async { post(&server, MAPS, &config_map("a", json!({}))).await };
    let (read, _) = futures::join!(reads, writes);
    assert_eq!(names(&read.expect(200)), ["a"]);
}

#[tokio::test]
async fn selectors_choose_and_count() {
    let server = with_maps(&["a", "b", "c"]).await;
    let chosen =
        get(&server, &format!("{MAPS}?labelSelector=name%20in%20(a,c)&limit=1")).await.expect(200);
    assert_eq!(names(&chosen), ["a"]);
    assert_eq!(chosen["metadata"]["remainingItemCount"], json!(null));
    let token = chosen["metadata"]["continue"].as_str().unwrap();
    let rest = format!("{MAPS}?labelSelector=name%20in%20(a,c)&limit=1&continue={token}");
    let rest = get(&server, &rest).await.expect(200);
    assert_eq!(names(&rest), ["c"]);
    assert_eq!(rest["metadata"]["continue"], json!(null));
    let one = get(&server, &format!("{MAPS}?fieldSelector=metadata.name%3Db")).await.expect(200);
    assert_eq!(names(&one), ["b"]);
    let everywhere = get(&server, "/api/v1/configmaps").await.expect(200);
    assert_eq!(names(&everywhere), ["a", "b", "c"]);
    let request =
        http::Request::delete("/api/v1/configmaps").body(axum::body::Body::empty()).unwrap();
    assert_eq!(send(&server, request).await.code, 405, "deletes are per namespace");
    let gone =
        delete(&server, &format!("{MAPS}?labelSelector=name!=b"), &json!(null)).await.expect(200);
    assert_eq!(names(&gone), ["a", "c"]);
    assert_eq!(names(&get(&server, MAPS).await.expect(200)), ["b"]);
    let empty = get(&server, "/api/v1/namespaces/none/configmaps").await.expect(200);
    assert_eq!(empty["items"], json!([]), "never null");
}

#[tokio::test]
async fn metadata_alone_is_served_without_content() {
    let server = with_maps(&["a"]).await;
    let media = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
    let list = get_as(&server, MAPS, media).await.expect(200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    let item = &list["items"][0];
    assert_eq!(
        (&item["kind"], &item["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("a"))
    );
    assert_eq!(item["data"], json!(null));
    let media = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = get_as(&server, &format!("{MAPS}/a"), media).await.expect(200);
    assert_eq!(one["kind"], "PartialObjectMetadata");
    assert_eq!(get_as(&server, MAPS, "text/html").await.code, 406);
}
