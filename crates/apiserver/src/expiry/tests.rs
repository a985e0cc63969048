//! Events live an hour from their last write.

use std::time::Duration;

use serde_json::json;

use crate::story::Story;

const EVENTS: &str = "/api/v1/namespaces/default/events";
const MINUTE: Duration = Duration::from_secs(60);

impl Story {
    async fn event(&self, name: &str) {
        let event = json!({
            "metadata": {"name": name},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
            "reason": "Started", "type": "Normal", "count": 1,
        });
        self.create(EVENTS, event).await;
    }

    async fn has_event(&self, name: &str) -> bool {
        self.exists(&format!("{EVENTS}/{name}")).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_lives_an_hour_and_a_repeated_one_longer() {
    let story = Story::begin().await;
    story.event("once").await;
    story.event("repeated").await;
    story
        .create("/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "map"}}))
        .await;
    tokio::time::sleep(50 * MINUTE).await;
    story.event("late").await;
    story.patch(&format!("{EVENTS}/repeated"), json!({"count": 2})).await;

    tokio::time::sleep(9 * MINUTE).await;
    assert!(story.has_event("once").await);
    tokio::time::sleep(2 * MINUTE).await;
    assert!(!story.has_event("once").await);
    assert!(story.has_event("repeated").await && story.has_event("late").await);
    tokio::time::sleep(50 * MINUTE).await;
    assert!(!story.has_event("repeated").await && !story.has_event("late").await);
    assert!(story.exists("/api/v1/namespaces/default/configmaps/map").await);
    story.end().await;
}

#[tokio::test]
async fn events_of_an_earlier_run_go_by_their_own_times() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |start: &str| {
        let path = dir.path().join("store");
        let builder = crate::ApiServer::builder()
            .store(crate::StoreOptions::Durable { path })
            .clock(crate::Clock::tokio(start.parse().unwrap()));
        Story { server: crate::testing::TestServer::open(builder).await }
    };
    let story = open("2030-05-01T12:00:00Z").await;
    story.event("old").await;
    story.end().await;

    let story = open("2030-05-01T13:05:00Z").await;
    story.event("new").await;
    story.until_gone(&format!("{EVENTS}/old")).await;
    assert!(story.has_event("new").await);
    story.end().await;
}
