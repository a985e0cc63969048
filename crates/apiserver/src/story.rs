//! For tests: a server spoken to in plain JSON, and a way to wait for what its loops will do.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::testing::TestServer;

/// On paused time this passes at once when nothing is left to do, so a story that does not come true fails fast.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a story.
pub(crate) struct Story {
    pub(crate) server: TestServer,
}

impl Story {
    pub(crate) async fn begin() -> Self {
        Self { server: TestServer::seeded(1).await }
    }

    /// Any request; answers the code and the body.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let media = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, media)
            .body(Full::from(body))
            .unwrap();
        let response = self.server.service().oneshot(request).await.unwrap();
        let code = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Creates an object in a collection; answers it.
    pub(crate) async fn create(&self, collection: &str, object: Value) -> Value {
        let (code, body) = self.ask(Method::POST, collection, object).await;
        assert_eq!(code, StatusCode::CREATED, "{body}");
        body
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let (code, body) = self.ask(Method::GET, path, Value::Null).await;
        match code {
            StatusCode::OK => Some(body),
            StatusCode::NOT_FOUND => None,
            _ => panic!("{path}: {body}"),
        }
    }

    pub(crate) async fn exists(&self, path: &str) -> bool {
        self.get(path).await.is_some()
    }

    pub(crate) async fn patch(&self, path: &str, patch: Value) -> Value {
        let (code, body) = self.ask(Method::PATCH, path, patch).await;
        assert_eq!(code, StatusCode::OK, "{body}");
        body
    }

    /// Deletes with a propagation policy.
    pub(crate) async fn delete(&self, path: &str, policy: &str) {
        let options = json!({"propagationPolicy": policy});
        let (code, body) = self.ask(Method::DELETE, path, options).await;
        assert_eq!(code, StatusCode::OK, "{body}");
    }

    /// Waits until something is true; looks again after each change of the store.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let (_, mut feed) = self.server.store().everything();
        let story = async {
            while !holds().await {
                assert!(feed.wait().await, "the store closed");
                feed.ready().unwrap();
            }
        };
        timeout(PATIENCE, story).await.unwrap_or_else(|_| panic!("never came true: {what}"));
    }

    pub(crate) async fn until_gone(&self, path: &str) {
        self.until(&format!("{path} is gone"), async || !self.exists(path).await).await;
    }

    /// Lets every loop finish what it can do now: on paused time a moment passes only when nobody has anything to do.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    pub(crate) async fn end(self) {
        self.server.close().await;
    }
}
