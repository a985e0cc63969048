//! Watches: where they begin, what they say, how they end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::*;
use sandbank_apiserver::testing::TestServer;

fn labelled(name: &str, label: &str) -> Value {
    let mut map = config_map(name, json!({}));
    map["metadata"]["labels"] = json!({"l": label});
    map
}

#[tokio::test]
async fn a_watch_without_a_revision_begins_with_what_there_is() {
    let server = TestServer::start().await;
    post(&server, MAPS, &labelled("a", "x")).await.expect(201);
    let mut events = Events::open(&server, &format!("{MAPS}?watch=1")).await;
    assert_eq!(events.brief().await, "ADDED a");
    post(&server, MAPS, &labelled("b", "x")).await.expect(201);
    assert_eq!(events.brief().await, "ADDED b");
    merge(&server, &format!("{MAPS}/a"), &json!({"data": {"k": "v"}})).await.expect(200);
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["data"]["k"]), (&json!("MODIFIED"), &json!("v")));
    assert_eq!(
        (&event["object"]["kind"], &event["object"]["apiVersion"]),
        (&json!("ConfigMap"), &json!("v1"))
    );
    delete(&server, &format!("{MAPS}/a"), &json!(null)).await.expect(200);
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    let revision = server.store().revision().to_string();
    assert_eq!(event["object"]["metadata"]["resourceVersion"], revision.as_str());
}

/// Trap 4: streaming lists end with a bookmark that says so.
#[tokio::test]
async fn initial_events_end_with_an_annotated_bookmark() {
    let server = TestServer::start().await;
    for name in ["a", "b"] {
        post(&server, MAPS, &labelled(name, "x")).await.expect(201);
    }
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = Events::open(&server, &format!("{MAPS}?{query}&resourceVersion=0")).await;
    assert_eq!(events.brief().await, "ADDED a");
    assert_eq!(events.brief().await, "ADDED b");
    let mark = events.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let revision = server.store().revision().to_string();
    assert_eq!(mark["object"]["metadata"]["resourceVersion"], revision.as_str());
    post(&server, MAPS, &labelled("c", "x")).await.expect(201);
    assert_eq!(events.brief().await, "ADDED c");
}

#[tokio::test]
async fn selectors_turn_changes_into_arrivals_and_departures() {
    let server = TestServer::start().await;
    post(&server, MAPS, &labelled("a", "in")).await.expect(201);
    let revision = server.store().revision();
    let uri = format!("{MAPS}?watch=true&labelSelector=l%3Din&resourceVersion={revision}");
    let mut events = Events::open(&server, &uri).await;
    let named = format!("{MAPS}/a");
    let label = |label: &str| json!({"metadata": {"labels": {"l": label}}});
    merge(&server, &named, &label("out")).await.expect(200);
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    assert_eq!(event["object"]["metadata"]["labels"]["l"], "in", "the last state that matched");
    let revision = server.store().revision().to_string();
    assert_eq!(event["object"]["metadata"]["resourceVersion"], revision.as_str());
    merge(&server, &named, &json!({"data": {"not": "seen"}})).await.expect(200);
    merge(&server, &named, &label("in")).await.expect(200);
    assert_eq!(events.brief().await, "ADDED a");
}

/// Trap 7: a list that is too old is 410, a watch that is too old is an event.
#[tokio::test]
async fn forgotten_history_is_an_event_in_a_watch_and_410_in_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let options = sandbank_apiserver::StoreOptions::Durable { path: dir.path().join("store") };
    let builder = || sandbank_apiserver::ApiServer::builder().store(options.clone());
    let server = TestServer::open(builder()).await;
    for name in ["a", "b"] {
        post(&server, MAPS, &labelled(name, "x")).await.expect(201);
    }
    let token = get(&server, &format!("{MAPS}?limit=1")).await.expect(200);
    let token = token["metadata"]["continue"].as_str().unwrap().to_owned();
    let old = server.store().revision().0 - 1;
    server.close().await;
    let server = TestServer::open(builder()).await;
    post(&server, MAPS, &labelled("c", "x")).await.expect(201);
    let uri = format!("{MAPS}?watch=true&resourceVersion={old}");
    let mut events = Events::open(&server, &uri).await;
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert!(events.next().await.is_none(), "the stream ends after it");
    let uri = format!("{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact");
    let message = "The resourceVersion for the provided list is too old.";
    get(&server, &uri).await.refused(410, "Expired", message);
    // The token is of the last state before the restart, which is still the oldest that is known.
    let rest = get(&server, &format!("{MAPS}?continue={token}")).await.expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    server.close().await;
}

#[tokio::test(start_paused = true)]
async fn bookmarks_come_only_when_asked_for_and_a_timeout_ends_the_stream() {
    let server = TestServer::seeded(1).await;
    let revision = server.store().revision();
    let uri = format!("{MAPS}?watch=true&resourceVersion={revision}&timeoutSeconds=150");
    let mut quiet = Events::open(&server, &uri).await;
    let mut marked = Events::open(&server, &format!("{uri}&allowWatchBookmarks=true")).await;
    // Something else moves the store on; the bookmark says how far.
    post(
        &server,
        "/api/v1/namespaces/default/serviceaccounts",
        &json!({"metadata": {"name": "x"}}),
    )
    .await
    .expect(201);
    let now = server.store().revision().to_string();
    for _ in 0..3 {
        let event = marked.next().await.unwrap();
        assert_eq!(event["type"], "BOOKMARK");
        assert_eq!(event["object"]["metadata"]["resourceVersion"], now.as_str());
        assert_eq!(event["object"]["kind"], "ConfigMap");
    }
    assert!(marked.next().await.is_none());
    assert!(quiet.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_the_future_waits_in_silence_a_streaming_one_hears_why() {
    let server = TestServer::seeded(1).await;
    let future = server.store().revision().0 + 3;
    let uri = format!("{MAPS}?watch=true&resourceVersion={future}");
    let mut events = Events::open(&server, &uri).await;
    for name in ["a", "b", "c", "d"] {
        post(&server, MAPS, &labelled(name, "x")).await.expect(201);
    }
    assert_eq!(events.brief().await, "ADDED d", "only what came after");
    let future = server.store().revision().0 + 9;
    let query = format!(
        "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion={future}"
    );
    let mut events = Events::open(&server, &format!("{MAPS}?{query}")).await;
    let event = events.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(504)));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn closing_the_server_ends_its_watches() {
    let server = TestServer::start().await;
    let mut events = Events::open(&server, &format!("{MAPS}?watch=true")).await;
    let ((), end) = futures::join!(server.close(), async {
        tokio::time::timeout(Duration::from_secs(10), events.next()).await
    });
    assert!(end.unwrap().is_none());
    assert_eq!(get(&server, MAPS).await.code, 503);
}
